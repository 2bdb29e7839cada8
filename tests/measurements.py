"""Made-up measurements, whole with arrays, for tests of what writes and reads results files."""

from typing import Any

import numpy as np

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
    costs = {
        "build_wall_ns": 3_100_000_000,
        "index_bytes_saved": 4096,
        "distance_computations": 40 * n_queries,
    }
    record = make_record(
        dataset=data, k=k, mode=mode, rounds=rounds, launch_of_round=launches, **{"costs": costs, **changes}
    )
    return Measurement(record, arrays, lock="hnswlib==0.8.0\n", log="building …\n")
