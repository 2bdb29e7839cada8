"""A forest of random-projection trees."""

import os
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ann_bench.engine import _native
from ann_bench.engine.kind import KindOfIndex, train_array


def _present_ids(present: npt.ArrayLike | None, rows: int) -> npt.NDArray[np.uint32] | None:
    """Return the numbers of the rows that can be found; None stands for every row."""
    if present is None:
        return None
    mask = np.asarray(present)
    if mask.dtype != np.bool_ or mask.shape != (rows,):
        raise ValueError(f"present: got {mask.dtype} of shape {mask.shape}; it is bool of shape ({rows},)")
    return np.flatnonzero(mask).astype(np.uint32)


class Forest(KindOfIndex):
    """An index of rows that finds those nearest to a vector, approximately.

    Each tree divides the rows by hyperplanes until a leaf holds few of them. A query walks all trees in one
    order, nearest branches first, reads leaves until `search_k` of their entries were seen, and compares the
    most promising of them exactly. The method is that of Annoy (https://github.com/spotify/annoy): more trees
    and a larger `search_k` find more of the true neighbours, and take longer.

    For every distance.
    """

    __slots__ = ()

    kind = "forest"
    grows = False

    @classmethod
    def build(
        cls,
        train: npt.ArrayLike,
        distance: str = "euclidean",
        *,
        n_trees: int = 5,
        seed: int = 0,
        threads: int = 1,
        present: npt.ArrayLike | None = None,
        path: str | os.PathLike[str] | None = None,
        target_recall: float | None = None,
        k: int = 10,
    ) -> Self:
        """Return an index of the rows of `train`; it keeps a copy of them.

        The index depends on every argument but `threads`: its saved file is the same byte for byte, on every
        processor.

        Parameters
        ----------
        train
            Shape (n, d), 1 <= n < 2**31, 1 <= d <= 65535: finite real numbers, used as float32. For hamming
            and jaccard bool, or integers that are 0 or 1. float32, float16, int8, uint8 and bool arrays in C
            order are read as they are, others are converted first. Distances are computed in float32: those
            of values beyond 1e18, or all below 1e-18, overflow or vanish.
        distance
            ``euclidean``, ``angular``, ``dot``, ``hamming``, ``manhattan`` or ``jaccard``.
        n_trees
            How many trees, >= 1. Few are enough: a tree costs about w / 7 + 9 bytes a row, where w, the width
            of codes, is d rounded up to a multiple of 64, and at most 192 but for bits.
        seed
            0 to 2**64 - 1.
        threads
            How many threads build; a tree is built by one.
        present
            Bool, shape (n,): rows where it is False are kept, and never found. None: all are found.
        path
            Build straight into this file, and return it opened. For rows that do not fit in memory, such as
            those of a `numpy.memmap`: they are read once, in order, and go to the file; about
            (2 + n_trees / 3) w bytes a row, with w as above, stay in memory until the end. The file is what
            `save` writes.
        target_recall
            In (0, 1]: choose, by `tune`, the `search_k` and `rerank` that queries use unless told otherwise.
        k
            How many neighbours `target_recall` is for.

        Raises
        ------
        ValueError
            If an argument is out of range, `train` has no rows or another number of axes, or a value is NaN,
            infinite, or too large for float32.
        TypeError
            If an argument has the wrong type.
        OSError
            If `path` cannot be written.
        """
        array = train_array(train, distance)
        ids = _present_ids(present, len(array))
        file = None if path is None else os.fsencode(path)
        forest = cls._of(_native.build_forest(array, distance, n_trees, seed, threads, ids, file))
        if target_recall is not None:
            forest.tune(target_recall, k, seed=seed, threads=threads)
            if path is not None:
                forest.save(path)
        return forest

    def query(
        self,
        vectors: npt.ArrayLike,
        k: int,
        search_k: int | None = None,
        *,
        rerank: int | None = None,
        recall: float | None = None,
        allow: npt.ArrayLike | None = None,
        threads: int = 1,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return the row numbers and distances of the `k` nearest rows found, nearest first, ties by number.

        Arrays are taken as `build` takes them.

        Parameters
        ----------
        vectors
            Shape (d,) for one vector or (m, d) for many; values as in `build`.
        k
            How many neighbours, >= 1.
        search_k
            How many leaf entries to look at, over all trees and counting a row each time it turns up, >= 1.
            At least `k` different rows, or all, are looked at in any case. By default what `tune` found, or
            `200 * k` (`n_trees * k` if that is more, as in Annoy). From `n_trees * n` on,
            every row is compared, and the answer is exact.
        rerank
            How many of the rows that look nearest by their codes to compare exactly, >= 1; at least `k` are.
            By default what `tune` found, or 3 k + 30.
        recall
            In (0, 1]: search as hard as `tune` found to be enough for this share of the neighbours.
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
        ValueError
            If an argument is out of range, the shape is not that of the index, or a value is not finite.
        TypeError
            If an argument has the wrong type.
        DamagedIndexError
            If the file that the index was opened from turns out to be damaged.
        """
        if allow is None and threads == 1:
            answer = self._quick(vectors, k, search_k, rerank, recall)
            if answer is not None:
                return answer
        return self._query(vectors, k, search_k, rerank, recall, allow, threads)

    def info(self) -> dict[str, Any]:
        """Return what the index is.

        The keys are those of every kind, and n_trees, seed, code_width, nodes (splits), boughs and leaves.
        """
        return super().info()

    @property
    def n_trees(self) -> int:
        """Number of trees."""
        return int(self.info()["n_trees"])

    def __repr__(self) -> str:
        facts = self.info()
        return (
            f"<Forest of {facts['n_trees']} trees over {facts['rows']:,} x {facts['dimension']} "
            f"{facts['distance']}, {facts['size_bytes'] / 1e6:,.1f} MB>"
        )
