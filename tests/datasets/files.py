"""Small dataset files in ann-benchmarks' layout, right or damaged."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ann_bench.worker.sets import Sets
from tests.oracle import exact
from tests.sets import suited


def vectors(distance: str, n: int = 200, queries: int = 30, dimension: int = 12) -> tuple[Any, Any]:
    """Return seeded train and test vectors that suit `distance`."""
    rng = np.random.default_rng(5)
    both = rng.normal(size=(n + queries, dimension)).astype(np.float32)
    return suited(distance, both[:n]), suited(distance, both[n:])


def write(path: Path, distance: str = "euclidean", *, k: int = 20, **changes: Any) -> Path:
    """Write a right file; `changes` replace its arrays or attributes, and leave out what is None."""
    train, test = vectors(distance)
    base, test = changes.get("train"), changes.pop("test", test)
    kind = "sparse" if distance == "jaccard" else "dense"
    train = base if isinstance(base, np.ndarray) else train
    attributes = changes.pop("attributes", {"distance": distance, "type": kind, "dimension": 12})
    arrays: dict[str, Any] = {"train": train, "test": test}
    if "neighbors" not in changes:
        arrays["neighbors"], arrays["distances"] = exact(distance, train, test, k)
    arrays |= changes
    for key, array in list(arrays.items()):
        if isinstance(array, Sets):
            arrays |= {key: array.indices, f"size_{key}": array.sizes, **changes}
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        for name, array in arrays.items():
            if array is not None:
                file[name] = array
    return path
