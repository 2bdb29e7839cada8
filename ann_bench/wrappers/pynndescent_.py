"""PyNNDescent (lmcinnes/pynndescent): graphs of near neighbours by NN-descent, with Numba (Dong et al. 2011)."""

import pickle

import pynndescent

from ann_bench.worker.wrapper import Wrapper

METRICS = {"euclidean": "euclidean", "angular": "cosine"}


class PyNNDescent(Wrapper):
    def build(self, train, distance, threads, n_neighbors, diversify_prob, pruning_degree_multiplier, leaf_size):
        self.index = pynndescent.NNDescent(
            train,
            metric=METRICS[distance],
            n_neighbors=n_neighbors,
            diversify_prob=diversify_prob,
            pruning_degree_multiplier=pruning_degree_multiplier,
            leaf_size=leaf_size,
            random_state=self.seed,
            n_jobs=threads,
        )
        self.index.prepare()

    def set_query(self, threads, epsilon):
        self.epsilon = epsilon

    def query(self, vector, k):
        return self.index.query(vector[None], k, self.epsilon)[0][0]

    def query_batch(self, vectors, k):
        return self.index.query(vectors, k, self.epsilon)[0]

    def save(self, path):
        with open(path, "wb") as file:
            pickle.dump(self.index, file)

    def load(self, path):
        with open(path, "rb") as file:
            self.index = pickle.load(file)
