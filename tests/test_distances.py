"""Distances against sums written down from their definitions."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ann_bench.distances import DISTANCES, distances_to, rounding_scale
from tests.oracle import distance as oracle
from tests.sets import as_sets, suited

# Whole numbers make ties, zeros and duplicates; the odd fractions make rounding.
_numbers = st.sampled_from([0.0, 0.0, 1.0, -1.0, 2.0, 0.1, -1e-3, 3e4])


@st.composite
def vector_pairs(draw: Any, distance: str) -> tuple[Any, Any]:
    """Draw queries and rows of one dimension that suit `distance`."""
    dimension = draw(st.integers(1, 9))

    def rows(most: int) -> Any:
        shape = (draw(st.integers(1, most)), dimension)
        return suited(distance, draw(hnp.arrays(np.float32, shape, elements=_numbers)))

    return rows(4), rows(12)


@pytest.mark.parametrize("distance", DISTANCES)
@given(data=st.data())
def test_distances_are_those_of_the_definition(distance: str, data: st.DataObject) -> None:
    """Every distance is the exactly summed one, to float64 rounding of the numbers that it is made of."""
    test, train = data.draw(vector_pairs(distance))
    ids = np.tile(np.arange(len(train)), (len(test), 1))
    expected = np.array([[oracle(distance, query, row) for row in train] for query in test])
    scale = rounding_scale(distance, test, train)[:, None]
    assert (np.abs(distances_to(distance, test, train, ids) - expected) <= 1e-12 * scale).all()


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("dimension", [1, 7, 100, 785])
def test_a_pair_has_one_distance_whatever_it_is_computed_with(distance: str, dimension: int) -> None:
    """Alone, among others, or as a copy elsewhere in `train`: the distance is the same to the last bit."""
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(33, dimension)).astype(np.float32)
    test = rng.normal(size=(3, dimension)).astype(np.float32)
    train, test = suited(distance, np.concatenate([rows, rows])), suited(distance, test)
    together = distances_to(distance, test, train, np.tile(np.arange(66), (3, 1)))
    alone = [
        distances_to(distance, test[[q]], train, np.array([[i]]))[0, 0] for q in range(3) for i in range(33)
    ]
    assert np.array_equal(together[:, :33], together[:, 33:])
    assert np.array_equal(together[:, :33].ravel(), alone)


@pytest.mark.parametrize("distance", DISTANCES)
def test_ids_out_of_range_are_infinitely_far(distance: str) -> None:
    """Padding (-1) and ids past the last row give +inf and leave their neighbours alone."""
    train = suited(distance, np.ones((3, 4), dtype=np.float32))
    found = distances_to(distance, train[:1], train, np.array([[-1, 0, 3]]))
    assert np.isinf(found).tolist() == [[True, False, True]]


def test_no_ids_give_no_distances() -> None:
    """An answer of no ids, or no queries at all, is an empty table of that shape."""
    train = np.ones((3, 4), dtype=np.float32)
    assert distances_to("euclidean", train, train, np.empty((3, 0), dtype=np.int32)).shape == (3, 0)
    assert distances_to("euclidean", train[:0], train, np.empty((0, 5), dtype=np.int32)).shape == (0, 5)


def test_angular_of_a_zero_row_is_one_and_of_a_parallel_one_never_negative() -> None:
    """A zero vector is at distance 1 from all, itself included; cosines that round above 1 count as 1."""
    train = np.random.default_rng(1).normal(size=(200, 7)).astype(np.float32)
    train[0] = 0
    itself = distances_to("angular", train, train, np.arange(200)[:, None])
    zero = distances_to("angular", train, train, np.zeros((200, 1), dtype=int))
    assert (zero == 1).all()
    assert itself[0] == 1
    assert (itself[1:] >= 0).all()
    assert (itself[1:] < 1e-15).all()


def test_jaccard_of_an_empty_set_is_one() -> None:
    """An empty set has nothing in common with any, itself included."""
    train = as_sets(np.array([[False, False], [True, True]]))
    assert distances_to("jaccard", train, train, np.array([[0, 1], [0, 1]])).tolist() == [[1, 1], [1, 0]]


def test_an_unknown_distance_is_named() -> None:
    """A distance that does not exist raises, with the ones that do."""
    train = np.ones((1, 2), dtype=np.float32)
    with pytest.raises(
        ValueError, match="got 'cosine'; it is one of euclidean, angular, dot, hamming, manhattan, jaccard"
    ):
        distances_to("cosine", train, train, np.array([[0]]))


@pytest.mark.parametrize(
    ("distance", "expected"),
    [("euclidean", [15.0, 10.0]), ("dot", [50.0, 0.0]), ("manhattan", [21.0, 14.0]), ("angular", [1.0, 1.0])],
)
def test_the_rounding_scale_is_the_size_of_what_is_summed(distance: str, expected: list[float]) -> None:
    """|q| + max|x| for differences, |q| max|x| for dot (L1 norms for manhattan), 1 for angular."""
    train = np.array([[1, 0], [6, 8]], dtype=np.float32)
    test = np.array([[3, 4], [0, 0]], dtype=np.float32)
    assert rounding_scale(distance, test, train).tolist() == expected
