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
GRAPH_DISTANCES = ("euclidean", "angular", "dot")
CLUSTER_DISTANCES = ("euclidean", "angular")

FEW_ROWS = 1000
"""With fewer rows than this nothing is worth building."""

_SAMPLE_ROWS = 20_000
_SAMPLE_QUERIES = 200

_UNIT_NS = {"forest": 1.5, "graph": 6.0}
"""What a kind takes for one of the distances that its `Tuner` counts: the ratio is what matters."""


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
    choice = _fastest(train, distance, target_recall, k, queries, seed, threads)
    if memory_limit_bytes is None:
        return choice
    sample = _some(train, 4096, seed)
    smaller = [choice]
    if distance in GRAPH_DISTANCES and choice.kind != "flat":
        smaller += [Choice("graph", {"degree": degree}, f"a graph of degree {degree}") for degree in (24, 12)]
    smaller.append(Choice("flat", {}, "every row is compared"))
    needed = 0
    for one in smaller:
        index = KINDS[one.kind].build(sample, distance, **one.options)  # type: ignore[attr-defined]
        needed = round(index.size_bytes / len(sample) * rows)
        if needed <= memory_limit_bytes:
            told = f"{needed / 1e6:,.0f} MB of the {memory_limit_bytes / 1e6:,.0f} MB allowed"
            return one._replace(why=f"{one.why}; about {told}")
    raise ValueError(
        f"memory_limit_bytes: got {memory_limit_bytes:,}; the rows alone take {needed:,}: allow more, or "
        "give fewer rows or a smaller type"
    )


def _fastest(
    train: npt.NDArray[Any],
    distance: str,
    target_recall: float,
    k: int,
    queries: npt.ArrayLike | None,
    seed: int,
    threads: int,
) -> Choice:
    rows = len(train)
    if target_recall == 1:
        return Choice("flat", {}, "recall 1 is asked for, and only comparing every row is sure to give it")
    if rows <= FEW_ROWS:
        return Choice("flat", {}, f"{rows:,} rows are compared as quickly as anything is looked up")
    if distance not in GRAPH_DISTANCES:
        return Choice("forest", {"n_trees": 10}, f"the kind for {distance}")
    if distance != "dot" and queries is None:
        return Choice("graph", {}, f"the fastest kind for {distance}")
    sample = _some(train, _SAMPLE_ROWS, seed)
    asked: int | npt.ArrayLike = _SAMPLE_QUERIES if queries is None else np.asarray(queries)[:_SAMPLE_QUERIES]
    costs = {}
    for kind, options in (("graph", {}), ("forest", {"n_trees": 10})):
        index = KINDS[kind].build(sample, distance, seed=seed, threads=threads, **options)  # type: ignore[attr-defined]
        tuner = Tuner(index, k, asked, seed, threads)
        costs[kind] = tuner.cost(tuner.least_effort(target_recall)) * _UNIT_NS[kind]
    best, other = sorted(costs, key=costs.__getitem__)
    told = f"on {len(sample):,} rows it takes {costs[best] / costs[other]:.0%} of the work of a {other}"
    return Choice(best, {} if best == "graph" else {"n_trees": 10}, told)


def _some(train: npt.NDArray[Any], most: int, seed: int) -> npt.NDArray[Any]:
    """Return so many rows at most, chosen at random."""
    if len(train) <= most:
        return train
    return train[np.sort(np.random.default_rng(seed).choice(len(train), size=most, replace=False))]
