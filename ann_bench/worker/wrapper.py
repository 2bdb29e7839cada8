"""The contract between the harness and a library: one class, a few methods, the library's own names.

This module and every wrapper run inside the library's environment: Python >= 3.7, standard library and NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


class Wrapper:
    """One index of one library. Subclass it and name the class in `algorithms.yaml`; it can be measured then.

    The worker sets the attributes below before it calls `build` or `load`; a wrapper defines no `__init__`.

    Attributes
    ----------
    distance : str
        ``euclidean``, ``angular``, ``dot``, ``hamming``, ``manhattan`` or ``jaccard``.
    dimension : int
        Length of a vector (number of bits for hamming, of different items for jaccard).
    train : numpy.ndarray, shape (n, dimension)
        The rows to index, C-contiguous float32, or bool for hamming, for libraries that need them again to
        load an index. They belong to the harness: copy before changing them. For jaccard they are sets, an
        `ann_bench.worker.sets.Sets` with `indices` and `offsets`; a query is an int32 array of its items.
    build_parameters : dict
        The parameters that `build` gets, for `load`.
    threads : int
        How many threads `build` or `load` may use.
    seed : int
        For every source of randomness that the library lets one seed.
    """

    distance: str
    dimension: int
    train: Any
    build_parameters: dict[str, Any]
    threads: int
    seed: int

    def build(self, train: Any, distance: str, threads: int, **parameters: Any) -> None:
        """Index the rows of `train` (n, dimension) for `distance` with `threads` threads."""
        raise NotImplementedError

    def set_query(self, threads: int, **parameters: Any) -> None:
        """Set what the next queries use; called before every pass, with the entry's query parameters."""

    def query(self, vector: np.ndarray, k: int) -> Any:
        """Return the ids (row numbers) of the `k` rows nearest to `vector` (dimension,), nearest first.

        This call is what is timed: convert nothing that a user of the library would not have to convert.
        """
        raise NotImplementedError

    def query_batch(self, vectors: np.ndarray, k: int) -> Any:
        """Return ids of shape (len(vectors), k); -1 where a query has fewer answers. Optional."""
        raise NotImplementedError

    def save(self, path: str) -> None:
        """Write the index to `path` (a file or a folder, as the library likes). Optional."""
        raise NotImplementedError

    def load(self, path: str) -> None:
        """Make the index from what `save` wrote, in a new process. Goes with `save`."""
        raise NotImplementedError

    def size_bytes(self) -> "int | None":
        """Return the index's own count of its bytes in memory, None where it has none. Optional."""
        raise NotImplementedError

    def distance_computations(self) -> int:
        """Return how many distances all queries so far computed; the harness takes differences. Optional."""
        raise NotImplementedError

    def build_info(self) -> dict[str, Any]:
        """Return how the library was compiled, as far as it tells: flags, instruction sets. Optional."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the index."""
