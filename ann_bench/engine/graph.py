"""A graph of near rows."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ann_bench.engine import _native
from ann_bench.engine.kind import KindOfIndex, train_array


class Graph(KindOfIndex):
    """An index of rows that finds those nearest to a vector, approximately, by a walk from row to row.

    Every row is joined to near ones in all directions. A query walks from wherever it begins towards its
    neighbours, over codes of 4 bits a dimension; the best of the rows that it saw are compared exactly. The
    fastest kind where rows are more than a few hundred.

    For euclidean, angular and dot.
    """

    __slots__ = ()

    kind = "graph"

    @classmethod
    def build(
        cls,
        train: npt.ArrayLike,
        distance: str = "euclidean",
        *,
        degree: int | None = None,
        alpha: float = 1.1,
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
        degree
            How many rows each is joined to at most, 1 to 1024. By default 32.
        alpha
            1 to 2: a row is not joined to what lies so many times nearer to one that it is joined to. Larger
            numbers leave more edges in.
        seed
            0 to 2**64 - 1.
        threads
            How many threads build.
        target_recall
            In (0, 1]: choose, by `tune`, the `ef` and `rerank` that queries use unless told otherwise.
        k
            How many neighbours `target_recall` is for.

        Raises
        ------
        ValueError, TypeError
            As `Forest.build`.
        """
        array = train_array(train, distance)
        graph = cls._of(_native.build_graph(array, distance, degree, alpha, seed, threads))
        if target_recall is not None:
            graph.tune(target_recall, k, seed=seed, threads=threads)
        return graph

    def query(
        self,
        vectors: npt.ArrayLike,
        k: int,
        ef: int | None = None,
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
        ef
            How far a walk goes, >= 1: where it was at the `ef` nearest rows that it saw, on average; at more
            where many are about as near, else at fewer. It may be less than `k`. By default what `tune`
            found, or a rule.
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
            answer = self._quick(vectors, k, ef, rerank, recall)
            if answer is not None:
                return answer
        return self._query(vectors, k, ef, rerank, recall, allow, threads)

    def info(self) -> dict[str, Any]:
        """Return what the index is.

        The keys are those of every kind, and row_type, fitted (rows that there were when all was
        built), degree, alpha, seed, code_width and entries (rows that
        walks begin near to).
        """
        return super().info()
