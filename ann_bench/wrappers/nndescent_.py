"""nndescent (brj0/nndescent): PyNNDescent's graphs of near neighbours in C++ (Dong et al. 2011; McInnes)."""

import ctypes

import nndescent
import numpy as np

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper


def _limit_threads(threads):
    # Parts of its build ask OpenMP for threads, whatever n_threads says.
    ctypes.CDLL(nndescent.__file__).omp_set_num_threads(threads)


class NNDescent(Wrapper):
    """One `nndescent.NNDescent`.

    It knows the euclidean distance best: for angles rows and queries are normalised, which is its user's work
    and is timed. It reads arrays as if they lay in one piece, and makes what it searches in when it is first
    queried.
    """

    def build(
        self, train, distance, threads, n_neighbors, pruning_degree_multiplier, pruning_prob, leaf_size
    ):
        _limit_threads(threads)
        self.rows = np.ascontiguousarray(train)
        if distance == "angular":
            self.unit = UnitVectors(train)
            self.rows = self.unit.rows
            self.query, self.query_batch = self._query_angle, self._query_angle_batch
        # The index reads the rows where they are.
        self.index = nndescent.NNDescent(
            self.rows,
            metric="euclidean",
            n_neighbors=n_neighbors,
            pruning_degree_multiplier=pruning_degree_multiplier,
            pruning_prob=pruning_prob,
            leaf_size=leaf_size,
            seed=self.seed,
            n_threads=threads,
        )
        self.index.query(self.rows[:1], 1)

    def set_query(self, threads, epsilon):
        _limit_threads(threads)
        self.index.n_threads = threads
        self.epsilon = epsilon

    def query(self, vector, k):
        return self.index.query(np.ascontiguousarray(vector[None]), k, self.epsilon)[0][0]

    def query_batch(self, vectors, k):
        return self.index.query(np.ascontiguousarray(vectors), k, self.epsilon)[0]

    def _query_angle(self, vector, k):
        return self.index.query(self.unit.scale(vector)[None], k, self.epsilon)[0][0]

    def _query_angle_batch(self, vectors, k):
        return self.index.query(self.unit.scale_all(vectors), k, self.epsilon)[0]
