"""What a library answered, checked and brought into one array; always after the timed loop, never in it."""

from __future__ import annotations

from typing import Any

import numpy as np

_INT32 = np.iinfo(np.int32)


class WrongAnswerError(Exception):
    """An answer is not a row of at most k integers."""


def as_id_array(answers: Any, queries: int, k: int) -> np.ndarray:
    """Return the answers of `queries` queries as int32 (queries, k), -1 where fewer than k came back.

    The largest uint32 or uint64, which libraries put where an answer is missing if they have no sign, becomes
    -1 too; other ids beyond int32 become its largest value, which no row has. `WrongAnswerError` tells what
    is not a row of integers.
    """
    if isinstance(answers, list) and len(answers) > 1 and _share_memory(answers[0], answers[1]):
        raise WrongAnswerError(
            "query() returns the same array each time, so that later answers overwrite earlier ones; "
            "return a copy"
        )
    try:
        table: np.ndarray | None = np.asarray(answers)
    except ValueError:
        table = None
    if table is None or table.ndim != 2 or table.dtype.kind not in "iu":
        table = _row_by_row(answers, queries, k)
    if len(table) != queries:
        raise WrongAnswerError("%d answers came back for %d queries" % (len(table), queries))
    if table.shape[1] > k:
        raise WrongAnswerError("%d ids came back where k = %d" % (table.shape[1], k))
    out = np.full((queries, k), -1, dtype=np.int32)
    out[:, : table.shape[1]] = _as_int32(table)
    return out


def _share_memory(first: Any, second: Any) -> bool:
    return (
        isinstance(first, np.ndarray) and isinstance(second, np.ndarray) and np.shares_memory(first, second)
    )


def _row_by_row(answers: Any, queries: int, k: int) -> np.ndarray:
    """Return the table of answers of unequal length; name the first one that is not a row of integers."""
    table = np.full((queries, k), -1, dtype=np.int64)
    try:
        count = len(answers)
    except TypeError:
        raise WrongAnswerError("the answers are %s; they are rows of integers" % _describe(answers)) from None
    if count != queries:
        raise WrongAnswerError("%d answers came back for %d queries" % (count, queries))
    for i, answer in enumerate(answers):
        try:
            row = np.asarray(answer)
        except ValueError:
            row = np.empty((0, 0))
        if row.size == 0 and row.ndim == 1:
            continue
        if row.ndim != 1 or row.dtype.kind not in "iu":
            raise WrongAnswerError(
                "query %d: the answer is %s; it is a row of integers (ids)" % (i, _describe(answer))
            )
        if len(row) > k:
            raise WrongAnswerError("query %d: %d ids came back where k = %d" % (i, len(row), k))
        table[i, : len(row)] = _as_int32(row)
    return table


def _as_int32(ids: np.ndarray) -> np.ndarray:
    narrow: np.ndarray
    if ids.dtype == np.int32:
        return ids
    if ids.dtype.kind == "u":
        narrow = np.minimum(ids.astype(np.uint64), np.uint64(_INT32.max)).astype(np.int32)
        if ids.dtype.itemsize >= 4:
            narrow[ids == np.iinfo(ids.dtype).max] = -1
        return narrow
    narrow = np.clip(ids, _INT32.min, _INT32.max).astype(np.int32)
    return narrow


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return "an array of shape %s and dtype %s" % (value.shape, value.dtype)
    text = repr(value)
    return "%s %s" % (type(value).__name__, text if len(text) <= 60 else text[:57] + "...")
