"""What the engine takes for vectors and parameters, and what it says about the rest."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ann_bench.engine import Forest
from ann_bench.engine.arrays import as_engine_array
from tests.engine.vectors import BIT_DISTANCES, make_vectors


def test_every_kind_of_array_gives_the_same_answer(small: Callable[..., Forest], distance: str) -> None:
    """Other dtypes, strides, byte orders, lists and read-only arrays are converted, to the same answer."""
    train, queries = make_vectors(distance, 500, 20, 1), make_vectors(distance, 9, 20, 2)
    if distance not in BIT_DISTANCES:  # values that float16 and int8 can hold too
        train, queries = np.round(4 * train).astype(np.float32), np.round(4 * queries).astype(np.float32)
    options: dict[str, Any] = {"n_trees": 5}
    expected, expected_distances = Forest.build(train, distance, **options).query(queries, 5)
    read_only = queries.copy()
    read_only.flags.writeable = False
    wide = np.zeros((9, 41), dtype=queries.dtype)
    wide[:, ::2][:, :20] = queries
    dtypes = ["u1", "i8", "?"] if distance in BIT_DISTANCES else ["f8", "f2", "i1", "i8", ">f4", ">f2", "f4"]
    forms: list[Any] = [read_only, wide[:, ::2][:, :20], np.asfortranarray(queries), queries.tolist()]
    forms += [queries.astype(dtype) for dtype in dtypes]
    forms.append(np.frombuffer(b"." + queries.tobytes(), dtype=queries.dtype, offset=1).reshape(9, 20))
    for form in forms:
        forest = Forest.build(
            np.asarray(train, order="F").astype(getattr(form, "dtype", train.dtype)), distance, **options
        )
        ids, distances = forest.query(form, 5)
        np.testing.assert_array_equal(ids, expected)
        np.testing.assert_array_equal(distances, expected_distances)
        np.testing.assert_array_equal(forest.query(form[3], 5)[0], expected[3])


@pytest.mark.parametrize("dtype", ["f4", "f2", "i1", "u1", "?"])
def test_what_the_engine_reads_is_not_converted(dtype: str, distance: str) -> None:
    """C-contiguous arrays of the dtypes that the engine reads are passed on as they are, others as copies."""
    array = np.ones((6, 4), dtype=dtype)
    fits = (dtype == "?") == (distance in BIT_DISTANCES)
    if dtype in ("?", "u1") or distance not in BIT_DISTANCES:
        assert (as_engine_array(array, distance, "train") is array) == fits
        assert as_engine_array(array[::2], distance, "train").flags.c_contiguous
        assert as_engine_array(np.asfortranarray(array), distance, "train").flags.c_contiguous
        assert as_engine_array(array.astype(array.dtype.newbyteorder(">")), distance, "train").dtype.isnative


@pytest.mark.parametrize("dtype", ["f2", "i1", "u1"])
@pytest.mark.parametrize("name", ["euclidean", "angular", "dot", "manhattan"])
def test_small_numbers_answer_like_floats(name: str, dtype: str) -> None:
    """An index of float16, int8 or uint8 is that of the same values as float32: answers, rows and size."""
    rng = np.random.default_rng(6)
    values = rng.integers(0, 255, (600, 33)) - (0 if dtype == "u1" else 127)
    train = (values / 7).astype(dtype) if dtype == "f2" else values.astype(dtype)
    small = Forest.build(train, name, n_trees=3)
    floats = Forest.build(train.astype(np.float32), name, n_trees=3)
    assert small.info() == floats.info()
    expected = floats.query(train[:50].astype(np.float32), 10, search_k=200)
    for forest in (small, floats):
        np.testing.assert_array_equal(forest.query(train[:50], 10, search_k=200), expected)
    np.testing.assert_array_equal(small.vector(7), train[7].astype(np.float32))


def test_the_index_keeps_its_own_copy_and_leaves_the_input_alone(
    small: Callable[..., Forest], distance: str
) -> None:
    """Neither build nor query changes an array, and an array changed later does not change the index."""
    train, query = make_vectors(distance, 500, 20, 1), make_vectors(distance, 1, 20, 2)[0]
    copy, query_copy = train.copy(), query.copy()
    forest = Forest.build(train, distance, n_trees=5)
    before = forest.query(query, 5)[0]
    np.testing.assert_array_equal(train, copy)
    np.testing.assert_array_equal(query, query_copy)
    train[:] = 0
    np.testing.assert_array_equal(forest.query(query, 5)[0], before)


ROWS = np.ones((10, 4), dtype=np.float32)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"train": ROWS[:0]},
            ValueError,
            "train: got shape (0, 4); it is (n, d) with at least one row and one column",
        ),
        (
            {"train": ROWS[0]},
            ValueError,
            "train: got shape (4,); it is (n, d) with at least one row and one column",
        ),
        ({"train": ROWS[:, :0]}, ValueError, "train: got shape (10, 0)"),
        ({"train": np.ones((1, 70_000))}, ValueError, "train: rows have 1 to 65535 dimensions"),
        ({"train": ROWS.astype("c8")}, TypeError, "train: got dtype complex64; euclidean takes real numbers"),
        (
            {"train": [["a", "b"]]},
            TypeError,
            "train: got dtype <U1; euclidean takes real numbers, used as float32",
        ),
        ({"train": ROWS, "distance": "hamming"}, TypeError, "train: got dtype float32; hamming takes bool"),
        (
            {"train": [[0, 2]], "distance": "hamming"},
            ValueError,
            "train: got the value 2; hamming takes bool",
        ),
        (
            {"train": [[0, -1]], "distance": "hamming"},
            ValueError,
            "train: got the value -1; hamming takes bool",
        ),
        (
            {"train": [[1.0], [np.nan]]},
            ValueError,
            "train: row 1 holds NaN or infinity; every value must be finite",
        ),
        ({"train": [[1.0], [2.0], [np.inf]]}, ValueError, "train: row 2 holds NaN or infinity"),
        (
            {"train": [[1.0], [1e39]]},
            ValueError,
            "train: row 1 holds NaN or infinity; every value must be finite",
        ),
        (
            {"distance": "cosine"},
            ValueError,
            'distance: got "cosine"; it is one of euclidean, angular, dot, hamming, manhattan',
        ),
        ({"present": [True] * 9}, ValueError, "present: got bool of shape (9,); it is bool of shape (10,)"),
        ({"present": [1] * 10}, ValueError, "present: got int64 of shape (10,); it is bool of shape (10,)"),
        ({"target_recall": 0}, ValueError, "target_recall: got 0; it is above 0, and 1 at most"),
        ({"n_trees": 0}, ValueError, "n_trees: got 0; it is an integer from 1 to 1000000"),
        ({"n_trees": 2.5}, TypeError, "n_trees: got 2.5; it is an integer from 1 to 1000000"),
        ({"seed": 2**64}, ValueError, "seed: got 18446744073709551616; it is an integer from 0"),
        ({"threads": True}, TypeError, "threads: got True; it is an integer from 1 to 1024"),
    ],
)
def test_build_says_what_is_wrong(options: dict[str, Any], error: type[Exception], message: str) -> None:
    """A refused argument is named with its value and what is allowed."""
    train = options.pop("train", ROWS)
    with pytest.raises(error) as caught:
        Forest.build(train, **options)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("vectors", "options", "error", "message"),
    [
        (
            np.ones(3),
            {},
            ValueError,
            "vectors: got shape (3,); this index takes (4,) for one vector, (m, 4) for many",
        ),
        (np.ones((2, 5)), {}, ValueError, "vectors: got shape (2, 5); this index takes (4,) for one vector"),
        (np.ones((2, 2, 4)), {}, ValueError, "vectors: got shape (2, 2, 4); this index takes (4,)"),
        (np.float32(1), {}, ValueError, "vectors: got shape (); this index takes (4,)"),
        (
            [np.nan, 0, 0, 0],
            {},
            ValueError,
            "vectors: row 0 holds NaN or infinity; every value must be finite",
        ),
        ([[0] * 4, [0, 0, 0, -np.inf]], {}, ValueError, "vectors: row 1 holds NaN or infinity"),
        (["a"] * 4, {}, TypeError, "vectors: got dtype <U1; euclidean takes real numbers, used as float32"),
        (ROWS, {"k": 0}, ValueError, "k: got 0; it is an integer from 1 to 2147483647"),
        (ROWS, {"k": None}, TypeError, "k: got None; it is an integer from 1 to 2147483647"),
        (ROWS, {"search_k": 0}, ValueError, "search_k: got 0; it is an integer from 1"),
        (ROWS, {"search_k": "9"}, TypeError, "search_k: got '9'; it is an integer from 1"),
        (ROWS, {"rerank": 0}, ValueError, "rerank: got 0; it is an integer from 1"),
        (ROWS, {"rerank": 1.0}, TypeError, "rerank: got 1.0; it is an integer from 1"),
        (ROWS, {"threads": 0}, ValueError, "threads: got 0; it is an integer from 1 to 1024"),
    ],
)
def test_query_says_what_is_wrong(
    vectors: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """A refused argument is named with its value and what is allowed; the index goes on working."""
    forest = Forest.build(ROWS, n_trees=1)
    with pytest.raises(error) as caught:
        forest.query(vectors, **{"k": 2, **options})
    assert str(caught.value).startswith(message)
    np.testing.assert_array_equal(forest.query(ROWS[0], 2)[0], [0, 1])


def test_numpy_integers_are_integers() -> None:
    """Parameters may be NumPy integers, as they come out of arrays and grids."""
    forest = Forest.build(ROWS, n_trees=np.int64(2), seed=np.uint64(2**63))
    assert forest.query(ROWS[0], np.int16(3), search_k=np.int64(20))[0].tolist() == [0, 1, 2]
