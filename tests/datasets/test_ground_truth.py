"""Exact answers, and what counts as disagreeing with them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from ann_bench.datasets import exact_neighbors, ground_truth
from ann_bench.datasets.ground_truth import check_answers, sample_size
from ann_bench.distances import DISTANCES, VECTOR_DISTANCES, distances_to
from tests.datasets.files import vectors
from tests.oracle import exact
from tests.sets import suited
from tests.test_distances import vector_pairs


@pytest.mark.parametrize("distance", DISTANCES)
@given(data=st.data(), k=st.integers(1, 14))
def test_answers_are_those_of_ranking_all_rows(distance: str, data: st.DataObject, k: int) -> None:
    """With ties, duplicates, zero rows and fewer rows than k: ids and distances are those of a full sort."""
    test, train = data.draw(vector_pairs(distance))
    ids, distances = exact_neighbors(distance, train, test, k)
    everything = distances_to(distance, test, train, np.tile(np.arange(len(train)), (len(test), 1)))
    order = np.lexsort((np.tile(np.arange(len(train)), (len(test), 1)), everything), axis=1)[:, :k]
    assert np.array_equal(ids, order)
    assert np.array_equal(distances, np.take_along_axis(everything, order, axis=1))


@pytest.mark.parametrize("distance", DISTANCES)
def test_blocks_do_not_show(distance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answers come from one block and from many small ones, massive ties included."""
    train, test = vectors("euclidean")
    test[3] = 0
    train = suited(distance, np.concatenate([train[:100], train[:100], np.zeros_like(train[:50])]))
    test = suited(distance, test)
    whole = exact_neighbors(distance, train, test, 17)
    monkeypatch.setattr(ground_truth, "_QUERIES_AT_A_TIME", 7)
    monkeypatch.setattr(ground_truth, "_PAIRS_AT_A_TIME", 77)
    monkeypatch.setattr(ground_truth, "_VALUES_AT_A_TIME", 200)
    blocks = exact_neighbors(distance, train, test, 17)
    assert np.array_equal(whole[0], blocks[0])
    assert np.array_equal(whole[1], blocks[1])


@pytest.mark.parametrize(
    ("distance", "theirs"), [("euclidean", "euclidean"), ("angular", "cosine"), ("manhattan", "manhattan")]
)
def test_answers_are_scikit_learns(distance: str, theirs: str) -> None:
    """scikit-learn's brute force finds the same neighbours at the same distances."""
    rng = np.random.default_rng(3)
    train, test = rng.normal(size=(3000, 24)).astype(np.float32), rng.normal(size=(40, 24)).astype(np.float32)
    expected, ids = (
        NearestNeighbors(n_neighbors=15, metric=theirs, algorithm="brute")
        .fit(train.astype(float))
        .kneighbors(test.astype(float))
    )
    found, distances = exact_neighbors(distance, train, test, 15)
    assert np.array_equal(found, ids)
    assert np.allclose(distances, expected, rtol=1e-9)


def test_answers_are_exact_where_the_matrix_product_is_not() -> None:
    """Rows so far from the origin that even a squared float64 distance, expanded, is noise are told apart."""
    far = (np.random.default_rng(6).normal(size=(1, 8)) * 1e6).astype(np.float32)
    far[0, 0] = 1
    train = np.repeat(far, 50, axis=0)
    train[:, 0] += np.arange(50, dtype=np.float32)[::-1] / 1024
    ids, _ = exact_neighbors("euclidean", train, far, 5)
    assert ids[0].tolist() == [49, 48, 47, 46, 45]


def test_progress_is_reported() -> None:
    """The callback hears of all pairs of a query and a row, in parts."""
    train, test = vectors("euclidean")
    heard: list[int] = []
    exact_neighbors("euclidean", train, test, 3, heard.append)
    assert sum(heard) == len(train) * len(test)


@pytest.mark.parametrize("distance", VECTOR_DISTANCES)
def test_right_answers_agree_and_another_distances_answers_do_not(distance: str) -> None:
    """The check passes exact answers, and refuses those of another distance, which it names."""
    train, test = vectors(distance)
    train, test = train * np.linspace(1, 3, len(train))[:, None].astype(train.dtype), test
    neighbors, _ = exact(distance, train, test, 10)
    assert check_answers(distance, train, test, neighbors, 20) is None
    if distance != "hamming":
        other = "dot" if distance == "manhattan" else "manhattan"
        found = check_answers(other, train, test, neighbors, 20)
        assert found is not None
        assert distance in found.fits
        assert found.wrong > 10
        assert found.sampled == 20
        assert found.stored > found.computed


def test_answers_on_sets_are_checked() -> None:
    """The check passes exact answers on sets, and finds wrong ones, which fit no other distance."""
    train, test = vectors("jaccard")
    neighbors, _ = exact("jaccard", train, test, 10)
    assert check_answers("jaccard", train, test, neighbors, 20) is None
    found = check_answers("jaccard", train, test, neighbors[::-1], 20)
    assert found is not None
    assert (found.wrong > 10, found.fits) == (True, ())


def test_ties_may_be_broken_in_any_way() -> None:
    """Other ids at the same distances are no disagreement."""
    train = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)
    neighbors = np.array([[4, 2, 3], [9, 8, 7]], dtype=np.int32)
    assert check_answers("euclidean", train, np.eye(4, dtype=np.float32)[:2], neighbors, 20) is None


def test_answers_of_float32_arithmetic_agree() -> None:
    """Answers ranked by squared distances expanded in float32, far from the origin, are accepted."""
    rng = np.random.default_rng(4)
    both = (rng.normal(size=(2020, 64)) + 100).astype(np.float32)
    train, test = both[:2000], both[2000:]
    squares = (train**2).sum(axis=1)[None] - 2 * test @ train.T + (test**2).sum(axis=1)[:, None]
    neighbors = squares.argsort(axis=1)[:, :100]
    assert not np.array_equal(neighbors, exact_neighbors("euclidean", train, test, 100)[0])
    assert check_answers("euclidean", train, test, neighbors, 20) is None


def test_one_wrong_query_is_found() -> None:
    """A single query whose nearest neighbour was left out is reported, with its number and both distances."""
    train, test = vectors("euclidean")
    neighbors, distances = exact("euclidean", train, test, 10)
    neighbors[17] = exact("euclidean", train, test[[17]], 11)[0][0, 1:]
    found: Any = check_answers("euclidean", train, test, neighbors, len(test))
    assert (found.wrong, found.query, found.fits) == (1, 17, ())
    assert found.computed in distances[17]


def test_large_sets_are_sampled_less() -> None:
    """20 queries are checked on small sets, never fewer than 3 on large ones."""
    assert sample_size(60_000, 784) == 20
    assert sample_size(9_990_000, 96) == 4
    assert sample_size(100_000_000, 1000) == 3
