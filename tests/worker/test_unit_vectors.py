"""Vectors of length 1 rank by inner product and by euclidean distance as the angle does, zeros included."""

import numpy as np
import pytest

from ann_bench.distances import distances_to
from ann_bench.worker.unit_vectors import UnitVectors


@pytest.fixture(params=[False, True], ids=["no row of zeros", "two rows of zeros"])
def train(request: pytest.FixtureRequest) -> np.ndarray:
    """Rows of unequal length that nobody may write to."""
    rng = np.random.default_rng(3)
    rows = (rng.normal(size=(50, 6)) * rng.uniform(0.1, 10, size=(50, 1))).astype(np.float32)
    if request.param:
        rows[[4, 9]] = 0
    rows.flags.writeable = False
    return rows


def ranked(train: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the angular distances of all rows from `query`, nearest first."""
    ids = np.arange(len(train))[None]
    return np.sort(distances_to("angular", query[None], train, ids)[0])


def test_the_euclidean_distance_ranks_as_the_angle(train: np.ndarray) -> None:
    """Whether the query is scaled or only padded, the nearest rows are those at the smallest angle."""
    unit = UnitVectors(train)
    assert unit.rows.dtype == np.float32
    assert unit.rows.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(unit.rows, axis=1), 1, rtol=1e-6)
    queries = np.random.default_rng(4).normal(size=(5, 6)).astype(np.float32)
    for i, query in enumerate(queries):
        together = (unit.pad_all(queries)[i], unit.scale_all(queries)[i])
        for asked in (unit.pad(query), unit.scale(query), *together):
            order = np.argsort(np.linalg.norm(unit.rows - asked, axis=1))
            found = distances_to("angular", query[None], train, order[None])[0]
            np.testing.assert_allclose(found, ranked(train, query), atol=1e-6)


def test_the_inner_product_needs_no_mark(train: np.ndarray) -> None:
    """Without one, rows of zeros keep inner product 0 and the query its width."""
    unit = UnitVectors(train, mark_zeros=False)
    query = np.arange(-2, 4, dtype=np.float32)
    assert unit.pad(query) is query
    order = np.argsort(-(unit.rows @ query))
    found = distances_to("angular", query[None], train, order[None])[0]
    np.testing.assert_allclose(found, ranked(train, query), atol=1e-6)


def test_vectors_of_any_layout_come_out_row_by_row(train: np.ndarray) -> None:
    """Libraries that read memory as it lies get C-contiguous float32, whatever came in."""
    expected = UnitVectors(train)
    for odd in (np.asfortranarray(train), train.astype(np.float64), np.repeat(train, 2, axis=0)[::2]):
        unit = UnitVectors(odd)
        assert unit.rows.dtype == np.float32
        assert unit.rows.flags.c_contiguous
        np.testing.assert_allclose(unit.rows, expected.rows, rtol=1e-6)
    assert expected.scale_all(np.asfortranarray(train)).flags.c_contiguous


def test_a_query_of_zeros_stays_one(train: np.ndarray) -> None:
    """It is scaled to zeros, not to NaN."""
    unit = UnitVectors(train)
    zeros = np.zeros(6, dtype=np.float32)
    assert not unit.scale(zeros).any()
    assert not unit.scale_all(zeros[None]).any()
