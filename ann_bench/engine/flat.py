"""An index that compares every row."""

from typing import Self

import numpy as np
import numpy.typing as npt

from ann_bench.engine import _native
from ann_bench.engine.kind import KindOfIndex, train_array


class Flat(KindOfIndex):
    """An index that compares every row: exact, and quick enough for a few thousand rows.

    For every distance.
    """

    __slots__ = ()

    kind = "flat"

    @classmethod
    def build(
        cls,
        train: npt.ArrayLike,
        distance: str = "euclidean",
        *,
        codes: bool = False,
        threads: int = 1,
    ) -> Self:
        """Return an index of the rows of `train`; it keeps a copy of them.

        They are kept in the smallest type that holds them exactly.

        Parameters
        ----------
        train
            Shape (n, d), as `Forest.build` takes it.
        distance
            ``euclidean``, ``angular``, ``dot``, ``hamming``, ``manhattan`` or ``jaccard``.
        codes
            Whether to keep a byte a dimension besides, and to compare these first: what they rule out, by
            bounds that are sure, is not compared exactly. Answers are the same. For euclidean, angular and
            dot, and rows that are no bytes already; others have none.
        threads
            How many threads build.

        Raises
        ------
        ValueError, TypeError
            As `Forest.build`.
        """
        return cls._of(_native.build_flat(train_array(train, distance), distance, codes, threads))

    def query(
        self, vectors: npt.ArrayLike, k: int, *, allow: npt.ArrayLike | None = None, threads: int = 1
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return the row numbers and distances of the `k` nearest rows, nearest first, ties by number.

        Parameters
        ----------
        vectors
            Shape (d,) for one vector or (m, d) for many; values as in `build`.
        k
            How many neighbours, >= 1.
        allow
            The only rows to answer with: row numbers, or a bool array of shape (n,). Default: all.
        threads
            How many threads share the work on many vectors.

        Returns
        -------
        ids
            int32, shape (k,) or (m, k); -1 at the end where the index has fewer than `k` rows.
        distances
            float32, of the same shape; +inf where `ids` is -1.

        Raises
        ------
        ValueError, TypeError, DamagedIndexError
            As `Forest.query`.
        """
        if allow is None and threads == 1:
            answer = self._quick(vectors, k, None, None, None)
            if answer is not None:
                return answer
        return self._query(vectors, k, None, None, None, allow, threads)
