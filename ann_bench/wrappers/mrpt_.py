"""MRPT (vioshyvo/mrpt): sparse random projection trees that vote for candidates (Hyvönen et al. 2016)."""

import ctypes
import os

import mrpt
import mrptlib
import numpy as np

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper


class Mrpt(Wrapper):
    """One `MRPTIndex`, tuned by itself; a query setting is the subset of its trees for a recall it aims at.

    It knows the euclidean distance only. For angles rows and queries are normalised, which is its user's work
    and is timed.
    """

    def build(self, train, distance, threads, k):
        self._prepare(train, distance, threads)
        self.index.build_autotune_sample(None, k)

    def _prepare(self, train, distance, threads):
        # It asks OpenMP for threads and lets nobody choose how many.
        ctypes.CDLL(mrptlib.__file__).omp_set_num_threads(threads)
        self.rows = train
        if distance == "angular":
            self.unit = UnitVectors(train)
            self.rows = self.unit.rows
            self.query, self.query_batch = self._query_angle, self._query_angle_batch
        # The index reads the rows where they are.
        self.index = mrpt.MRPTIndex(self.rows)

    def set_query(self, threads, target_recall):
        self.subset = self.index.subset(target_recall)

    # It does not look at the strides of what it is asked with.
    def query(self, vector, k):
        return self.subset.ann(np.ascontiguousarray(vector), k)

    def query_batch(self, vectors, k):
        return self.subset.ann(np.ascontiguousarray(vectors), k)

    def _query_angle(self, vector, k):
        return self.subset.ann(self.unit.scale(vector), k)

    def _query_angle_batch(self, vectors, k):
        return self.subset.ann(self.unit.scale_all(vectors), k)

    def save(self, path):
        # Its Python side refuses to save all trees before one recall is chosen; what it stands on does not.
        self.index.index.save(os.fspath(path))

    def load(self, path):
        self._prepare(self.train, self.distance, self.threads)
        self.index.load(os.fspath(path))
        self.index.autotuned = True  # it takes the trees of all recalls for an index without tuning
