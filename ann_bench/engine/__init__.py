"""The built-in engine: an index that finds the nearest rows of an array. Needs NumPy and nothing more.

>>> import numpy as np
>>> from ann_bench.engine import Forest
>>> train = np.random.default_rng(0).standard_normal((1000, 16), dtype=np.float32)
>>> forest = Forest.build(train, distance="euclidean", n_trees=10)
>>> ids, distances = forest.query(train[7], k=3)
>>> int(ids[0]), float(distances[0])
(7, 0.0)
"""

from ann_bench.engine._native import DamagedIndexError, build_info
from ann_bench.engine.cluster import Cluster
from ann_bench.engine.flat import Flat
from ann_bench.engine.forest import Forest
from ann_bench.engine.graph import Graph
from ann_bench.engine.index import Index

__all__ = ["Cluster", "DamagedIndexError", "Flat", "Forest", "Graph", "Index", "build_info"]
