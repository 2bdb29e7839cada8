"""Writes indexes with Annoy, and what it answers: annoy_answers.py FOLDER [ROWS DIMENSION BITS REPEAT].

Runs in Annoy's environment and needs nothing else. `tests/golden/annoy` is what it wrote with no sizes told.
"""

import json
import random
import sys
from pathlib import Path
from typing import Any

METRICS = ("angular", "euclidean", "manhattan", "hamming", "dot")
SEARCHES = ((1, -1), (5, -1), (5, 3), (8, 40), (7, 0), (-1, 9), (5, -2), (1000, -1), (3, 2_000_000_000))


def vector(rng: random.Random, metric: str, f: int) -> list[float]:
    """Return a vector; for hamming its bits are skewed, so that neighbours exist."""
    if metric == "hamming":
        return [int(rng.random() < 0.2) for _ in range(f)]
    return [round(rng.gauss(0, 1), 3) for _ in range(f)]


def short(values: list[float]) -> list[float]:
    """Return float32 values with as many digits as they have."""
    return [float(f"{value:.9g}") for value in values]


def answers(index: Any, metric: str, rng: random.Random, repeat: int) -> dict[str, Any]:
    """Return what the index says of itself and to some queries, by item and by vector."""
    n = index.get_n_items()
    queries: list[dict[str, Any]] = []
    for k, search_k in SEARCHES:
        for _ in range(repeat):
            query = vector(rng, metric, index.f)
            ids, distances = index.get_nns_by_vector(query, k, search_k, include_distances=True)
            queries.append(
                {"vector": query, "k": k, "search_k": search_k, "ids": ids, "distances": short(distances)}
            )
        for item in rng.sample(range(n), min(n, repeat)):
            ids, distances = index.get_nns_by_item(item, k, search_k, include_distances=True)
            queries.append(
                {"item": item, "k": k, "search_k": search_k, "ids": ids, "distances": short(distances)}
            )
    pairs = [(rng.randrange(n), rng.randrange(n)) for _ in range(4 if n else 0)]
    return {
        "metric": metric,
        "f": index.f,
        "n_items": n,
        "n_trees": index.get_n_trees(),
        "vectors": {item: short(index.get_item_vector(item)) for item in rng.sample(range(n), min(n, 3))},
        "pairs": [(i, j, *short([index.get_distance(i, j)])) for i, j in pairs],
        "queries": queries,
    }


def main(folder: Path, rows: int = 60, dimension: int = 6, bits: int = 70, repeat: int = 1) -> None:
    """Write one index per metric, with holes, and some that are special."""
    from annoy import AnnoyIndex  # here, as those who only want this file's path have no Annoy

    rng = random.Random(17)
    told = {}

    def write(name: str, metric: str, items: list[int], n_trees: int, n_jobs: int = 1) -> None:
        index = AnnoyIndex(bits if metric == "hamming" else dimension, metric)
        for item in items:
            index.add_item(item, vector(rng, metric, index.f))
        index.set_seed(5)
        index.build(n_trees, n_jobs)
        index.save(str(folder / f"{name}.ann"))
        told[f"{name}.ann"] = answers(index, metric, rng, repeat)

    with_holes = [i for i in range(rows) if i % 10 != 3]
    for metric in METRICS:
        write(metric, metric, with_holes, 4)
    write("two-threads", "angular", with_holes, 3, n_jobs=2)
    write("few-items", "dot", [0, 1, 4], 3)  # a root holds them all
    write("one-item", "euclidean", [0], 2)
    write("one-angular", "angular", [0], 2)
    write("no-items", "manhattan", [], 2)
    lines = [f"{json.dumps(name)}: {json.dumps(one)}" for name, one in told.items()]
    (folder / "answers.json").write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
