"""A forest of random-projection trees."""

import os
from typing import Any, NoReturn, Self

import numpy as np
import numpy.typing as npt

from ann_bench.engine import _native
from ann_bench.engine.arrays import as_engine_array


class Forest:
    """An index of rows that finds those nearest to a vector, approximately.

    Each tree divides the rows by hyperplanes until a leaf holds few of them. A query walks all trees in one
    order, the branches whose planes it is farthest inside of first, reads leaves until `search_k` of their
    entries were seen, and ranks the rows found by their exact distance. The method is that of Annoy
    (https://github.com/spotify/annoy): more trees and a larger `search_k` find more of the true
    neighbours, and take longer.

    Made by `Forest.build` or `Forest.open`. It does not change afterwards, and may be queried from several
    threads at once; no method holds the GIL while it works.

    Distances are ``euclidean`` (L2), ``angular`` (1 - cos; 1 if either vector is zero), ``dot`` (minus the
    inner product), ``hamming`` (share of differing bits) and ``manhattan`` (L1).
    """

    __slots__ = ("_distance", "_index")

    _index: _native.Forest
    _distance: str

    def __init__(self) -> None:
        raise TypeError("a Forest is made by Forest.build(train, ...) or Forest.open(path)")

    @classmethod
    def _of(cls, index: _native.Forest) -> Self:
        forest = cls.__new__(cls)
        forest._index = index
        forest._distance = index.info()["distance"]
        return forest

    @classmethod
    def build(
        cls,
        train: npt.ArrayLike,
        distance: str = "euclidean",
        *,
        n_trees: int = 50,
        leaf_size: int = 64,
        split: str = "two_means",
        seed: int = 0,
        threads: int = 1,
        present: npt.NDArray[np.bool_] | None = None,
    ) -> Self:
        """Return an index of the rows of `train`; it keeps a copy of them.

        The index depends on every argument but `threads`: its saved file is the same byte for byte.

        Parameters
        ----------
        train
            Shape (n, d), 1 <= n < 2**31, 1 <= d <= 65535: finite real numbers, used as float32. For hamming
            bool, or integers that are 0 or 1.
        distance
            ``euclidean``, ``angular``, ``dot``, ``hamming`` or ``manhattan``.
        n_trees
            How many trees, >= 1. A tree costs about 4 bytes a row and (4 d + 16) / `leaf_size` bytes more.
        leaf_size
            The most rows a leaf holds, >= 1. Larger leaves make an index smaller and a search less selective.
        split
            ``two_means``: the plane between two centroids of a sample of the rows. ``two_points``: between
            two rows taken at random, which builds faster and needs more candidates for the same recall.
        seed
            0 to 2**64 - 1.
        threads
            How many threads build; a tree is built by one.
        present
            Shape (n,): False at rows that are stored and never found. By default all are found.

        Raises
        ------
        ValueError
            If an argument is out of range, `train` has no rows or another number of axes, or a value is NaN,
            infinite, or too large for float32.
        TypeError
            If an argument has the wrong type.
        """
        array = as_engine_array(train, distance, "train")
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(
                f"train: got shape {array.shape}; it is (n, d) with at least one row and one column"
            )
        return cls._of(
            _native.Forest.build(array, distance, n_trees, leaf_size, split, seed, threads, present)
        )

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Return the index that `save` wrote to `path`, mapped read-only: at once, whatever its size.

        Processes that open one file share its pages. Nobody may truncate the file while it is open; `save`
        to the same path is fine, as it puts a new file in the old one's place.

        Raises
        ------
        DamagedIndexError
            (a ValueError) If the file is no index, was cut off, or comes from another version. Damage behind
            the header is not looked for: it can give wrong answers, or this error from `query`, not worse.
        OSError
            If the file cannot be read.
        """
        return cls._of(_native.Forest.open(os.fsencode(path)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to one file, whole or not at all: it is written beside `path` and renamed.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        self._index.save(os.fsencode(path))

    def query(
        self, vectors: npt.ArrayLike, k: int, search_k: int | None = None, threads: int = 1
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return the row numbers and distances of the `k` nearest rows found, nearest first, ties by number.

        A C-contiguous float32 array (bool for hamming) is used as it is; anything else is converted first.

        Parameters
        ----------
        vectors
            Shape (d,) for one vector or (m, d) for many; values as in `build`.
        k
            How many neighbours, >= 1.
        search_k
            How many leaf entries to look at, over all trees and counting a row each time it turns up, >= 1.
            At least `k` different rows, or all, are looked at in any case. By default `n_trees * k`,
            as in Annoy. From `n_trees * n` on, the answer is exact.
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
        return self._index.query(as_engine_array(vectors, self._distance, "vectors"), k, search_k, threads)

    def vector(self, row: int) -> npt.NDArray[np.float32] | npt.NDArray[np.bool_]:
        """Return a copy of a row, shape (d,): float32, or bool for hamming. IndexError if there is none."""
        return self._index.vector(row)

    def info(self) -> dict[str, Any]:
        """Return what the index is.

        The keys are distance, dimension, rows, n_trees, leaf_size, split, seed, nodes (splits), leaves and
        size_bytes.
        """
        return self._index.info()

    @property
    def distance(self) -> str:
        """Name of the distance."""
        return self._distance

    @property
    def dimension(self) -> int:
        """Length of a vector (number of bits for hamming)."""
        return int(self.info()["dimension"])

    @property
    def n_trees(self) -> int:
        """Number of trees."""
        return int(self.info()["n_trees"])

    @property
    def size_bytes(self) -> int:
        """Bytes of the index: of its saved file, and in memory if it was built here."""
        return int(self.info()["size_bytes"])

    @property
    def distance_computations(self) -> int:
        """How many distances between a query and a row all queries so far computed, planes not counted."""
        return self._index.distance_computations

    def __len__(self) -> int:
        return int(self.info()["rows"])

    def __repr__(self) -> str:
        facts = self.info()
        return (
            f"<Forest of {facts['n_trees']} trees over {facts['rows']:,} x {facts['dimension']} "
            f"{facts['distance']}, {facts['size_bytes'] / 1e6:,.1f} MB>"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Forest is not pickled: save() it, and open() the file where it is needed")
