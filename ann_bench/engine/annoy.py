"""A stand-in for the package annoy, version 1.17: change the import and nothing else.

>>> from ann_bench.engine.annoy import AnnoyIndex  # instead of: from annoy import AnnoyIndex
>>> index = AnnoyIndex(3, "angular")
>>> for i, vector in enumerate([[1, 0, 0], [0, 1, 0], [1, 1, 0]]):
...     index.add_item(i, vector)
>>> index.build(10)
True
>>> index.get_nns_by_vector([1, 0.1, 0], 2)
[0, 2]

docs/annoy.md tells what differs.
"""

import os
import threading
import warnings
from pathlib import Path
from typing import Literal, NoReturn, Self, overload

from ann_bench.engine.annoy_arguments import Filename, Vector, to_count, to_int32, to_path, to_vector
from ann_bench.engine.annoy_contents import (
    METRICS,
    BuiltForest,
    Contents,
    Floats,
    Items,
    MappedAnnoyFile,
    open_stored,
)

__all__ = ["AnnoyIndex"]

Answer = list[int] | tuple[list[int], list[float]]


class AnnoyIndex:
    """An index with the methods of ``annoy.AnnoyIndex``, over `ann_bench.engine.Forest`.

    Items are added, `build` makes them an index that is searched and saved, `unbuild` takes that back; what
    was saved or loaded is mapped from its file and not changed any more. `load` reads files that `save`
    wrote and files that Annoy wrote, and those answer with the ids that Annoy would answer with.

    It may be used from several threads at once; searches, builds, saves and loads let others run meanwhile.

    Parameters
    ----------
    f
        Number of dimensions, 1 or more.
    metric
        ``angular``, ``euclidean``, ``manhattan``, ``hamming`` (a value > 0.5 is a 1) or ``dot``.

    Raises
    ------
    ValueError
        If `metric` is none of these, or `f` < 1.
    """

    __slots__ = ("_built_in", "_contents", "_f", "_loaded", "_lock", "_metric", "_seed")

    _f: int
    _metric: str
    _contents: Contents
    _loaded: bool
    _built_in: str | None  # the file of on_disk_build
    _seed: int
    _lock: threading.Lock  # for whatever changes the index; a search takes the contents it finds

    def __new__(cls, f: int, metric: str | None = None) -> Self:
        """Return an index that is whole even if a subclass does not call `__init__`, as in Annoy."""
        index = super().__new__(cls)
        index._f = to_int32(f)
        if metric is None:
            warnings.warn(
                "The default argument for metric will be removed in future version of Annoy. "
                "Please pass metric='angular' explicitly.",
                FutureWarning,
                stacklevel=2,
            )
            metric = "angular"
        if not isinstance(metric, str):
            raise TypeError(f"argument 2 must be str, not {type(metric).__name__}")
        if metric not in METRICS:
            raise ValueError(f"No such metric: got {metric!r}; it is one of {', '.join(METRICS)}")
        if index._f < 1:
            raise ValueError(f"f: got {f}; it is the number of dimensions, 1 or more")
        index._metric = metric
        index._lock = threading.Lock()
        index._reset()
        return index

    def __init__(self, f: int, metric: str | None = None) -> None:
        pass

    def _reset(self) -> None:
        self._contents = Items(self._metric, self._f)
        self._loaded = False
        self._built_in = None
        self._seed = 0

    @property
    def f(self) -> int:
        """Number of dimensions."""
        return self._f

    def add_item(self, i: int, vector: Vector) -> None:
        """Set the vector of item `i` (0 or more). Room is made for max(i) + 1 items.

        Raises
        ------
        IndexError
            If `i` is negative or the vector is not of length f.
        TypeError
            If `vector` is no collection of numbers.
        ValueError
            If a value is not finite as float32.
        Exception
            If the index is built or loaded.
        """
        item = to_int32(i)
        if item < 0:
            raise IndexError("Item index can not be negative")
        values = to_vector(vector, self._f)
        with self._lock:
            self._items("add an item to").add(item, values)

    def build(self, n_trees: int, n_jobs: int = -1) -> Literal[True]:
        """Build `n_trees` trees on `n_jobs` threads (-1: one per processor).

        More trees find more neighbours and take more room; 3 to 5 are enough for searches with a large
        `search_k`. With -1 trees, about as many as Annoy makes then: 0.4 (f + 2). The number of threads does
        not change the result.

        Raises
        ------
        ValueError
            If a number is neither -1 nor 1 or more.
        Exception
            If the index is built or loaded.
        """
        trees = to_count("n_trees", n_trees)
        threads = to_count("n_jobs", n_jobs)
        if threads == -1:
            threads = len(os.sched_getaffinity(0))
        with self._lock:
            items = self._items("build")
            self._contents = items.build(trees, self._seed, min(threads, 1024), self._built_in)
        return True

    def unbuild(self) -> Literal[True]:
        """Take the trees away, so that items can be added again.

        Raises
        ------
        Exception
            If the index is loaded.
        """
        with self._lock:
            if self._loaded:
                raise Exception("You can't unbuild a loaded index")  # noqa: TRY002 - what Annoy raises
            if isinstance(self._contents, BuiltForest):
                self._contents = self._contents.unbuild()
        return True

    def on_disk_build(self, fn: Filename) -> Literal[True]:
        """Keep the items on disk, beside `fn`, and let `build` write the index to `fn`; `save` is not needed.

        Raises
        ------
        OSError
            If the file cannot be written.
        Exception
            If the index has items already.
        """
        path = to_path(fn)
        with self._lock:
            if self._items("build on disk").n_items:
                raise Exception("on_disk_build comes before the first add_item")  # noqa: TRY002 - as above
            target = Path(path)
            with target.open("wb"):
                self._contents = Items(self._metric, self._f, target.parent)
            self._built_in = path
        return True

    def save(self, fn: Filename, prefault: bool = False) -> Literal[True]:
        """Write the index to a file and map it from there; from then on it counts as loaded.

        What was built is written in the engine's format, which Annoy does not read; what was loaded from a
        file of Annoy's is copied as it is. A file in its place is replaced as a whole, or left alone.

        Raises
        ------
        OSError
            If the file cannot be written, or the index is not built.
        """
        path, warm = to_path(fn), bool(to_int32(prefault))
        with self._lock:
            if not isinstance(self._contents, BuiltForest | MappedAnnoyFile):
                raise OSError("You can't save an index that hasn't been built")
            if self._built_in is None:
                self._contents.save(path)
                self._contents = open_stored(path, self._metric, self._f, warm)
                self._loaded = True
            elif path != self._built_in:
                self._contents.save(path)
        return True

    def load(self, fn: Filename, prefault: bool = False) -> Literal[True]:
        """Map a file that `save` or Annoy wrote; with `prefault`, all of it is read into memory first.

        Whatever the index held before is let go. A file of Annoy's must have been built with this f and
        metric, as it tells neither.

        Raises
        ------
        OSError
            If the file cannot be read, or does not look like an index of this f and metric.
        """
        path, warm = to_path(fn), bool(to_int32(prefault))
        stored = open_stored(path, self._metric, self._f, warm)
        with self._lock:
            self._reset()
            self._contents = stored
            self._loaded = True
        return True

    def unload(self) -> Literal[True]:
        """Let go of everything: the index is as new."""
        with self._lock:
            self._reset()
        return True

    @overload
    def get_nns_by_item(
        self, i: int, n: int, search_k: int = ..., include_distances: Literal[False] = ...
    ) -> list[int]: ...
    @overload
    def get_nns_by_item(
        self, i: int, n: int, search_k: int, include_distances: Literal[True]
    ) -> tuple[list[int], list[float]]: ...
    @overload
    def get_nns_by_item(
        self, i: int, n: int, search_k: int = ..., *, include_distances: Literal[True]
    ) -> tuple[list[int], list[float]]: ...
    def get_nns_by_item(
        self, i: int, n: int, search_k: int = -1, include_distances: bool = False
    ) -> list[int] | tuple[list[int], list[float]]:
        """Return the `n` nearest items that a search finds for item `i`, nearest first.

        Parameters
        ----------
        search_k
            How many leaf entries to look at, in whole leaves of up to 32; n * n_trees by default. More
            find more of the true neighbours.
        include_distances
            Whether to return two lists, the second of distances.

        Raises
        ------
        IndexError
            If there is no item `i`.
        """
        contents = self._contents
        item = _item(i, contents)
        return _answer(contents, contents.vector(item), n, search_k, include_distances)

    @overload
    def get_nns_by_vector(
        self, vector: Vector, n: int, search_k: int = ..., include_distances: Literal[False] = ...
    ) -> list[int]: ...
    @overload
    def get_nns_by_vector(
        self, vector: Vector, n: int, search_k: int, include_distances: Literal[True]
    ) -> tuple[list[int], list[float]]: ...
    @overload
    def get_nns_by_vector(
        self, vector: Vector, n: int, search_k: int = ..., *, include_distances: Literal[True]
    ) -> tuple[list[int], list[float]]: ...
    def get_nns_by_vector(
        self, vector: Vector, n: int, search_k: int = -1, include_distances: bool = False
    ) -> Answer:
        """Return the `n` nearest items that a search finds for a vector; see `get_nns_by_item`.

        Raises
        ------
        IndexError
            If the vector is not of length f.
        TypeError
            If it is no collection of numbers.
        """
        return _answer(self._contents, to_vector(vector, self._f), n, search_k, include_distances)

    def get_item_vector(self, i: int, /) -> list[float]:
        """Return the vector of item `i`; zeros if it was never added."""
        contents = self._contents
        values: list[float] = contents.vector(_item(i, contents)).tolist()
        return values

    def get_distance(self, i: int, j: int, /) -> float:
        """Return the distance between two items.

        sqrt(2 - 2 cos) for angular, the inner product for dot, the number of differing bits for hamming.
        """
        contents = self._contents
        return contents.distance(_item(i, contents), _item(j, contents))

    def get_n_items(self) -> int:
        """Return the largest item number, and one."""
        return self._contents.n_items

    def get_n_trees(self) -> int:
        """Return the number of trees; 0 before `build`."""
        return self._contents.n_trees

    def verbose(self, v: bool, /) -> Literal[True]:
        """Do nothing: this index never prints."""
        to_int32(v)
        return True

    def set_seed(self, s: int, /) -> None:
        """Set the seed of the next `build`. One seed, one index, byte for byte."""
        self._seed = to_int32(s) % 2**64

    def _items(self, verb: str) -> Items:
        if isinstance(self._contents, Items):
            return self._contents
        raise Exception(  # noqa: TRY002 - what Annoy raises
            f"You can't {verb} a {'loaded' if self._loaded else 'built'} index"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"cannot pickle {type(self).__name__!r} object: save() it, and load() the file where it is needed"
        )


def _item(i: int, contents: Contents) -> int:
    item = to_int32(i)
    if item < 0:
        raise IndexError("Item index can not be negative")
    if item >= contents.n_items:
        raise IndexError("Item index larger than the largest item index")
    return item


def _answer(contents: Contents, vector: Floats, n: int, search_k: int, include_distances: bool) -> Answer:
    ids, distances = contents.query(vector, to_int32(n), to_int32(search_k))
    return (ids.tolist(), distances.tolist()) if to_int32(include_distances) else ids.tolist()
