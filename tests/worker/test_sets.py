"""Tables of sets behave as arrays of rows do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ann_bench.worker.sets import Rows, Sets, load_rows, save_rows, values

ROWS = [[1, 4], [], [0, 2, 3], [4]]
SETS = Sets(np.array([1, 4, 0, 2, 3, 4], dtype=np.int32), np.array([0, 2, 2, 5, 6]), 5)


def lists(rows: Rows) -> Any:
    """Return rows as lists."""
    return [row.tolist() for row in rows]


@pytest.mark.parametrize("which", [slice(1, 3), slice(None, None, -1), slice(9, 12), [3, 0, 0, 1], []])
def test_a_part_of_a_table_is_that_part_of_the_rows(which: Any) -> None:
    """A slice, or rows by number, repeated ones too, make a table of those rows in that order."""
    part = SETS[np.array(which, dtype=int) if isinstance(which, list) else which]
    assert lists(part) == (ROWS[which] if isinstance(which, slice) else [ROWS[i] for i in which])
    assert part.shape == (len(part), 5)


def test_a_number_gives_one_set() -> None:
    """Rows are counted from either end, and there are no more than there are."""
    assert SETS[-2].tolist() == [0, 2, 3]
    with pytest.raises(IndexError):
        SETS[4]


@pytest.mark.parametrize("mmap_mode", [None, "r", "c"])
@pytest.mark.parametrize("rows", [SETS, SETS[:0], np.arange(6.0).reshape(3, 2)])
def test_rows_come_back_from_files(tmp_path: Path, rows: Rows, mmap_mode: Any) -> None:
    """What was saved is loaded, sets as sets and arrays as arrays, of the same shape."""
    save_rows(str(tmp_path / "rows.npy"), rows)
    loaded = load_rows(str(tmp_path / "rows.npy"), mmap_mode)
    assert type(loaded) is type(rows) or isinstance(loaded, np.memmap)
    assert (lists(loaded), loaded.shape) == (lists(rows), rows.shape)


def test_a_copy_shares_no_items() -> None:
    """Writing into a copy leaves the table alone; offsets cannot be written to."""
    copy = SETS.copy()
    values(copy)[:] = 0
    assert lists(SETS) == ROWS
    with pytest.raises(ValueError, match="read-only"):
        copy.offsets[0] = 1
