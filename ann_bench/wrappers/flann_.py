"""FLANN (flann-lib/flann): randomised kd-trees, a k-means tree, a choice of both (Muja & Lowe 2009)."""

import os

import numpy as np
from pyflann_ibeis import FLANN
from pyflann_ibeis.index import set_distance_type

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper


class _Flann(Wrapper):
    """What the three indexes share.

    FLANN has no angle: rows and queries are normalised, which is its user's work and is timed. Its distance
    is set for the whole process. It keeps the parameters that it was called with last, which need not be
    given with each query, and refuses a k beyond the number of rows. It takes a seed, but no two of its
    indexes are alike.
    """

    algorithm = ""

    def build(self, train, distance, threads, **parameters):
        self._prepare(train, distance)
        self.index.build_index(
            self.rows, algorithm=self.algorithm, cores=threads, random_seed=self.seed, **parameters
        )

    def _prepare(self, train, distance):
        set_distance_type("manhattan" if distance == "manhattan" else "euclidean")
        self.index = FLANN()
        self.most = len(train)
        # The index reads the rows where they are; one of float64 would answer no other queries.
        self.rows: np.ndarray = np.asarray(train, dtype=np.float32)
        if distance == "angular":
            self.unit = UnitVectors(self.rows)
            self.rows = self.unit.rows
            self.query, self.query_batch = self._query_angle, self._query_angle_batch

    def set_query(self, threads, checks):
        self.index.nn_index(self.rows[:1], 1, checks=checks, cores=threads)

    def query(self, vector, k):
        return self.index.nn_index(vector, min(k, self.most))[0].reshape(-1)

    def query_batch(self, vectors, k):
        return self.index.nn_index(vectors, min(k, self.most))[0].reshape(len(vectors), -1)

    def _query_angle(self, vector, k):
        return self.index.nn_index(self.unit.scale(vector), min(k, self.most))[0].reshape(-1)

    def _query_angle_batch(self, vectors, k):
        vectors = self.unit.scale_all(vectors)
        return self.index.nn_index(vectors, min(k, self.most))[0].reshape(len(vectors), -1)

    def save(self, path):
        self.index.save_index(os.fspath(path))

    def load(self, path):
        self._prepare(self.train, self.distance)
        self.index.load_index(os.fspath(path), self.rows)

    def size_bytes(self):
        return self.index.used_memory()

    def close(self):
        self.index.delete_index()


class KdTrees(_Flann):
    """Kd-trees that split along a random one of the widest dimensions, searched together."""

    algorithm = "kdtree"


class KMeans(_Flann):
    """A tree of k-means clusterings, searched nearest cluster first."""

    algorithm = "kmeans"


class Autotuned(_Flann):
    """Whichever of both FLANN finds fastest for the precision (of the one nearest neighbour) aimed at.

    It finds out on a sample of the rows, by the clock.
    """

    algorithm = "autotuned"
    as_tuned = -2  # FLANN_CHECKS_AUTOTUNED, which also holds for an index that was loaded

    def set_query(self, threads):
        super().set_query(threads, checks=self.as_tuned)
