"""What holds for all tests."""

import pytest
from hypothesis import settings

# No test asserts on time, and an example that takes long on a busy machine is no failure.
settings.register_profile("ann_bench", deadline=None)
settings.load_profile("ann_bench")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what `pytest --help` lists under `ann_bench`."""
    parser.getgroup("ann_bench").addoption(
        "--watch-memory",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="how long the memory of each algorithm is watched while it searches, up to 100,000 queries "
        "(default: %(default)s; the full look: 20)",
    )
