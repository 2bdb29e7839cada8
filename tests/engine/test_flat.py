"""The flat kind with codes: its answers are those without, whatever the rows are."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ann_bench.engine import Flat
from tests.engine.vectors import make_vectors

CODED = ("euclidean", "angular", "dot")


@settings(max_examples=150, deadline=None)
@given(
    distance=st.sampled_from(CODED),
    rows=st.integers(1, 300),
    dimension=st.integers(1, 130),
    k=st.integers(1, 60),
    scale=st.sampled_from([1e-30, 1e-18, 1e-3, 1.0, 1e4, 1e17]),
    shift=st.sampled_from([0.0, 1.0, 100.0]),
    seed=st.integers(0, 99),
)
@example(distance="euclidean", rows=300, dimension=2, k=5, scale=1e-38, shift=0.0, seed=1)
def test_codes_change_no_answer(
    distance: str, rows: int, dimension: int, k: int, scale: float, shift: float, seed: int
) -> None:
    """Rows that codes rule out are not among the nearest: of tiny, huge, equal and shifted rows alike."""
    rng = np.random.default_rng(seed)
    train = ((rng.standard_normal((rows, dimension)) + shift) * scale).astype(np.float32)
    train[rng.integers(rows, size=rows // 3)] = train[0]
    train[rng.integers(rows, size=rows // 9)] = 0
    queries = ((rng.standard_normal((9, dimension)) + shift) * scale).astype(np.float32)
    queries[:3] = train[rng.integers(rows, size=3)]
    queries[3] = 0
    plain, coded = Flat.build(train, distance), Flat.build(train, distance, codes=True)
    expected = plain.query(queries, k)
    np.testing.assert_array_equal(coded.query(queries, k), expected)
    for i, query in enumerate(queries):
        np.testing.assert_array_equal(coded.query(query, k), (expected[0][i], expected[1][i]))
    allow = rng.random(rows) < 0.5
    np.testing.assert_array_equal(coded.query(queries, k, allow=allow), plain.query(queries, k, allow=allow))


@pytest.mark.parametrize("distance", CODED)
def test_codes_spare_comparisons(distance: str) -> None:
    """Of a few thousand rows nearly all are ruled out; without codes each is one comparison."""
    train, query = make_vectors(distance, 5000, 40, 1), make_vectors(distance, 1, 40, 2)[0]
    plain, coded = Flat.build(train, distance), Flat.build(train, distance, codes=True)
    plain.query(query, 10)
    coded.query(query, 10)
    assert plain.distance_computations == 5000
    assert 5010 <= coded.distance_computations < 5250


@pytest.mark.parametrize("distance", CODED)
def test_codes_are_kept_and_grow(distance: str, tmp_path: Path) -> None:
    """A saved file has them, added rows get theirs, deleted rows are not found."""
    train, queries = make_vectors(distance, 600, 24, 1), make_vectors(distance, 20, 24, 2)
    Flat.build(train[:500], distance, codes=True).save(tmp_path / "coded")
    coded = Flat.open(tmp_path / "coded")
    assert coded.size_bytes > 1.3 * Flat.build(train[:500], distance).size_bytes
    coded.add(train[500:])
    coded.delete([3, 550])
    plain = Flat.build(train, distance)
    plain.delete([3, 550])
    np.testing.assert_array_equal(coded.query(queries, 30), plain.query(queries, 30))


@pytest.mark.parametrize("distance", ["hamming", "jaccard", "manhattan"])
def test_what_gains_nothing_has_none(distance: str) -> None:
    """Bits, L1 and rows of bytes are as large without them."""
    train = make_vectors(distance, 100, 24, 1)
    assert Flat.build(train, distance, codes=True).size_bytes == Flat.build(train, distance).size_bytes
    small = np.arange(400, dtype=np.uint8).reshape(20, 20)
    assert Flat.build(small, codes=True).size_bytes == Flat.build(small).size_bytes
