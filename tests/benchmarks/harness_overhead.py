"""How much the harness adds to what it measures: `python tests/benchmarks/harness_overhead.py`.

In one worker, on one built index, a plain loop over the queries and the harness's own timed loop alternate
in blocks of at least 50 ms over the same queries, in ABBA order. Printed are the median of the paired ratios
(time a query as the harness tells it, over that of the plain loop), what the do-nothing wrapper shows, and
how far the harness's recall lies from one computed here in another way.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ann_bench import config, environments, metrics
from ann_bench.config import Algorithm
from ann_bench.datasets import Dataset, load_dataset
from ann_bench.distances import distances_to
from ann_bench.errors import AnnBenchError
from ann_bench.paths import PACKAGE

SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "hnswlib": ({"M": 16, "ef_construction": 100}, {"ef": 40}),
    "annoy": ({"n_trees": 20}, {"search_k": 1000}),
}
K = 10


def measure(algorithm: Algorithm, dataset: Dataset, folder: Path, pairs: int, cpu: int) -> dict[str, Any]:
    """Return what the paired loops found in a process of the algorithm's environment."""
    build, query = SETTINGS.get(algorithm.name, ({}, {}))
    python = environments.describe(algorithm.environment).python
    if python is None:
        sys.exit(f"{algorithm.name} is not installed: ann-bench install {algorithm.environment}")
    spec = {
        "package": str(PACKAGE),
        "hello": {
            "wrapper_path": str(algorithm.wrapper_path),
            "wrapper_class": algorithm.wrapper_class,
            "folders": [],
            "train": str(folder / "train.npy"),
            "queries": str(folder / "queries.npy"),
            "k": K,
            "batch": False,
            "out": str(folder),
            "distance": dataset.distance,
            "build_parameters": build,
            "threads": 1,
            "seed": 1,
        },
        "query_parameters": query,
        "pairs": pairs,
    }
    script = Path(__file__).with_name("paired_loops.py")
    os.sched_setaffinity(0, {cpu})
    done = subprocess.run(
        [python, "-I", script, json.dumps(spec)], check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def recall_difference(dataset: Dataset, ids: np.ndarray, queries: int) -> tuple[float, float]:
    """Return the harness's recall on some queries, and how far that of a plain float64 loop lies from it."""
    some = np.arange(queries) * len(ids) // queries
    ids, vectors = ids[some], dataset.test[some]
    whole = metrics.Truth.of(dataset)
    truth = replace(
        whole, neighbors=whole.neighbors[some], distances=whole.distances[some], scale=whole.scale[some]
    )
    record = {
        "k": K,
        "mode": "single",
        "launch_of_round": [0],
        "costs": {},
        "dataset": {"n": dataset.n, "queries": queries},
    }
    distances = distances_to(dataset.distance, vectors, dataset.train, ids)
    arrays = {
        "neighbors": ids,
        "distances": distances,
        "latencies_ns": np.ones((1, queries), dtype=np.int64),
    }
    ours = metrics.compute(record, arrays, truth)["recall"]
    assert isinstance(ours, float)
    found = 0
    for vector, row in zip(vectors, ids, strict=True):
        to_all = np.linalg.norm(dataset.train.astype(np.float64) - vector.astype(np.float64), axis=1)
        found += int((to_all[row] <= np.sort(to_all)[K - 1] * (1 + 1e-9)).sum())
    return ours, abs(ours - found / ids.size)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--dataset", default="fashion-mnist-784-euclidean", help="a euclidean dataset (default: %(default)s)"
    )
    parser.add_argument("--algorithm", action="append", choices=list(SETTINGS), help="(default: both)")
    parser.add_argument("--pairs", type=int, default=40, help="pairs of blocks (default: %(default)s)")
    parser.add_argument(
        "--recall-queries", type=int, default=50, help="queries to check recall on (default: %(default)s)"
    )
    args = parser.parse_args()
    try:
        dataset = load_dataset(args.dataset, k=K)
    except AnnBenchError as error:
        sys.exit(f"harness_overhead.py: {error}")
    algorithms = config.load_algorithms()
    nothing = algorithms["bruteforce"].model_copy(
        update={
            "name": "do-nothing",
            "wrapper_path": PACKAGE / "wrappers" / "do_nothing.py",
            "wrapper_class": "DoNothing",
        }
    )
    cpu = max(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "train.npy", dataset.train)
        np.save(folder / "queries.npy", dataset.test)
        for algorithm in (nothing, *(algorithms[name] for name in args.algorithm or SETTINGS)):
            found = measure(algorithm, dataset, folder, args.pairs, cpu)
            harness_us, plain_us = np.array(found["harness_ns"]) / 1e3, np.array(found["plain_ns"]) / 1e3
            if algorithm is nothing:
                print(f"do-nothing: {np.median(harness_us):.3f} us per query inside the timed region")
                continue
            ratio = harness_us / plain_us
            low, high = np.percentile(ratio, [25, 75])
            recall, difference = recall_difference(dataset, np.load(found["ids"]), args.recall_queries)
            print(
                f"{algorithm.name}: harness / plain loop {np.median(ratio):.4f} "
                f"(quartiles {low:.4f} to {high:.4f}) over {len(ratio)} pairs of blocks of "
                f"{min(found['block_ms']):.0f} ms and more; {np.median(plain_us):.1f} us per query; "
                f"recall {recall:.4f}, computed another way {difference:.5f} off"
            )


if __name__ == "__main__":
    main()
