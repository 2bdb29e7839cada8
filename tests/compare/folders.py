"""Results folders with planted changes, and the dataset that they were measured on."""

from pathlib import Path
from typing import Any

import numpy as np

from ann_bench.datasets import Dataset, exact_neighbors, load_dataset
from ann_bench.distances import distances_to
from ann_bench.metrics import Truth, compute
from ann_bench.results import Measurement, write
from tests.datasets import files
from tests.records import make_record

K = 10
QUERIES = 300
WRONG = {10: 0.3, 20: 0.12, 40: 0.06, 80: 0.02}  # share of wrong answers by ef
COSTS = {
    "build_wall_ns": 2_000_000_000,
    "index_bytes_saved": 12_000_000,
    "index_bytes_reported": 11_000_000,
    "index_bytes_resident": 15_000_000,
    "build_peak_bytes": 50_000_000,
    "search_peak_bytes": 45_000_000,
    "distance_computations": 40 * QUERIES,
}


def write_dataset(folder: Path, name: str = "points", seed: int = 3) -> Dataset:
    """Write a dataset of random points and return it as the harness reads it."""
    both = np.random.default_rng(seed).normal(size=(200 + QUERIES, 12)).astype(np.float32)
    train, test = both[:200], both[200:]
    neighbors, distances = exact_neighbors("euclidean", train, test, 2 * K)
    path = folder / f"{name}.hdf5"
    files.write(path, train=train, test=test, neighbors=neighbors, distances=distances)
    return load_dataset(str(path), k=K)


def fill(
    folder: Path,
    dataset: Dataset,
    *,
    lost: float = 0.0,
    factors: dict[str, float] | None = None,
    slowdown: float = 1.0,
    builds: tuple[int, ...] = (4,),
    efs: tuple[int, ...] = tuple(WRONG),
    asked: int = QUERIES,
    costs: dict[str, int | None] | None = None,
    **changes: Any,
) -> Path:
    """Fill a results folder with the settings M in `builds` x ef in `efs`, and return it.

    Parameters
    ----------
    lost
        Share of all answers that are wrong besides those that always are.
    factors
        What costs are multiplied with.
    slowdown
        What times are multiplied with.
    asked
        Number of queries that were asked, the last ones of the dataset.
    costs
        Costs instead of those in `COSTS`.
    changes
        Go to `make_record`.
    """
    truth = Truth.of(dataset)
    for m in builds:
        for ef in efs:
            ids = _answers(dataset, WRONG[ef] + lost, seed=ef)
            queries = np.arange(QUERIES)[-asked:]
            arrays = {
                "neighbors": ids[queries],
                "distances": distances_to(dataset.distance, dataset.test, dataset.train, ids)[queries],
                "latencies_ns": np.full((6, asked), 1_000 * ef * slowdown),
            }
            if asked < QUERIES:
                arrays["query_index"] = queries
            work = {"distance_computations": ef / 10 * asked / QUERIES}
            paid = {
                name: cost and cost * work.get(name, m / 4) * (factors or {}).get(name, 1.0)
                for name, cost in {**COSTS, **(costs or {})}.items()
            }
            record = make_record(
                build={"M": m},
                query={"ef": ef},
                k=K,
                costs=paid,
                dataset={
                    "name": dataset.name,
                    "sha256": dataset.sha256,
                    "distance": dataset.distance,
                    "n": dataset.n,
                    "queries": asked,
                    "queries_available": QUERIES,
                },
                **changes,
            )
            part = Truth(
                *(array[queries] for array in (truth.neighbors, truth.distances, truth.scale)), truth.n_train
            )
            record["metrics"] = compute(record, arrays, part)
            write(Measurement(record, arrays), folder)
    return folder


def _answers(dataset: Dataset, wrong: float, seed: int) -> np.ndarray:
    """Return the true neighbours without a share of them; a larger share lacks the same and some more."""
    ids = dataset.neighbors[:, :K].copy()
    ids.flat[np.random.default_rng(seed).permutation(ids.size)[: round(wrong * ids.size)]] = -1
    return ids
