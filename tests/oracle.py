"""Distances and exact answers as one would write them down from their definitions, a pair at a time."""

import math
from typing import Any

import numpy as np


def distance(name: str, a: Any, b: Any) -> float:
    """Return the distance of two vectors, summed exactly (`math.fsum`), or of two sets of items."""
    if name == "jaccard":
        one, other = set(a.tolist()), set(b.tolist())
        return 1 - len(one & other) / len(one | other) if one and other else 1.0
    x, y = [float(value) for value in a], [float(value) for value in b]
    if name == "euclidean":
        return math.sqrt(math.fsum((p - q) ** 2 for p, q in zip(x, y, strict=True)))
    if name == "manhattan":
        return math.fsum(abs(p - q) for p, q in zip(x, y, strict=True))
    if name == "hamming":
        return sum(p != q for p, q in zip(x, y, strict=True)) / len(x)
    inner = math.fsum(p * q for p, q in zip(x, y, strict=True))
    if name == "dot":
        return -inner
    norms = math.sqrt(math.fsum(p * p for p in x)) * math.sqrt(math.fsum(q * q for q in y))
    return 1 - inner / norms if norms else 1.0


def exact(name: str, train: Any, test: Any, k: int) -> tuple[Any, Any]:
    """Return ids and distances of the k nearest rows of each query, by distance, then id."""
    table = np.array([[distance(name, query, row) for row in train] for query in test])
    ids = np.array([np.lexsort((np.arange(len(train)), row))[:k] for row in table], dtype=np.int32)
    return ids, np.take_along_axis(table, ids, axis=1)
