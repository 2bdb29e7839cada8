"""rpforest (lyst/rpforest): trees of random hyperplanes; a query looks into one leaf of each."""

import pickle

import numpy as np
import rpforest

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper


class RpForest(Wrapper):
    """One `RPForest`, which ranks by the cosine and takes float64 only.

    Left to itself it divides zeros by their length; so rows and queries are normalised here, as there.
    """

    def build(self, train, distance, threads, leaf_size, no_trees):
        self.unit = UnitVectors(train, mark_zeros=False)
        np.random.seed(self.seed)
        self.index = rpforest.RPForest(leaf_size=leaf_size, no_trees=no_trees)
        self.index.fit(self.unit.rows.astype(np.float64), normalise=False)

    def query(self, vector, k):
        return self.index.query(self.unit.scale(vector.astype(np.float64)), k, normalise=False)

    def save(self, path):
        with open(path, "wb") as file:
            pickle.dump(self.index, file, pickle.HIGHEST_PROTOCOL)

    def load(self, path):
        self.unit = UnitVectors(self.train, mark_zeros=False)
        with open(path, "rb") as file:
            self.index = pickle.load(file)  # noqa: S301 - what save() wrote
