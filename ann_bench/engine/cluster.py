"""Clusters of rows."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ann_bench.engine import _native
from ann_bench.engine.kind import KindOfIndex, train_array


class Cluster(KindOfIndex):
    """An index of rows that finds those nearest to a vector, approximately, in clusters that are near to it.

    Rows are grouped by the nearest of some centres. A query reads the clusters whose centres are nearest, one
    row after another, in codes of 2 bits a dimension; the best are compared exactly. It is built in a
    fraction of a graph's time, and reads in order what a graph has to jump to, which helps where memory is
    slow.

    For euclidean, angular and dot. Rows can be taken out of it; it cannot grow.
    """

    __slots__ = ()

    kind = "cluster"
    grows = False

    @classmethod
    def build(
        cls,
        train: npt.ArrayLike,
        distance: str = "euclidean",
        *,
        clusters: int | None = None,
        assignments: int | None = None,
        seed: int = 0,
        threads: int = 1,
        target_recall: float | None = None,
        k: int = 10,
    ) -> Self:
        """Return an index of the rows of `train`; it keeps a copy of them.

        They are kept in the smallest type that holds them exactly.
        The index depends on every argument but `threads`: its saved file is the same byte for byte, on every
        processor.

        Parameters
        ----------
        train
            Shape (n, d), as `Forest.build` takes it.
        distance
            ``euclidean``, ``angular`` or ``dot``.
        clusters
            How many, >= 1. By default 2.5 times the square root of n.
        assignments
            How many clusters each row is in, 1 or 2: by default 2. One takes less memory, and as a rule more
            time at high recall.
        seed
            0 to 2**64 - 1.
        threads
            How many threads build.
        target_recall
            In (0, 1]: choose, by `tune`, the `nprobe` and `rerank` that queries use unless told otherwise.
        k
            How many neighbours `target_recall` is for.

        Raises
        ------
        ValueError, TypeError
            As `Forest.build`.
        """
        array = train_array(train, distance)
        cluster = cls._of(_native.build_cluster(array, distance, clusters, assignments, seed, threads))
        if target_recall is not None:
            cluster.tune(target_recall, k, seed=seed, threads=threads)
        return cluster

    def query(
        self,
        vectors: npt.ArrayLike,
        k: int,
        nprobe: int | None = None,
        *,
        rerank: int | None = None,
        recall: float | None = None,
        allow: npt.ArrayLike | None = None,
        threads: int = 1,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return the row numbers and distances of the `k` nearest rows found, nearest first, ties by number.

        Parameters
        ----------
        vectors
            Shape (d,) for one vector or (m, d) for many; values as in `build`.
        k
            How many neighbours, >= 1.
        nprobe
            How many clusters to read at most, >= 1: those that are much farther than the nearest are left
            out. By default what `tune` found, or a rule.
        rerank
            How many of the rows that look nearest by their codes to compare exactly, >= 1; at least `k` are.
            By default what `tune` found, or a rule. From n on, every row is compared: the answer is exact.
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
        ValueError, TypeError, DamagedIndexError
            As `Forest.query`.
        """
        if allow is None and threads == 1:
            answer = self._quick(vectors, k, nprobe, rerank, recall)
            if answer is not None:
                return answer
        return self._query(vectors, k, nprobe, rerank, recall, allow, threads)

    def info(self) -> dict[str, Any]:
        """Return what the index is.

        The keys are those of every kind, and row_type, clusters, assignments, seed and code_width.
        """
        return super().info()
