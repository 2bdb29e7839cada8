"""The index that chooses its kind: what it chooses and why, and that it reaches the recall asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ann_bench.engine import Cluster, Flat, Forest, Graph, Index
from tests.engine.vectors import Array, exact_distances, make_vectors


def recall_of(index: Index, train: Array, queries: Array, k: int, **asked: Any) -> float:
    """Return the share of the `k` nearest rows that queries find."""
    kth = np.sort(exact_distances(index.distance, queries, train), axis=1)[:, k - 1 : k]
    return float((index.query(queries, k, **asked)[1] <= kth + 1e-5 * (1 + abs(kth))).mean())


@pytest.mark.parametrize(
    ("distance", "rows", "options", "kind", "why"),
    [
        ("euclidean", 1000, {}, "flat", "1,000 rows are compared as quickly"),
        ("angular", 1001, {}, None, "of the time of "),
        ("hamming", 1500, {}, "forest", "the kind for hamming"),
        ("jaccard", 1500, {}, "forest", "the kind for jaccard"),
        ("manhattan", 1500, {}, "forest", "the kind for manhattan"),
        ("euclidean", 2000, {"target_recall": 1.0}, "flat", "recall 1 is asked for"),
        ("dot", 2000, {}, None, "by a probe of 2,000 rows "),
        ("euclidean", 2000, {"kind": "forest"}, "forest", "asked for"),
    ],
)
def test_the_kind_follows_from_the_rows(
    distance: str, rows: int, options: dict[str, Any], kind: str | None, why: str
) -> None:
    """Number of rows, distance, recall and the user's word decide, and the reason is told."""
    vectors = make_vectors(distance, rows + 100, 24, 1)
    index = Index(distance, 24, **options)
    assert (index.kind, len(index)) == (options.get("kind", "auto"), 0)
    index.build(vectors[:rows], threads=2)
    assert index.kind in ((kind,) if kind else ("graph", "cluster", "forest"))
    assert why in index.why
    assert len(index) == rows
    target = options.get("target_recall", 0.95)
    assert recall_of(index, vectors[:rows], vectors[rows:], 10) >= target - 0.05


def test_a_memory_limit_is_minded() -> None:
    """Less memory gives a slower kind that fits, rows alone, and an error that tells their size."""
    train = make_vectors("euclidean", 4000, 64, 1)
    sizes = []
    for limit_bytes, kind in ((3_000_000, "graph"), (1_600_000, "cluster"), (1_100_000, "flat")):
        index = Index("euclidean", 64, memory_limit_bytes=limit_bytes)
        index.build(train)
        assert index.kind == kind
        assert index.size_bytes <= limit_bytes
        assert "MB allowed" in index.why
        sizes.append(index.size_bytes)
    assert sizes == sorted(sizes, reverse=True)
    with pytest.raises(ValueError, match=r"memory_limit_bytes: got 900,000; the rows alone take 1,0"):
        Index("euclidean", 64, memory_limit_bytes=900_000).build(train)


def test_other_recalls_can_be_asked_for_and_are_reached(tmp_path: Path) -> None:
    """A query that names a recall finds as much, before and after the index was saved."""
    vectors = make_vectors("angular", 6500, 48, 1)
    train, queries = vectors[:6000], vectors[6000:]
    index = Index("angular", 48, target_recall=0.9)
    index.build(train)
    index.save(tmp_path / "index")
    opened = Index.open(tmp_path / "index")
    assert (opened.kind, opened.distance) == (index.kind, "angular")
    assert opened.target_recall == pytest.approx(0.9)
    for one in (index, opened):
        for recall in (0.8, 0.95, 0.99):
            assert recall_of(one, train, queries, 10, recall=recall) >= recall - 0.03
        np.testing.assert_array_equal(one.query(queries, 5), index.query(queries, 5))


def test_queries_unlike_the_rows_are_tuned_for() -> None:
    """A sample of queries takes the place of rows, and decides between the kinds."""
    train = make_vectors("euclidean", 3000, 32, 1)
    sample = 3 * np.random.default_rng(5).standard_normal((300, 32), dtype=np.float32)
    index = Index("euclidean", 32, target_recall=0.95)
    index.build(train, queries=sample[:200])
    assert "of the time of " in index.why
    assert recall_of(index, train, sample[200:], 10) >= 0.9


def test_rows_that_are_added_first_build_it() -> None:
    """An index grows from nothing; one whose kind cannot grow says so."""
    train = make_vectors("euclidean", 1300, 8, 1)
    index = Index("euclidean", 8)
    for first in range(0, 1300, 100):
        index.add(train[first : first + 100])
    assert (index.kind, len(index)) == ("flat", 1300)
    index.delete([3])
    assert index.query(train[3], 1)[0] != 3
    forest = Index("euclidean", 8, kind="forest")
    forest.add(train)
    with pytest.raises(TypeError, match="a Forest cannot grow"):
        forest.add(train)


@pytest.mark.parametrize("kind", [Flat, Forest, Graph, Cluster])
def test_every_kind_of_file_is_opened(kind: Any, tmp_path: Path) -> None:
    """What a kind saved is an Index again."""
    train = make_vectors("euclidean", 300, 8, 1)
    kind.build(train).save(tmp_path / "index")
    index = Index.open(tmp_path / "index", mode="ram")
    assert isinstance(index.of_kind, kind)
    assert index.query(train[5], 1)[0] == 5
    assert repr(index) == f"<Index of kind {kind.kind} over 300 x 8 euclidean>"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("euclid", 8), 'distance: got "euclid"; it is euclidean, angular, dot, hamming, manhattan'),
        (("euclidean", 0), "dimension: got 0; it is 1 to 65535"),
        (("euclidean", 8, "tree"), 'kind: got "tree"; it is auto, cluster, flat, forest, graph'),
        (("hamming", 8, "graph"), "kind: a graph is for euclidean, angular, dot; for hamming take a forest"),
        (
            ("jaccard", 8, "cluster"),
            "kind: a cluster is for euclidean, angular, dot; for jaccard take a forest",
        ),
    ],
)
def test_wrong_arguments_are_told(arguments: tuple[Any, ...], message: str) -> None:
    """A refused argument is named with its value and what is allowed."""
    with pytest.raises(ValueError, match=message):
        Index(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_recall": 0}, "target_recall: got 0; it is above 0, and 1 at most"),
        ({"k": 0}, "k: got 0; it is at least 1"),
        ({"kind": "flat", "memory_limit_bytes": 5}, 'memory_limit_bytes: only kind "auto" can mind it'),
    ],
)
def test_wrong_options_are_told(options: dict[str, Any], message: str) -> None:
    """So is an option."""
    with pytest.raises(ValueError, match=message):
        Index("euclidean", 8, **options)


def test_an_index_without_rows_says_so() -> None:
    """Nothing can be asked of it, and rows of another width are refused."""
    index = Index("euclidean", 8)
    with pytest.raises(ValueError, match="this index has no rows yet: call build"):
        index.query(np.zeros(8), 1)
    with pytest.raises(ValueError, match=r"train: got shape \(5, 9\); this index takes \(n, 8\)"):
        index.build(np.zeros((5, 9)))
    with pytest.raises(TypeError, match="an Index is not pickled"):
        index.__reduce__()
