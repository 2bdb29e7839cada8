"""A small forest for every distance."""

from collections.abc import Callable
from typing import Any

import pytest

from ann_bench.distances import DISTANCES
from ann_bench.engine import Forest
from tests.engine.vectors import make_vectors


@pytest.fixture(params=DISTANCES)
def distance(request: pytest.FixtureRequest) -> str:
    """Each distance in turn."""
    return str(request.param)


@pytest.fixture
def small(distance: str) -> Callable[..., Forest]:
    """Build a small forest for `distance`."""

    def build(n: int = 500, dimension: int = 20, **options: Any) -> Forest:
        return Forest.build(
            make_vectors(distance, n, dimension, 1),
            distance,
            **{"n_trees": 5, "seed": 3, **options},
        )

    return build
