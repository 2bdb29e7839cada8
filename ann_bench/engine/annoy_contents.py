"""What an AnnoyIndex holds: items that are being added, a forest over them, or a file that Annoy wrote.

All three tell vectors as float32 (0 and 1 for hamming), and distances as Annoy does: ``angular`` is
sqrt(2 - 2 cos), ``dot`` the inner product, ``hamming`` a number of bits.
"""

import os
import tempfile
import threading
import weakref
from pathlib import Path
from typing import IO, Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from ann_bench.engine._native import AnnoyFile, DamagedIndexError
from ann_bench.engine.forest import Forest

METRICS = ("angular", "euclidean", "manhattan", "hamming", "dot")

# How a file of ours begins. One of Annoy's begins with a small number.
_MAGIC = b"\x89ANB\r\n\x1a\n"

Floats = npt.NDArray[np.float32]
Found = tuple[npt.NDArray[np.int32], Floats]
_NOTHING: Found = (np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32))


class Contents(Protocol):
    """What can be asked whatever an AnnoyIndex holds; item numbers are valid when they come here."""

    @property
    def n_items(self) -> int:
        """One more than the largest item number."""

    @property
    def n_trees(self) -> int:
        """Number of trees, 0 where there are only items."""

    def vector(self, item: int) -> Floats:
        """Return the vector of an item, zeros if it was never added."""

    def distance(self, i: int, j: int) -> float:
        """Return the distance between two items."""

    def query(self, vector: Floats, n: int, search_k: int) -> Found:
        """Return up to `n` items and their distances; negative numbers ask for all, as in Annoy."""


class Stored(Contents, Protocol):
    """What has been built, and can be saved."""

    def save(self, path: str) -> None:
        """Write it to a file, whole or not at all. OSError."""


def distance_between(metric: str, a: Floats, b: Floats) -> float:
    """Return Annoy's distance between two vectors, a float32 value."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    if metric == "angular":
        norms = np.sqrt(x @ x) * np.sqrt(y @ y)
        value = np.sqrt(max(2 - 2 * (x @ y) / norms, 0)) if norms > 0 else np.sqrt(2)
    elif metric == "euclidean":
        value = np.sqrt(((x - y) ** 2).sum())
    elif metric == "dot":
        value = x @ y
    else:
        value = np.abs(x - y).sum()
    return float(np.float32(value))


class Items:
    """Vectors by number while they are being added; numbers that are left out are never found.

    They lie in memory or, given a folder, in an unnamed file there, and are built from where they lie.
    """

    n_trees = 0

    def __init__(self, metric: str, f: int, folder: Path | None = None) -> None:
        self._metric = metric
        self._folder = folder
        self._file: IO[bytes] | None = None
        self.n_items = 0
        if folder is not None:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it is closed when self goes
            weakref.finalize(self, self._file.close)
        self._rows: npt.NDArray[Any] = np.empty((0, f), dtype=np.bool_ if metric == "hamming" else np.float32)
        self._present = np.empty(0, dtype=np.bool_)

    def add(self, item: int, vector: Floats) -> None:
        """Set the vector of an item. ValueError if a value is not finite."""
        if self._metric == "hamming":
            values: npt.NDArray[Any] = vector > 0.5
        elif np.isfinite(vector).all():
            values = vector
        else:
            raise ValueError(f"item {item} holds NaN or infinity; every value must be finite as float32")
        if item >= len(self._rows):
            self._grow(max(item + 1, len(self._rows) * 3 // 2))
        self._rows[item] = values
        self._present[item] = True
        self.n_items = max(self.n_items, item + 1)

    def _grow(self, capacity: int) -> None:
        old, shape = self._rows, (capacity, self._rows.shape[1])
        if self._file is None:
            self._rows = np.zeros(shape, dtype=old.dtype)  # the system gives zeroed pages as they are touched
            self._rows[: len(old)] = old
        else:
            self._file.truncate(capacity * shape[1] * old.dtype.itemsize)
            self._rows = np.memmap(self._file, dtype=old.dtype, mode="r+", shape=shape)
        present = np.zeros(capacity, dtype=np.bool_)
        present[: len(old)] = self._present
        self._present = present

    def build(self, n_trees: int, seed: int, threads: int, path: str | None) -> "BuiltForest":
        """Return a forest over the items, in memory or in a file; -1 trees for about as many as Annoy's."""
        count = max(self.n_items, 1)  # a forest has at least one row, if only one that is not found
        if not self.n_items:
            self._grow(1)
        if n_trees == -1:
            n_trees = _automatic_trees(self._metric, self._rows.shape[1])
        present = self._present[:count].copy()
        forest = Forest.build(
            np.asarray(self._rows[:count]),
            self._metric,
            n_trees=n_trees,
            seed=seed,
            threads=threads,
            present=present,
            path=path,
        )
        return BuiltForest(forest, self.n_items, present, self._folder)

    def vector(self, item: int) -> Floats:
        """Return the vector of an item, zeros if it was never added."""
        values: Floats = self._rows[item].astype(np.float32)
        return values

    def distance(self, i: int, j: int) -> float:
        """Return the distance between two items."""
        return distance_between(self._metric, self.vector(i), self.vector(j))

    def query(self, vector: Floats, n: int, search_k: int) -> Found:  # noqa: ARG002 - as every Contents
        """Return nothing: there is no tree to look into."""
        return _NOTHING


