"""Angles, for libraries that know the euclidean distance or the inner product only: vectors of length 1."""

from __future__ import annotations

import math

import numpy as np


class UnitVectors:
    """The rows of `train` (n, d) scaled to length 1, and the same for the queries that are asked of them.

    Among rows of length 1 the euclidean distance and the inner product rank as the angle does, whatever the
    length of the query. A row of zeros is at a right angle to everything: where there are such rows, all
    vectors get one more coordinate, which is 1 for them and 0 for the others. (Inner products need none:
    `mark_zeros=False`.)

    Attributes
    ----------
    rows : numpy.ndarray, shape (n, d) or (n, d + 1)
        C-contiguous float32.
    padded : bool
        Whether there is one more coordinate.
    """

    def __init__(self, train: np.ndarray, mark_zeros: bool = True) -> None:
        norms = np.linalg.norm(train, axis=1, keepdims=True)
        zero = norms == 0
        self.padded = mark_zeros and bool(zero.any())
        rows = train / np.where(zero, np.float32(1), norms)
        self.rows = np.ascontiguousarray(rows, dtype=np.float32)
        if self.padded:
            self.rows = np.hstack([self.rows, zero.astype(np.float32)])

    def pad(self, vector: np.ndarray) -> np.ndarray:
        """Return the query `vector` (d,) with as many coordinates as the rows."""
        return np.append(vector, np.float32(0)) if self.padded else vector

    def pad_all(self, vectors: np.ndarray) -> np.ndarray:
        """Return the queries `vectors` (q, d) with as many coordinates as the rows."""
        return np.pad(vectors, ((0, 0), (0, 1))) if self.padded else vectors

    def scale(self, vector: np.ndarray) -> np.ndarray:
        """Return the query `vector` (d,) like the rows: of length 1, zeros but for the zero vector."""
        return self.pad(vector / (math.sqrt(vector.dot(vector)) or 1.0))

    def scale_all(self, vectors: np.ndarray) -> np.ndarray:
        """Return the queries `vectors` (q, d) like the rows, as `scale` does."""
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return self.pad_all(np.divide(vectors, np.where(norms == 0, np.float32(1), norms), order="C"))
