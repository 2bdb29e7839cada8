"""Sets as ann-benchmarks' HDF5 layout has them: all items in one flat array, the sets' sizes in another."""

from collections.abc import Iterable
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from ann_bench.worker.sets import Sets

_MOST_ITEM = np.iinfo(np.int32).max - 1


def count_items(arrays: Iterable[h5py.Dataset], said: Any) -> int:
    """Return how many different items there can be: what the file says, or more if its sets have others."""
    most = max(int(array[...].max(initial=-1)) for array in arrays)
    return max(most + 1, said if isinstance(said, int) else 0)


def read_sets(items: h5py.Dataset, sizes: h5py.Dataset, dimension: int, most: int | None) -> Sets:
    """Return the first `most` sets (all for None), their items sorted, each item once.

    Raises
    ------
    ValueError
        If sizes and items do not fit together, or an item is not from 0 to 2**31 - 2.
    """
    lengths = sizes[...].astype(np.int64)
    if lengths.min() < 0 or lengths.sum() != len(items):
        raise ValueError(
            f"{len(items):,} items in sets of {lengths.min():,} to {lengths.max():,}, in all "
            f"{lengths.sum():,}; sizes are 0 or more, and their sum is the number of items"
        )
    lengths = lengths[:most]
    found = items[: int(lengths.sum())]
    if len(found) and (found.min() < 0 or found.max() > _MOST_ITEM):
        raise ValueError(f"items from {found.min():,} to {found.max():,}; they are from 0 to {_MOST_ITEM:,}")
    return _as_sets(found.astype(np.int32), lengths, dimension)


def _as_sets(items: npt.NDArray[np.int32], lengths: npt.NDArray[np.int64], dimension: int) -> Sets:
    owners = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((items, owners))
    items = items[order]  # the owners are in order as they are
    first = np.ones(len(items), dtype=bool)
    first[1:] = (items[1:] != items[:-1]) | (owners[1:] != owners[:-1])
    kept = np.bincount(owners[first], minlength=len(lengths))
    return Sets(items[first], np.concatenate([[0], np.cumsum(kept)]), dimension)
