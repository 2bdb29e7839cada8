"""rpforest (lyst/rpforest): trees of random hyperplanes; a query looks into one leaf of each."""

import pickle

import numpy as np
import rpforest

from ann_bench.worker.wrapper import Wrapper


class RpForest(Wrapper):
    """One `RPForest`, which normalises rows and queries itself and ranks by the cosine.

    It takes float64 only, and divides by the length of every vector.
    """

    def build(self, train, distance, threads, leaf_size, no_trees):
        np.random.seed(self.seed)
        self.index = rpforest.RPForest(leaf_size=leaf_size, no_trees=no_trees)
        self.index.fit(train.astype(np.float64))

    def query(self, vector, k):
        return self.index.query(vector.astype(np.float64), k)

    def save(self, path):
        with open(path, "wb") as file:
            pickle.dump(self.index, file, pickle.HIGHEST_PROTOCOL)

    def load(self, path):
        with open(path, "rb") as file:
            self.index = pickle.load(file)  # noqa: S301 - what save() wrote
