"""What holds for all tests."""

import signal
from pathlib import Path

import pytest
from hypothesis import settings

# No test asserts on time, and an example that takes long on a busy machine is no failure.
settings.register_profile("ann_bench", deadline=None)
settings.load_profile("ann_bench")


# Shells start background jobs with interrupts ignored, and what tests start and interrupt would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what the tests of wrappers take."""
    group = parser.getgroup("ann_bench")
    group.addoption(
        "--watch-memory",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="how long each algorithm's memory is watched while it searches, 100,000 queries at most "
        "(default: %(default)s; the contract's full look: 20)",
    )
    group.addoption(
        "--definitions",
        type=lambda text: Path(text).resolve(),
        action="append",
        default=[],
        metavar="DIR",
        help="more algorithms, from a folder with algorithms.yaml, wrappers/ and install/",
    )
