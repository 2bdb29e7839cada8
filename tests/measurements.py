"""Made-up measurements, whole with arrays, for tests of what writes and reads results files."""

from typing import Any

import numpy as np

from ann_bench.datasets import Dataset
from ann_bench.distances import distances_to
from ann_bench.results import Measurement
from tests.records import make_record


def make_measurement(
    *, n_queries: int = 20, k: int = 3, rounds: int = 6, mode: str = "single", seed: int = 0, **changes: Any
) -> Measurement:
    """Return a measurement with random answers and times; `changes` go to `make_record`."""
    random = np.random.default_rng(seed)
    arrays: dict[str, Any] = {
        "neighbors": np.argsort(random.random((n_queries, 100)), axis=1)[:, :k].astype(np.int32),
        "distances": np.sort(random.random((n_queries, k)), axis=1).astype(np.float32),
        "block_round": np.arange(rounds),
        "block_switches": random.integers(0, 9, (rounds, 2)),
    }
    if mode == "single":
        arrays["latencies_ns"] = random.integers(10_000, 90_000, (rounds, n_queries))
    else:
        arrays["round_wall_ns"] = random.integers(10**6, 10**7, rounds)
    data = {"queries": n_queries, "queries_available": n_queries, "n": 100, **changes.pop("dataset", {})}
    launches = [round_ * 2 // rounds for round_ in range(rounds)]
    costs: dict[str, int | None] = {
        **dict.fromkeys(("build_cpu_ns", "load_wall_ns", "index_bytes_resident", "index_bytes_reported")),
        **dict.fromkeys(("build_peak_bytes", "search_peak_bytes")),
        "build_wall_ns": 3_100_000_000,
        "index_bytes_saved": 4096,
        "distance_computations": 40 * n_queries,
    }
    record = make_record(
        dataset=data, k=k, mode=mode, rounds=rounds, launch_of_round=launches, **{"costs": costs, **changes}
    )
    return Measurement(record, arrays, lock="hnswlib==0.8.0\n", log="building …\n")


def make_dataset(distance: str = "euclidean") -> Dataset:
    """Return 100 random points with exact answers to 20 queries."""
    random = np.random.default_rng(5)
    train, test = (random.random((n, 4), dtype=np.float32) for n in (100, 20))
    every = distances_to(distance, test, train, np.tile(np.arange(100), (20, 1)))
    order = np.argsort(every, axis=1)[:, :10]
    exact = np.take_along_axis(every, order, axis=1)
    return Dataset(
        name="points",
        distance=distance,
        train=train,
        test=test,
        neighbors=order.astype(np.int32),
        distances=exact,
        sha256="5a" * 32,
        rows_available=100,
        queries_available=20,
        provenance={},
    )
