"""What a library answered becomes one array of ids, or a reason why not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ann_bench.worker.answers import WrongAnswerError, as_id_array

ids = st.lists(st.lists(st.integers(-5, 2**40), max_size=4), min_size=1, max_size=6)


@given(answers=ids)
def test_every_row_of_integers_is_kept_in_its_place(answers: list[list[int]]) -> None:
    """Ids keep their order, padded with -1; those beyond int32 become its largest value."""
    table = as_id_array(answers, len(answers), 4)
    for row, answer in zip(table, answers, strict=True):
        assert row.tolist() == [min(i, 2**31 - 1) for i in answer] + [-1] * (4 - len(answer))


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "uint32", "uint64"])
def test_any_integer_array_is_an_answer(dtype: str) -> None:
    """The width and sign of the library's integers make no difference."""
    answers = [np.array([1, 2], dtype=dtype), np.array([3, 4], dtype=dtype)]
    assert as_id_array(answers, 2, 2).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("dtype", ["uint32", "uint64"])
def test_the_largest_unsigned_number_stands_for_a_missing_answer(dtype: str) -> None:
    """It is -1 without a sign; a byte's largest value is an id like any other."""
    missing = np.array([7, np.iinfo(dtype).max], dtype=dtype)
    assert as_id_array([missing, missing.copy()], 2, 2).tolist() == [[7, -1], [7, -1]]
    assert as_id_array([np.array([255], dtype=np.uint8)], 1, 1).tolist() == [[255]]


def test_a_batch_answer_is_one_table() -> None:
    """A two-dimensional array is taken as it is."""
    assert as_id_array(np.arange(6).reshape(2, 3), 2, 3).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([[1.5, 2.0]], "query 0: the answer is list [1.5, 2.0]; it is a row of integers (ids)"),
        ([[True, False]], "query 0: the answer is list [True, False]; it is a row of integers (ids)"),
        ([[1, 2], None], "query 1: the answer is NoneType None; it is a row of integers (ids)"),
        ([[[1, 2]]], "query 0: the answer is list [[1, 2]]; it is a row of integers (ids)"),
        ([[1, 2, 3]], "3 ids came back where k = 2"),
        ([[1], [1, 2, 3]], "query 1: 3 ids came back where k = 2"),
        (None, "the answers are NoneType None; they are rows of integers"),
    ],
)
def test_anything_else_is_refused_with_its_place(answers: object, message: str) -> None:
    """The reason names the query and what came back."""
    with pytest.raises(WrongAnswerError) as caught:
        as_id_array(answers, len(answers) if isinstance(answers, list) else 1, 2)
    assert str(caught.value) == message


def test_a_missing_answer_is_refused() -> None:
    """A batch must answer every query."""
    with pytest.raises(WrongAnswerError, match="1 answers came back for 2 queries"):
        as_id_array([[1, 2]], 2, 2)
