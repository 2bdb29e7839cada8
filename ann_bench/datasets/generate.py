"""Makes a dataset that the catalogue has a generator for: whole, with exact answers, or not at all."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from rich.progress import TaskProgressColumn

from ann_bench.datasets.catalog import Entry
from ann_bench.datasets.ground_truth import exact_neighbors
from ann_bench.datasets.manifold import Manifold
from ann_bench.datasets.place import place, unfinished
from ann_bench.datasets.progress import progress_bar

NEIGHBORS = 100


def generate(
    name: str,
    entry: Entry,
    folder: Path,
    *,
    progress: bool = False,
    report: Callable[[str], None] = lambda _line: None,
) -> Path:
    """Return the path of dataset `name` in `folder`, making it if it is not there.

    The file has ann-benchmarks' layout, and the generator's name, version, seed and parameters as attributes.
    It is written beside its place and gets its name when it is whole. One process makes a dataset at a time,
    the others wait.

    Parameters
    ----------
    name, entry
        What to make, from the catalogue; `entry.generator` is there.
    folder
        Where to; made if missing.
    progress
        Whether to draw progress bars (on stderr).
    report
        Gets a line where another process must be waited for, before the work begins, and where the file turns
        out to be another than the catalogue's.

    Raises
    ------
    DatasetError
        The folder cannot be written to.
    """
    return place(name, folder, lambda target: _make(name, entry, target, progress, report), "making", report)


def _make(name: str, entry: Entry, target: Path, progress: bool, report: Callable[[str], None]) -> None:
    rows, queries, dimension = entry.shape.rows, entry.shape.queries, entry.shape.dimension
    assert entry.generator and rows and queries
    report(f"{name}: generating {rows:,} x {dimension} and exact answers to {queries:,} queries")
    manifold = Manifold(entry.generator.seed, dimension)
    train = np.empty((rows, dimension), dtype=np.float32)
    test = np.concatenate(list(manifold.test(queries)))
    with progress_bar(TaskProgressColumn(), shown=progress) as bar:
        drawing = bar.add_task(f"{rows:,} rows", total=rows)
        answering = bar.add_task(f"exact answers to {queries:,} queries", total=rows * queries)
        first = 0
        for block in manifold.train(rows):
            train[first : first + len(block)] = block
            first += len(block)
            bar.advance(drawing, len(block))
        neighbors, distances = exact_neighbors(
            entry.distance, train, test, NEIGHBORS, lambda pairs: bar.advance(answering, pairs)
        )
    partial = unfinished(target)
    try:
        with h5py.File(partial, "w") as file:
            file.attrs.update(
                {"type": "dense", "distance": entry.distance, "dimension": dimension, "point_type": "float"}
                | manifold.attributes()
            )
            arrays = {
                "train": train,
                "test": test,
                "neighbors": neighbors,
                "distances": distances.astype(np.float32),
            }
            for key, array in arrays.items():
                file.create_dataset(key, data=array, track_times=False)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
            sha256 = hashlib.file_digest(written, "sha256").hexdigest()
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    if entry.sha256 not in (None, sha256):
        report(
            f"{name}: the file made here has sha256 {sha256}, the catalogue's {entry.sha256}: "
            "NumPy or HDF5 are other releases than it was first made with, and measurements on the two files "
            "do not compare"
        )
