"""MRPT (vioshyvo/mrpt): sparse random projection trees that vote for candidates (Hyvönen et al. 2016)."""

import ctypes
import math
import os

import mrpt
import mrptlib
import numpy as np

from ann_bench.worker.wrapper import Wrapper


class Mrpt(Wrapper):
    """One `MRPTIndex`, tuned by itself; a query setting is the subset of its trees for a recall it aims at.

    It knows the euclidean distance only. For angles rows and queries are normalised, which is its user's work
    and is timed; a row of zeros is at a right angle to everything: where there are such rows, all vectors get
    one more coordinate, which is 1 for them and 0 for the others.
    """

    def build(self, train, distance, threads, k):
        self._prepare(train, distance, threads)
        self.index.build_autotune_sample(None, k)

    def _prepare(self, train, distance, threads):
        # It asks OpenMP for threads and lets nobody choose how many.
        ctypes.CDLL(mrptlib.__file__).omp_set_num_threads(threads)
        self.padded = False
        # The index reads the rows where they are.
        self.rows = self._unit_rows(train) if distance == "angular" else train
        self.index = mrpt.MRPTIndex(self.rows)
        if distance == "angular":
            self.query, self.query_batch = self._query_angle, self._query_angle_batch

    def _unit_rows(self, train):
        norms = np.linalg.norm(train, axis=1, keepdims=True)
        zero = norms == 0
        self.padded = bool(zero.any())
        rows = train / np.where(zero, 1, norms)
        return np.hstack([rows, zero.astype(np.float32)]) if self.padded else rows

    def set_query(self, threads, target_recall):
        self.subset = self.index.subset(target_recall)

    def query(self, vector, k):
        return self.subset.ann(vector, k)

    def query_batch(self, vectors, k):
        return self.subset.ann(vectors, k)

    def _query_angle(self, vector, k):
        vector = vector / (math.sqrt(vector.dot(vector)) or 1.0)
        return self.subset.ann(np.append(vector, np.float32(0)) if self.padded else vector, k)

    def _query_angle_batch(self, vectors, k):
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.where(norms == 0, 1, norms)
        return self.subset.ann(np.pad(vectors, ((0, 0), (0, 1))) if self.padded else vectors, k)

    def save(self, path):
        # Its Python side refuses to save all trees before one recall is chosen; what it stands on does not.
        self.index.index.save(os.fspath(path))

    def load(self, path):
        self._prepare(self.train, self.distance, self.threads)
        self.index.load(os.fspath(path))
        self.index.autotuned = True  # it takes the trees of all recalls for an index without tuning
