"""The generator of vectors on a manifold: the same numbers however they are asked for."""

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import threadpoolctl

from ann_bench.datasets import exact_neighbors, local_intrinsic_dimension
from ann_bench.datasets.manifold import BLOCK_ROWS, Manifold

SOME = BLOCK_ROWS + 300


def whole(blocks: Iterator[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Return all blocks as one array."""
    return np.concatenate(list(blocks))


def test_the_same_seed_gives_the_same_vectors() -> None:
    """Two generators with one seed agree in every bit, and each with itself when asked again."""
    one, other = Manifold(7, 16), Manifold(7, 16)
    first = whole(one.train(SOME))
    assert (first.shape, first.dtype) == ((SOME, 16), np.float32)
    assert np.array_equal(first, whole(other.train(SOME)))
    assert np.array_equal(first, whole(one.train(SOME)))


@pytest.mark.parametrize("changed", [{"seed": 8}, {"clusters": 199}, {"noise": 0.2}, {"separation": 0.6}])
def test_another_seed_or_parameter_gives_other_vectors(changed: dict[str, float]) -> None:
    """Hardly a vector stays the same."""
    one = whole(Manifold(7, 16).train(300))
    other = whole(Manifold(**{"seed": 7, "dimension": 16, **changed}).train(300))  # type: ignore[arg-type]
    assert (one == other).all(axis=1).mean() < 0.01


def test_fewer_rows_are_the_first_of_more() -> None:
    """The number of rows cuts, within a block and between blocks; it does not change what comes before."""
    manifold = Manifold(7, 16)
    rows = whole(manifold.train(SOME))
    for count in (1, 300, BLOCK_ROWS, BLOCK_ROWS + 1):
        assert np.array_equal(rows[:count], whole(manifold.train(count)))


def test_the_order_of_drawing_does_not_matter() -> None:
    """Blocks of rows and queries that are drawn in turns are those drawn one after the other."""
    manifold = Manifold(7, 16)
    turns = list(zip(manifold.train(SOME), manifold.test(SOME), strict=True))
    assert np.array_equal(np.concatenate([train for train, _ in turns]), whole(manifold.train(SOME)))
    assert np.array_equal(np.concatenate([test for _, test in turns]), whole(manifold.test(SOME)))


def test_threads_do_not_matter() -> None:
    """One thread for the matrix products gives the bytes that several give."""
    found = []
    for threads in (1, 4):
        with threadpoolctl.threadpool_limits(threads):
            found.append(whole(Manifold(7, 128).train(300)).tobytes())
    assert found[0] == found[1]


def test_the_products_are_exact() -> None:
    """Summed in another order, the same numbers come out: nothing is rounded on the way."""
    manifold = Manifold(7, 16)
    model = manifold._model
    rng = np.random.default_rng(1)
    points = np.round(rng.normal(size=(20, 40)) * 2.0**16) / 2.0**16
    products = points @ model.inward
    backwards = (points[:, ::-1, None] * model.inward[::-1]).cumsum(axis=1)[:, -1]
    assert np.array_equal(products, backwards)


def test_no_query_is_a_row() -> None:
    """Queries are drawn from the same distribution, and are others."""
    manifold = Manifold(7, 16)
    train, test = whole(manifold.train(SOME)), whole(manifold.test(300))
    assert not np.isin(test[:, 0], train[:, 0]).all()
    assert exact_neighbors("euclidean", train, test, 1)[1].min() > 0
    assert np.abs(train.mean(axis=0) - test.mean(axis=0)).max() < 0.5


def test_distances_do_not_depend_on_the_order_of_summation() -> None:
    """Components are multiples of 2**-10 below 2**5, so that 128 squared differences add up exactly."""
    vectors = whole(Manifold(1, 128).train(300)).astype(np.float64)
    assert np.array_equal(vectors * 2**10, np.round(vectors * 2**10))
    assert np.abs(vectors).max() < 2**5


def test_version_1_is_pinned() -> None:
    """The numbers that published measurements rest on: if they change, the version does."""
    digest = hashlib.sha256(whole(Manifold(1, 128).train(300)).tobytes()).hexdigest()
    assert Manifold.version == 1
    assert digest == "04142b95d5c37499b78484dc39fb425f6aa617a8c732ce2ed48733db98c118ad"


def test_the_data_are_of_the_difficulty_that_is_said() -> None:
    """Far fewer dimensions than the vectors', and densities that differ."""
    manifold = Manifold(1, 128)
    train, test = whole(manifold.train(30_000)), whole(manifold.test(300))
    _, distances = exact_neighbors("euclidean", train, test, 100)
    assert 15 < local_intrinsic_dimension(distances) < 22
    near, far = np.quantile(distances[:, -1], (0.05, 0.95))
    assert far > 1.3 * near
