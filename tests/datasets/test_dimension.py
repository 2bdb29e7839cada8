"""The local intrinsic dimension, against data whose dimension is known."""

import math

import numpy as np
import pytest

from ann_bench.datasets import exact_neighbors, local_intrinsic_dimension


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_a_cube_has_its_dimension(dimension: int) -> None:
    """Around points in the middle of a cube that is filled evenly, it is the cube's."""
    rng = np.random.default_rng(dimension)
    rows = rng.random((40_000, dimension)).astype(np.float32)
    queries = rng.uniform(0.4, 0.6, (200, dimension)).astype(np.float32)
    _, distances = exact_neighbors("euclidean", rows, queries, 100)
    assert local_intrinsic_dimension(distances) == pytest.approx(dimension, rel=0.08)


@pytest.mark.parametrize("dimension", [2, 5, 8])
def test_a_gaussian_in_a_wider_space_has_its_own_dimension(dimension: int) -> None:
    """Components that follow from others do not count."""
    rng = np.random.default_rng(dimension)
    turned = np.linalg.qr(rng.normal(size=(64, dimension)))[0].T
    rows = (rng.normal(size=(40_000, dimension)) @ turned).astype(np.float32)
    queries = (rng.normal(size=(200, dimension)) @ turned).astype(np.float32)
    _, distances = exact_neighbors("euclidean", rows, queries, 100)
    assert local_intrinsic_dimension(distances) == pytest.approx(dimension, rel=0.12)


@pytest.mark.parametrize("dimension", [3, 20, 60])
def test_exact_powers_have_their_dimension(dimension: int) -> None:
    """With r_j = (j / k) ** (1 / m) the estimate is m, but for what a sum differs from an integral."""
    radii = (np.arange(1, 5001) / 5000) ** (1 / dimension)
    assert local_intrinsic_dimension(radii[None]) == pytest.approx(dimension, rel=0.002)


def test_it_is_the_mean_over_queries() -> None:
    """Each query counts once; the unit of the distances does not count."""
    distances = np.array([[1.0, 2.0, 4.0], [1.0, 1.0, 8.0]])
    each = [2 / np.log([4, 2]).sum(), 2 / np.log([8, 8]).sum()]
    assert local_intrinsic_dimension(distances) == pytest.approx(np.mean(each))
    assert local_intrinsic_dimension(1e3 * distances.astype(np.float32)) == pytest.approx(np.mean(each))


def test_rows_that_equal_the_query_are_left_out() -> None:
    """Zeros change nothing."""
    distances = np.array([[0.0, 0.0, 1.0, 2.0, 4.0]])
    assert local_intrinsic_dimension(distances) == local_intrinsic_dimension(distances[:, 2:])


@pytest.mark.parametrize("distances", [[[0.0, 0.0]], [[3.0, 3.0]], [[0.0, 3.0]], [[3.0]]])
def test_nothing_is_said_where_nothing_can_be(distances: list[list[float]]) -> None:
    """Queries whose distances are all equal are left out; where all are, there is no number."""
    assert math.isnan(local_intrinsic_dimension(np.array(distances)))
    width = len(distances[0])
    telling = np.arange(1.0, width + 1)[None]
    both = np.concatenate([np.array(distances), telling])
    assert local_intrinsic_dimension(both) == pytest.approx(local_intrinsic_dimension(telling), nan_ok=True)
