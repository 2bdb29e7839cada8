"""Sets of items, the rows of jaccard datasets: kept one after the other, as a sparse matrix keeps its rows.

Runs in every library's environment: Python >= 3.7, standard library and NumPy.
"""

from __future__ import annotations

import os
from typing import Any, Iterator, Union

import numpy as np


class Sets:
    """A table of sets; an index gives one set, a slice or an array of numbers a smaller table.

    Attributes
    ----------
    indices : numpy.ndarray, shape (total,), int32
        The items of all sets, set by set, in a set each item once and ascending.
    offsets : numpy.ndarray, shape (n + 1,), int64
        Set i is ``indices[offsets[i] : offsets[i + 1]]``. Read-only.
    dimension : int
        Items are 0 to dimension - 1.
    """

    dtype = np.dtype(np.int32)

    def __init__(self, indices: np.ndarray, offsets: np.ndarray, dimension: int) -> None:
        self.indices = indices
        self.offsets = offsets.view()
        self.offsets.flags.writeable = False
        self.dimension = dimension

    @property
    def shape(self) -> tuple[int, int]:
        """How many sets, of how many items that there are."""
        return len(self), self.dimension

    @property
    def sizes(self) -> np.ndarray:
        """Items in each set, shape (n,)."""
        return np.diff(self.offsets)

    @property
    def nbytes(self) -> int:
        """Bytes of all items and offsets."""
        return int(self.indices.nbytes + self.offsets.nbytes)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, (int, np.integer)):
            row = range(len(self))[which]
            return self.indices[self.offsets[row] : self.offsets[row + 1]]
        rows = np.arange(len(self))[which]
        sizes = self.sizes[rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        positions = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][rows] - offsets[:-1], sizes)
        return Sets(self.indices[positions], offsets, self.dimension)

    def as_bits(self) -> np.ndarray:
        """Return a row of bits for each set, bool, shape (n, dimension): which items it has."""
        bits = np.zeros(self.shape, dtype=np.bool_)
        bits[np.repeat(np.arange(len(self)), self.sizes), self.indices] = True
        return bits

    def copy(self, order: str = "C") -> Sets:
        """Return a table with items of its own, as of an array."""
        return Sets(self.indices.copy(), self.offsets, self.dimension)


Rows = Union[np.ndarray, Sets]


def values(rows: Rows) -> np.ndarray:
    """Return the array that holds what `rows` are made of: themselves, or the items of sets."""
    return rows.indices if isinstance(rows, Sets) else rows


def save_rows(path: str, rows: Rows) -> None:
    """Write rows to ``path``, a ``.npy`` file; of sets it has the items, and others beside it the rest."""
    np.save(path, values(rows))
    if isinstance(rows, Sets):
        np.save(path + _OFFSETS, rows.offsets)
        np.save(path + _DIMENSION, np.array(rows.dimension))


def load_rows(path: str, mmap_mode: Any = None) -> Rows:
    """Return what `save_rows` wrote; `mmap_mode` as of `numpy.load`."""
    array = np.load(path, mmap_mode=mmap_mode)
    if not os.path.exists(path + _OFFSETS):
        return array  # type: ignore[no-any-return]
    return Sets(array, np.load(path + _OFFSETS), int(np.load(path + _DIMENSION)))


_OFFSETS = ".offsets.npy"
_DIMENSION = ".dimension.npy"
