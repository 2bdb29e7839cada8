"""What all kinds of index have in common."""

import os
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn, Self

import numpy as np
import numpy.typing as npt

from ann_bench.engine import _native
from ann_bench.engine.arrays import as_engine_array, as_row_bits, as_row_numbers
from ann_bench.engine.tuning import DEFAULT_RECALLS, tune


class KindOfIndex:
    """An index of rows that finds those nearest to a vector.

    Made by `build` or `open` of a kind. It may be queried from several threads at once; no method holds the
    GIL while it works. `add`, `delete` and `tune` change it, and are not called while others query.

    Distances are ``euclidean`` (L2), ``angular`` (1 - cos; 1 if either vector is zero), ``dot`` (minus the
    inner product), ``hamming`` (share of differing bits), ``manhattan`` (L1) and ``jaccard`` (1 -
    intersection / union of sets, given as rows of bits), each where the kind says so.
    """

    __slots__ = ("_distance", "_index", "_quick")

    kind: ClassVar[str]
    """What the file calls it."""
    grows: ClassVar[bool] = True
    """Whether `add` is for it."""

    _index: _native.Index
    _distance: str
    _quick: Callable[
        [npt.ArrayLike, int, int | None, int | None, float | None],
        tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]] | None,
    ]
    """Answers for one plain vector, or returns None; a fraction of the way through `_query`."""

    def __init__(self) -> None:
        raise TypeError(
            f"a {type(self).__name__} is made by {type(self).__name__}.build(train, ...) or "
            f"{type(self).__name__}.open(path)"
        )

    @classmethod
    def _of(cls, index: _native.Index) -> Self:
        made = cls.__new__(cls)
        made._index = index
        made._distance = index.info()["distance"]
        made._quick = index.quick_query()
        return made

    @classmethod
    def open(cls, path: str | os.PathLike[str], mode: str = "mmap") -> Self:
        """Return the index that `save` wrote to `path`.

        Parameters
        ----------
        path
            The file. Nobody may truncate it while it is open; `save` to the same path is fine, as it puts a
            new file in the old one's place.
        mode
            ``mmap``: mapped read-only, at once whatever its size; processes that open one file share its
            pages. ``ram``: read into memory of this process, in huge pages where the system has them: opening
            takes the time of reading, and searches then wait for nothing.

        Raises
        ------
        DamagedIndexError
            (a ValueError) If the file is no index of this kind, was cut off, or comes from another version.
            Damage behind the header is not looked for: it can give wrong answers, or this error from `query`,
            not worse.
        OSError
            If the file cannot be read.
        ValueError
            If there is no such mode.
        """
        index = _native.open_index(os.fsencode(path), mode)
        kind = index.info()["kind"]
        if kind != cls.kind:
            raise _native.DamagedIndexError(
                f"{os.fspath(path)}: holds an index of kind {kind}, and no {cls.kind}"
            )
        return cls._of(index)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to one file, whole or not at all: it is written beside `path` and renamed.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        self._index.save(os.fsencode(path))

    def _query(
        self,
        vectors: npt.ArrayLike,
        k: int,
        reach: int | None,
        rerank: int | None,
        recall: float | None,
        allow: npt.ArrayLike | None,
        threads: int,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        array = as_engine_array(vectors, self._distance, "vectors")
        allowed = None if allow is None else as_row_bits(allow, len(self), "allow")
        return self._index.query(array, k, reach, rerank, recall, allowed, threads)

    def add(self, vectors: npt.ArrayLike, *, threads: int = 1) -> None:
        """Add rows, whose numbers follow those that there are.

        What `tune` found stays; call it again when many rows have come. A graph is built anew when its rows
        have doubled since it was built; each other one that is added takes about as long as ten queries do.

        Parameters
        ----------
        vectors
            Shape (d,) for one vector or (m, d) for many; values as in `build`.
        threads
            How many threads build, where the index is built anew.

        Raises
        ------
        ValueError
            If the shape is not that of the index, or a value is not finite; then nothing is added.
        TypeError
            If an argument has the wrong type, or this kind cannot grow: a forest is built anew.
        """
        if not self.grows:
            raise TypeError(f"a {type(self).__name__} cannot grow: build it anew, or take a Graph, which can")
        array = as_engine_array(vectors, self._distance, "vectors")
        if array.ndim == 1:
            array = array[np.newaxis]
        if array.ndim != 2:
            raise ValueError(f"vectors: got shape {array.shape}; it is (d,) or (m, d)")
        self._index.add(array, threads)

    def delete(self, rows: npt.ArrayLike) -> None:
        """Take rows out: no query finds them any more, and `save` remembers it. Their numbers stay theirs.

        Parameters
        ----------
        rows
            Row numbers, or a bool array of shape (n,) that is True where a row goes. Those that are out
            already stay so.

        Raises
        ------
        ValueError
            If there is no such row; then nothing is deleted.
        TypeError
            If these are no row numbers.
        """
        self._index.remove(as_row_numbers(rows, len(self), "rows"))

    def tune(
        self,
        target_recall: float,
        k: int = 10,
        *,
        recalls: tuple[float, ...] = DEFAULT_RECALLS,
        queries: int | npt.ArrayLike = 400,
        seed: int = 0,
        threads: int = 1,
    ) -> float:
        """Choose what queries do by default, to find a share of the neighbours; return the share found.

        Asks for the neighbours of random rows, each as if it were not in the index, exactly and then with
        less and less effort: the least that reaches the target becomes the default. The least for each of
        `recalls` is remembered too, for `query` with ``recall=``; `save` keeps all of it. Efforts are
        compared by what they look at and not by time, so the result is the same on every machine. Queries
        unlike the rows need more: give a sample of them then.

        Parameters
        ----------
        target_recall
            In (0, 1]: the share of the true `k` nearest rows to find, on average.
        k
            How many neighbours, >= 1.
        recalls
            Further targets; those that cannot be reached are left out.
        queries
            How many rows to ask for, >= 1; or a sample of queries, shape (m, d).
        seed
            Chooses the rows.
        threads
            How many threads share the work.

        Raises
        ------
        ValueError
            If an argument is out of range, or the index has no two rows.
        """
        return tune(self, target_recall, k, recalls, queries, seed, threads)

    def vector(self, row: int) -> npt.NDArray[np.float32]:
        """Return row number `row` as it was given: float32, shape (d,); 0 and 1 for bits.

        Raises
        ------
        ValueError
            If there is no such row.
        """
        return self._index.vector(row)

    def info(self) -> dict[str, Any]:
        """Return what the index is.

        The keys of every kind are kind, distance, dimension, rows, present (rows that can be found), tuned
        (a list of (recall, k, effort, rerank), the default first; empty unless tuned) and size_bytes.
        """
        return self._index.info()

    @property
    def distance(self) -> str:
        """Name of the distance."""
        return self._distance

    @property
    def dimension(self) -> int:
        """Length of a vector (number of bits for hamming, of different items for jaccard)."""
        return int(self.info()["dimension"])

    @property
    def size_bytes(self) -> int:
        """Bytes of the index: of its saved file, and in memory if it was built here."""
        return int(self.info()["size_bytes"])

    @property
    def distance_computations(self) -> int:
        """How many distances all queries so far computed or estimated."""
        return self._index.distance_computations

    def __len__(self) -> int:
        return int(self.info()["rows"])

    def __repr__(self) -> str:
        facts = self.info()
        return (
            f"<{type(self).__name__} over {facts['rows']:,} x {facts['dimension']} {facts['distance']}, "
            f"{facts['size_bytes'] / 1e6:,.1f} MB>"
        )

    def __reduce__(self) -> NoReturn:
        name = type(self).__name__
        raise TypeError(f"a {name} is not pickled: save() it, and open() the file where it is needed")


def train_array(train: npt.ArrayLike, distance: str) -> npt.NDArray[Any]:
    """Return the rows of an index as the engine takes them; see `as_engine_array` for what it raises."""
    array = as_engine_array(train, distance, "train")
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"train: got shape {array.shape}; it is (n, d) with at least one row and one column")
    return array
