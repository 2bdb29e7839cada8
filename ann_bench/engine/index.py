"""The index that needs no knowledge of kinds."""

from __future__ import annotations

import os
from typing import Any, NoReturn, Self

import numpy as np
import numpy.typing as npt

from ann_bench.engine import _native
from ann_bench.engine.choice import DISTANCES, KINDS, VECTOR_DISTANCES, choose
from ann_bench.engine.kind import KindOfIndex, train_array


class Index:
    """An index of rows that finds those nearest to a vector: of the kind that suits them, tuned to a recall.

    >>> import numpy as np
    >>> rows = np.random.default_rng(0).standard_normal((5000, 16), dtype=np.float32)
    >>> index = Index("euclidean", 16, target_recall=0.95)
    >>> index.build(rows)
    >>> ids, distances = index.query(rows[7], k=3)
    >>> int(ids[0]), float(distances[0]), index.kind
    (7, 0.0, 'graph')

    Parameters
    ----------
    distance
        ``euclidean``, ``angular`` (1 - cos), ``dot`` (minus the inner product), ``hamming``,
        ``manhattan`` or ``jaccard``.
    dimension
        Length of a vector, 1 to 65535.
    kind
        ``flat``, ``forest``, ``graph`` or ``cluster``; or ``auto``: chosen when the rows are known, from
        their number, the distance, the memory limit and a probe of some of them. `why` tells the reason.
    target_recall
        In (0, 1]: the share of the true neighbours that queries find on average, unless they ask for another.
    k
        How many neighbours `target_recall` is for.
    memory_limit_bytes
        How large the index may be; for ``auto`` alone.
    seed
        0 to 2**64 - 1: what chance there is depends on it.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    def __init__(
        self,
        distance: str,
        dimension: int,
        kind: str = "auto",
        *,
        target_recall: float = 0.95,
        k: int = 10,
        memory_limit_bytes: int | None = None,
        seed: int = 0,
    ) -> None:
        if kind != "auto" and kind not in KINDS:
            raise ValueError(f'kind: got "{kind}"; it is auto, {", ".join(sorted(KINDS))}')
        if not 0 < target_recall <= 1:
            raise ValueError(f"target_recall: got {target_recall}; it is above 0, and 1 at most")
        if k < 1:
            raise ValueError(f"k: got {k}; it is at least 1")
        if not 1 <= dimension <= 65535:
            raise ValueError(f"dimension: got {dimension}; it is 1 to 65535")
        if memory_limit_bytes is not None and kind != "auto":
            raise ValueError(f'memory_limit_bytes: only kind "auto" can mind it, and this is "{kind}"')
        if distance not in DISTANCES:
            raise ValueError(f'distance: got "{distance}"; it is {", ".join(DISTANCES)}')
        possible = VECTOR_DISTANCES if kind in ("graph", "cluster") else DISTANCES
        if distance not in possible:
            raise ValueError(f"kind: a {kind} is for {', '.join(possible)}; for {distance} take a forest")
        self._distance = distance
        self._dimension = dimension
        self._kind = kind
        self._target_recall = target_recall
        self._k = k
        self._memory_limit_bytes = memory_limit_bytes
        self._seed = seed
        self._built: KindOfIndex | None = None
        self._why = ""

    def build(self, train: npt.ArrayLike, *, queries: npt.ArrayLike | None = None, threads: int = 1) -> None:
        """Build the index of the rows of `train`, of which it keeps a copy, and tune it.

        Parameters
        ----------
        train
            Shape (n, dimension); values as `Forest.build` takes them.
        queries
            A sample of the queries to come, shape (m, dimension), if they are unlike the rows: the index is
            then chosen and tuned for them.
        threads
            How many threads build. The index does not depend on it.

        Raises
        ------
        ValueError
            If the shape is another, a value is not finite, or no kind fits into the memory.
        TypeError
            If the values are of a wrong type.
        """
        array = train_array(train, self._distance)
        if array.shape[1] != self._dimension:
            raise ValueError(f"train: got shape {array.shape}; this index takes (n, {self._dimension})")
        options: dict[str, Any] = {}
        if self._kind == "auto":
            kind, options, self._why = choose(
                array,
                self._distance,
                self._target_recall,
                self._k,
                self._memory_limit_bytes,
                queries,
                self._seed,
                threads,
            )
        else:
            kind, self._why = self._kind, "asked for"
        if kind != "flat":
            options = {"seed": self._seed, **options}
        built = KINDS[kind].build(array, self._distance, threads=threads, **options)  # type: ignore[attr-defined]
        if kind != "flat" and len(array) > 1:
            asked = 400 if queries is None else queries
            built.tune(self._target_recall, self._k, queries=asked, seed=self._seed, threads=threads)
        self._built = built

    @classmethod
    def open(cls, path: str | os.PathLike[str], mode: str = "mmap") -> Self:
        """Return the index that `save` of any kind wrote to `path`; see `Forest.open`."""
        native = _native.open_index(os.fsencode(path), mode)
        facts = native.info()
        index = cls(facts["distance"], facts["dimension"], facts["kind"])
        index._built = KINDS[facts["kind"]]._of(native)
        index._why = "what the file holds"
        if facts["tuned"]:
            index._target_recall, index._k = facts["tuned"][0][:2]
        return index

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to one file, whole or not at all; see `Forest.save`."""
        self.of_kind.save(path)

    def query(
        self,
        vectors: npt.ArrayLike,
        k: int,
        *,
        recall: float | None = None,
        allow: npt.ArrayLike | None = None,
        threads: int = 1,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return the row numbers and distances of the `k` nearest rows found, nearest first, ties by number.

        Parameters
        ----------
        vectors
            Shape (dimension,) for one vector or (m, dimension) for many.
        k
            How many neighbours, >= 1.
        recall
            In (0, 1]: the share to find, if not the target; one of those that `tune` of the kind knows.
        allow
            The only rows to answer with: row numbers, or a bool array of shape (n,). Default: all.
        threads
            How many threads share the work on many vectors.

        Returns
        -------
        ids
            int32, shape (k,) or (m, k); -1 at the end where there are fewer than `k` rows.
        distances
            float32, of the same shape; +inf where `ids` is -1.

        Raises
        ------
        ValueError, TypeError, DamagedIndexError
            As `Forest.query`.
        """
        built = self.of_kind if self._built is None else self._built
        if built.kind == "flat":
            recall = None  # it finds all
        if allow is None and threads == 1:
            answer = built._quick(vectors, k, None, None, recall)
            if answer is not None:
                return answer
        return built._query(vectors, k, None, None, recall, allow, threads)

    def add(self, vectors: npt.ArrayLike, *, threads: int = 1) -> None:
        """Add rows, whose numbers follow those that there are: the first build the index; see `Graph.add`."""
        if self._built is None:
            self.build(np.atleast_2d(np.asarray(vectors)), threads=threads)
        else:
            self._built.add(vectors, threads=threads)

    def delete(self, rows: npt.ArrayLike) -> None:
        """Take rows out; see `Forest.delete`."""
        self.of_kind.delete(rows)

    @property
    def of_kind(self) -> KindOfIndex:
        """The index of its kind, which knows more.

        Raises
        ------
        ValueError
            If it has no rows yet.
        """
        if self._built is None:
            raise ValueError("this index has no rows yet: call build(train)")
        return self._built

    @property
    def kind(self) -> str:
        """The kind: ``auto`` until there are rows."""
        return self._kind if self._built is None else self._built.kind

    @property
    def why(self) -> str:
        """Why it is of this kind."""
        return self._why

    @property
    def distance(self) -> str:
        """Name of the distance."""
        return self._distance

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._dimension

    @property
    def target_recall(self) -> float:
        """The share of the neighbours that queries find unless they ask for another."""
        return self._target_recall

    @property
    def size_bytes(self) -> int:
        """Bytes of the index: of its saved file, and in memory if it was built here."""
        return self.of_kind.size_bytes

    @property
    def distance_computations(self) -> int:
        """How many distances all queries so far computed or estimated."""
        return self.of_kind.distance_computations

    def __len__(self) -> int:
        return 0 if self._built is None else len(self._built)

    def __repr__(self) -> str:
        return f"<Index of kind {self.kind} over {len(self):,} x {self._dimension} {self._distance}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Index is not pickled: save() it, and open() the file where it is needed")
