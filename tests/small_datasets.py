"""Datasets of a few rows, with exact answers."""

import numpy as np

from ann_bench.datasets import Dataset
from ann_bench.distances import distances_to


def small_dataset_of(rows: int, queries: int) -> Dataset:
    """Return so many seeded rows and queries in 4 dimensions, with the 20 nearest of each."""
    rng = np.random.default_rng(7)
    train = rng.normal(size=(rows, 4)).astype(np.float32)
    test = rng.normal(size=(queries, 4)).astype(np.float32)
    everything = np.tile(np.arange(rows, dtype=np.int32), (queries, 1))
    distances = distances_to("euclidean", test, train, everything)
    order = np.argsort(distances, axis=1, kind="stable")[:, :20]
    return Dataset(
        name="small-4-euclidean",
        distance="euclidean",
        train=train,
        test=test,
        neighbors=order.astype(np.int32),
        distances=np.take_along_axis(distances, order, axis=1),
        sha256="0" * 64,
        rows_available=rows,
        queries_available=queries,
        provenance={},
    )
