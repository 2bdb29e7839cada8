"""Rows that come after the index was built."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ann_bench.engine import Flat, Forest, Graph
from tests.engine.vectors import exact_distances, make_vectors

GROWING = (Flat, Graph)


@pytest.mark.parametrize("distance", ["euclidean", "angular", "dot"])
@pytest.mark.parametrize("kind", GROWING)
def test_an_index_that_grew_finds_what_one_built_at_once_finds(kind: Any, distance: str) -> None:
    """After growing by half, row by row and many at a time, recall is within two per cent."""
    vectors = make_vectors(distance, 3200, 24, 1)
    train, queries = vectors[:3000], vectors[3000:]
    grown = kind.build(train[:2000], distance)
    for row in train[2000:2100]:
        grown.add(row)
    grown.add(train[2100:], threads=2)
    assert len(grown) == 3000
    kth = np.sort(exact_distances(distance, queries, train), axis=1)[:, 9:10]

    def recall(index: Any) -> float:
        return float((index.query(queries, 10)[1] <= kth + 1e-5 * (1 + abs(kth))).mean())

    assert recall(grown) >= recall(kind.build(train, distance)) - 0.02
    np.testing.assert_array_equal(grown.vector(2500), train[2500])


def test_a_graph_is_built_anew_when_it_has_doubled() -> None:
    """Then it is the graph of all rows, byte for byte, for any way in which they came."""
    train = make_vectors("euclidean", 1600, 16, 1)
    grown = Graph.build(train[:700], seed=4)
    grown.add(train[700:1000])
    assert grown.info()["fitted"] == 700
    grown.add(train[1000:], threads=2)
    whole = Graph.build(train, seed=4)
    assert grown.info() == whole.info()
    np.testing.assert_array_equal(grown.query(train, 5), whole.query(train, 5))


@pytest.mark.parametrize("kind", GROWING)
def test_a_file_that_was_opened_grows_and_is_saved_again(kind: Any, tmp_path: Path) -> None:
    """What was mapped is copied, what was deleted stays so, and the old file stays as it was."""
    train = make_vectors("angular", 500, 8, 1)
    built = kind.build(train[:400], "angular")
    built.delete([7])
    built.save(tmp_path / "old")
    before = (tmp_path / "old").read_bytes()
    opened = kind.open(tmp_path / "old")
    opened.add(train[400:])
    opened.save(tmp_path / "new")
    assert (tmp_path / "old").read_bytes() == before
    again = kind.open(tmp_path / "new")
    assert (len(again), again.info()["present"]) == (500, 499)
    np.testing.assert_array_equal(again.query(train, 6), opened.query(train, 6))
    assert again.query(train[450], 1)[0] == 450
    assert 7 not in again.query(train[7], 100)[0]


@pytest.mark.parametrize("kind", GROWING)
def test_rows_of_a_wider_type_are_kept_exactly(kind: Any) -> None:
    """Bytes become halves or floats when values come that need it."""
    small = np.arange(80, dtype=np.uint8).reshape(10, 8)
    index = kind.build(small)
    assert index.info()["row_type"] == "uint8"
    index.add(small + np.float16(0.5))
    assert index.info()["row_type"] == "float16"
    index.add(np.full(8, 0.1, dtype=np.float32))
    assert index.info()["row_type"] == "float32"
    np.testing.assert_array_equal(index.vector(3), small[3])
    np.testing.assert_array_equal(index.vector(13), small[3] + 0.5)
    np.testing.assert_array_equal(index.vector(20), np.full(8, 0.1, dtype=np.float32))


def test_many_equal_rows_are_all_found() -> None:
    """Twins of a row that come one by one are its neighbours."""
    train = make_vectors("euclidean", 1000, 8, 1)
    graph = Graph.build(train)
    for _ in range(40):
        graph.add(train[17])
    ids, distances = graph.query(train[17], 30)
    assert distances.max() == 0
    assert set(ids) <= {17, *range(1000, 1040)}


@pytest.mark.parametrize("kind", GROWING)
def test_what_cannot_be_added_changes_nothing(kind: Any) -> None:
    """NaN, another width and another type are refused, and the index answers as before."""
    train = make_vectors("euclidean", 200, 8, 1)
    index = kind.build(train)
    before = index.query(train, 5)
    with pytest.raises(ValueError, match="NaN"):
        index.add(np.full((3, 8), np.nan, dtype=np.float32))
    with pytest.raises(ValueError, match="this index takes 8"):
        index.add(np.zeros((3, 9), dtype=np.float32))
    with pytest.raises(ValueError, match=r"got shape \(1, 1, 8\)"):
        index.add(np.zeros((1, 1, 8), dtype=np.float32))
    with pytest.raises(TypeError, match="dtype"):
        index.add(np.array(["a"] * 8))
    assert len(index) == 200
    np.testing.assert_array_equal(index.query(train, 5), before)
    index.add(np.empty((0, 8), dtype=np.float32))
    assert len(index) == 200


def test_a_forest_does_not_grow() -> None:
    """It says so, and what can."""
    with pytest.raises(TypeError, match="a Forest cannot grow: build it anew, or take a Graph, which can"):
        Forest.build([[1.0]]).add([[2.0]])