class BuiltForest:
    """A forest of the engine, asked as Annoy is."""

    def __init__(
        self,
        forest: Forest,
        n_items: int,
        present: npt.NDArray[np.bool_] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._forest = forest
        self._present = present
        self._folder = folder
        self._dimension = forest.dimension
        self.n_items = n_items
        self.n_trees = forest.n_trees

    @classmethod
    def open(cls, path: str, metric: str, f: int) -> Self:
        """Return what `save` wrote. DamagedIndexError, OSError, also if it is of another metric or f."""
        forest = Forest.open(path)
        if (forest.distance, forest.dimension) != (metric, f):
            raise OSError(
                f"{path}: an index of metric {forest.distance}, f = {forest.dimension}; "
                f"it is opened with metric {metric}, f = {f}"
            )
        index = cls(forest, len(forest))
        if index.n_items == 1 and not len(index.query(index.vector(0), 1, -1)[0]):
            index.n_items = 0
        return index

    def unbuild(self) -> Items:
        """Return the items that the forest was built from."""
        assert self._present is not None  # only what was opened has none, and that is not unbuilt
        items = Items(self._forest.distance, self._dimension, self._folder)
        for item in np.flatnonzero(self._present):
            items.add(int(item), self.vector(int(item)))
        return items

    def save(self, path: str) -> None:
        """Write the forest in the engine's format."""
        self._forest.save(path)

    def vector(self, item: int) -> Floats:
        """Return the vector of an item."""
        return self._forest.vector(item).astype(np.float32, copy=False)

    def distance(self, i: int, j: int) -> float:
        """Return the distance between two items."""
        return distance_between(self._forest.distance, self.vector(i), self.vector(j))

    def query(self, vector: Floats, n: int, search_k: int) -> Found:
        """Return up to `n` items and their distances; negative numbers ask for all, as in Annoy."""
        k = self.n_items if n < 0 else min(n, self.n_items)
        if search_k == -1 and n >= 0:
            search_k = n * self.n_trees
        if k == 0 or search_k == 0:
            return _NOTHING
        limit = search_k if search_k > 0 else self.n_items * self.n_trees
        metric = self._forest.distance
        ids, distances = self._forest.query(vector > 0.5 if metric == "hamming" else vector, k, limit)
        if ids[-1] < 0:
            found = int(np.count_nonzero(ids >= 0))
            ids, distances = ids[:found], distances[:found]
        if metric == "angular":
            distances = np.sqrt(2 * distances)
        elif metric == "dot":
            distances = -distances
        elif metric == "hamming":
            distances = np.rint(distances * np.float32(self._dimension))
        return ids, distances


class MappedAnnoyFile:
    """A file that Annoy wrote."""

    def __init__(self, path: str, metric: str, f: int, prefault: bool) -> None:
        self._file = AnnoyFile.open(os.fsencode(path), metric, f, prefault)
        self.n_items = self._file.items
        self.n_trees = self._file.trees
        self.vector = self._file.vector
        self.distance = self._file.distance
        self.query = self._file.query

    def save(self, path: str) -> None:
        """Copy the file as it is: what Annoy wrote stays Annoy's. A file at `path` is replaced as a whole."""
        temporary = Path(f"{path}.tmp.{os.getpid()}.{threading.get_ident()}")
        try:
            with temporary.open("xb") as file:
                file.write(memoryview(self._file))
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def open_stored(path: str, metric: str, f: int, prefault: bool) -> Stored:
    """Return the index that a file holds, whoever wrote it.

    Raises
    ------
    OSError
        If the file cannot be read, or is no index of this metric and number of dimensions.
    """
    with Path(path).open("rb") as file:
        start = file.read(len(_MAGIC))
        if not start:
            raise OSError(f"{path}: Size of file is zero")
        if start == _MAGIC and prefault:
            while file.read(1 << 20):  # into the page cache
                pass
    try:
        if start == _MAGIC:
            return BuiltForest.open(path, metric, f)
        return MappedAnnoyFile(path, metric, f, prefault)
    except DamagedIndexError as error:
        # The forest's errors name the file already.
        raise OSError(str(error) if start == _MAGIC else f"{path}: {error}") from error


def _automatic_trees(metric: str, f: int) -> int:
    """Return as many trees as make Annoy's nodes as many as its items: 0.4 for each id that fits a node."""
    ids_in_a_node = {"hamming": 2 * -(-f // 64) + 3, "dot": f + 3}.get(metric, f + 2)
    return max(1, round(0.4 * ids_in_a_node))
