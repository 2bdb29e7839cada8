"""Tuning: the least effort that finds a share of the neighbours, and what keeps it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ann_bench.engine import Forest
from tests.engine.vectors import Array, distances_to_rows, exact_distances, make_vectors

K = 10


def recall(forest: Forest, train: Array, queries: Array, k: int = K) -> float:
    """Return the share of the `k` nearest rows that a query without parameters finds."""
    kth = np.sort(exact_distances(forest.distance, queries, train), axis=1)[:, k - 1 : k]
    ids, _ = forest.query(queries, k)
    return float((distances_to_rows(forest.distance, queries, train, ids) <= kth + 1e-6 * abs(kth)).mean())


@pytest.mark.parametrize("target", [0.5, 0.9, 0.99])
def test_queries_like_the_rows_reach_the_target(distance: str, target: float) -> None:
    """What is found of queries that were not seen is the target, within a few per cent."""
    vectors = make_vectors(distance, 3300, 64, 1)
    train, queries = vectors[:3000], vectors[3000:]
    forest = Forest.build(train, distance, n_trees=8)
    reported = forest.tune(target, K, threads=2)
    assert reported >= target
    assert recall(forest, train, queries) > target - 0.05
    if distance != "hamming":  # with its ties a handful of leaves may find more
        assert recall(forest, train, queries) < target + 0.15 * (1 - target) + 0.1


def test_a_higher_target_takes_more_effort(distance: str) -> None:
    """Effort rises with the target; a target of 1 is reached."""
    train = make_vectors(distance, 2000, 64, 1)
    forest = Forest.build(train, distance, n_trees=4)
    efforts = []
    for target in (0.3, 0.8, 1.0):
        assert forest.tune(target, K, queries=100) >= target
        efforts.append(forest.info()["tuned"][0][2:])
    assert efforts[0] < efforts[1] < efforts[2]
    assert all(rerank >= K for _, rerank in efforts)


def test_a_tuned_index_keeps_its_defaults(tmp_path: Path) -> None:
    """Building with target_recall is building and tuning; saved and opened, the defaults are the same."""
    train, queries = make_vectors("euclidean", 1000, 16, 1), make_vectors("euclidean", 40, 16, 2)
    forest = Forest.build(train, n_trees=4, seed=3, target_recall=0.9, k=5)
    plain = Forest.build(train, n_trees=4, seed=3)
    assert plain.info()["tuned"] == []
    plain.tune(0.9, 5, seed=3, threads=2)
    assert plain.info() == forest.info()
    forest.save(tmp_path / "index")
    opened = Forest.open(tmp_path / "index")
    assert opened.info() == forest.info()
    _, _, search_k, rerank = forest.info()["tuned"][0]
    expected = forest.query(queries, 5, search_k, rerank=rerank)
    for other in (forest, plain, opened):
        np.testing.assert_array_equal(other.query(queries, 5), expected)


def test_a_row_is_not_its_own_neighbour() -> None:
    """Rows far from each other cannot be tuned by finding themselves: their neighbours are elsewhere."""
    train = make_vectors("euclidean", 1000, 64, 1)
    forest = Forest.build(train, n_trees=2)
    forest.tune(1.0, 1)
    assert forest.info()["tuned"][0][2] > 50


def test_holes_and_small_indexes_are_tuned(distance: str) -> None:
    """Rows that are not present may be asked for and are no neighbours; k may exceed the rows there are."""
    train = make_vectors(distance, 300, 12, 1)
    present = np.arange(300) % 3 == 0
    forest = Forest.build(train, distance, n_trees=3, present=present)
    assert forest.tune(0.9, K, queries=300) >= 0.9
    for n in (2, 3, 9):
        few = Forest.build(train[:n], distance, n_trees=2)
        assert few.tune(1.0, K) == 1
        assert sorted(few.query(train[0], n)[0]) == list(range(n))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target_recall": 0}, "target_recall: got 0; it is above 0, and 1 at most"),
        ({"target_recall": 1.01}, "target_recall: got 1.01; it is above 0"),
        ({"target_recall": float("nan")}, "target_recall: got nan"),
        ({"target_recall": 0.9, "k": 0}, "k, queries: got 0 and 400; both are at least 1"),
        ({"target_recall": 0.9, "queries": 0}, "k, queries: got 10 and 0"),
        ({"target_recall": 0.9, "threads": 0}, "threads: got 0; it is an integer from 1"),
    ],
)
def test_wrong_arguments_are_told(arguments: dict[str, Any], message: str) -> None:
    """A refused argument is named with its value and what is allowed, and no default changes."""
    forest = Forest.build(make_vectors("euclidean", 100, 4, 1), n_trees=2)
    with pytest.raises(ValueError, match=message):
        forest.tune(**arguments)
    assert forest.info()["tuned"] == []


def test_one_row_cannot_be_tuned() -> None:
    """An index of one row that can be found says that no row has a neighbour."""
    train = make_vectors("euclidean", 5, 4, 1)
    for forest in (Forest.build(train[:1]), Forest.build(train, present=np.arange(5) == 2)):
        with pytest.raises(ValueError, match="fewer than two rows"):
            forest.tune(0.9)
