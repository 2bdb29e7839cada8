"""PyNNDescent (lmcinnes/pynndescent): graphs of near neighbours (Dong et al. 2011), compiled by Numba."""

import pickle

import numba
import numpy as np
import pynndescent

from ann_bench.worker.wrapper import Wrapper

METRICS = {"euclidean": "euclidean", "angular": "cosine"}
WARM_UP_ROWS = 500


class PyNNDescent(Wrapper):
    """One `pynndescent.NNDescent`; its metric "cosine" needs no vector normalised.

    Numba compiles most of it in each process when it is first called, for the metric at hand, and longer than
    a small index takes to build. So a toy index is built, searched and forgotten before any clock runs, in
    `build_info`, which tells what it was compiled with.
    """

    def _new(self, train, threads, **parameters):
        index = pynndescent.NNDescent(
            train,
            metric=METRICS[self.distance],
            random_state=self.seed,
            n_jobs=threads,
            parallel_batch_queries=threads > 1,
            **parameters,
        )
        index.prepare()
        return index

    def build_info(self):
        toy = np.random.RandomState(1).normal(size=(WARM_UP_ROWS, self.dimension)).astype(np.float32)
        self._new(toy, self.threads, **dict(self.build_parameters, n_neighbors=10)).query_indices(toy[:1])
        return {"numba": numba.__version__, "threading_layer": numba.threading_layer()}

    def build(self, train, distance, threads, **parameters):
        self.index = self._new(train, threads, **parameters)

    def set_query(self, threads, epsilon):
        numba.set_num_threads(threads)
        self.epsilon = epsilon

    def query(self, vector, k):
        return self.index.query_indices(vector[None], k, self.epsilon)[0]

    def query_batch(self, vectors, k):
        return self.index.query_indices(vectors, k, self.epsilon)

    def save(self, path):
        with open(path, "wb") as file:
            pickle.dump(self.index, file, pickle.HIGHEST_PROTOCOL)

    def load(self, path):
        with open(path, "rb") as file:
            self.index = pickle.load(file)  # noqa: S301 - what `save` wrote
