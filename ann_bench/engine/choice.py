"""Which kind of index suits some rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ann_bench.engine.cluster import Cluster
from ann_bench.engine.flat import Flat
from ann_bench.engine.forest import Forest
from ann_bench.engine.graph import Graph
from ann_bench.engine.tuning import Tuner

if TYPE_CHECKING:
    from ann_bench.engine.kind import KindOfIndex

KINDS: dict[str, type[KindOfIndex]] = {kind.kind: kind for kind in (Flat, Forest, Graph, Cluster)}

DISTANCES = ("euclidean", "angular", "dot", "hamming", "manhattan", "jaccard")
VECTOR_DISTANCES = ("euclidean", "angular", "dot")
"""What graphs and clusters are for."""

FEW_ROWS = 1000
"""With fewer rows than this nothing is worth building."""

_SAMPLE_ROWS = 50_000
_SAMPLE_QUERIES = 200

_GROWTH = {"forest": 0.45, "graph": 0.25, "cluster": 0.45}
"""The power of the number of rows that the cost of a query grows with."""


_FOREST = {"n_trees": 10}


class Choice(NamedTuple):
    """A kind, the options to build it with, and the reason in words."""

    kind: str
    options: dict[str, Any]
    why: str


def choose(
    train: npt.NDArray[Any],
    distance: str,
    target_recall: float,
    k: int,
    memory_limit_bytes: int | None,
    queries: npt.ArrayLike | None,
    seed: int,
    threads: int,
) -> Choice:
    """Return the kind of index for the rows of `train`; see `Index` for the arguments.

    Raises
    ------
    ValueError
        If no kind fits into the memory.
    """
    rows = len(train)
    by_speed = _by_speed(train, distance, target_recall, k, queries, seed, threads)
    if memory_limit_bytes is None:
        return by_speed[0]
    sample = _some(train, 4096, seed)
    needed = 0
    for one in [*by_speed, Choice("flat", {}, "every row is compared")]:
        index = KINDS[one.kind].build(sample, distance, **one.options)  # type: ignore[attr-defined]
        needed = round(index.size_bytes / len(sample) * rows)
        if needed <= memory_limit_bytes:
            told = f"{needed / 1e6:,.0f} MB of the {memory_limit_bytes / 1e6:,.0f} MB allowed"
            return one._replace(why=f"{one.why}; about {told}")
    raise ValueError(
        f"memory_limit_bytes: got {memory_limit_bytes:,}; the rows alone take {needed:,}: allow more, or "
        "give fewer rows or a smaller type"
    )


def _by_speed(
    train: npt.NDArray[Any],
    distance: str,
    target_recall: float,
    k: int,
    queries: npt.ArrayLike | None,
    seed: int,
    threads: int,
) -> list[Choice]:
    """Return what can be chosen, the fastest first."""
    rows = len(train)
    if target_recall == 1:
        return [Choice("flat", {}, "recall 1 is asked for, and only comparing every row is sure to give it")]
    if rows <= FEW_ROWS:
        return [Choice("flat", {}, f"{rows:,} rows are compared as quickly as anything is looked up")]
    if distance not in VECTOR_DISTANCES:
        return [Choice("forest", _FOREST, f"the kind for {distance}")]
    tried: list[Choice] = [
        Choice("graph", {}, "graphs"),
        Choice("cluster", {"assignments": 2}, "clusters with each row in two"),
        Choice("cluster", {"assignments": 1}, "clusters with each row in one"),
    ]
    if distance == "dot":
        tried.append(Choice("forest", _FOREST, "forests"))
    sample = _some(train, _SAMPLE_ROWS, seed)
    asked: int | npt.ArrayLike = _SAMPLE_QUERIES if queries is None else np.asarray(queries)[:_SAMPLE_QUERIES]
    costs = []
    for kind, options, _ in tried:
        index = KINDS[kind].build(sample, distance, seed=seed, threads=threads, **options)  # type: ignore[attr-defined]
        tuner = Tuner(index, k, asked, seed, threads)
        grown = (rows / len(sample)) ** _GROWTH[kind]
        costs.append(tuner.cost(tuner.least_effort(target_recall)) * grown)
    order = np.argsort(costs)
    best, second = order[:2]

    def told(one: int) -> str:
        other = second if one == best else best
        share = f"{costs[one] / costs[other]:.0%} of the time of {tried[other].why}"
        return f"by a probe of {len(sample):,} rows {tried[one].why} need {share}"

    return [tried[one]._replace(why=told(one)) for one in order]


def _some(train: npt.NDArray[Any], most: int, seed: int) -> npt.NDArray[Any]:
    """Return so many rows at most, chosen at random."""
    if len(train) <= most:
        return train
    return train[np.sort(np.random.default_rng(seed).choice(len(train), size=most, replace=False))]
