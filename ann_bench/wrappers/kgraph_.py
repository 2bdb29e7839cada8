"""KGraph (aaalgo/kgraph): a graph of near neighbours made by NN-descent (Dong et al. 2011), by its author.

Written after its documentation, and never run: nobody distributes it as a package.
"""

import os

import kgraph
import numpy as np

from ann_bench.worker.wrapper import Wrapper


class KGraph(Wrapper):
    """One `kgraph.KGraph`; it knows both distances, and wants as many coordinates as a multiple of 4."""

    def _prepare(self):
        self.missing = -self.dimension % 4
        self.index = kgraph.KGraph(np.pad(self.train, ((0, 0), (0, self.missing))), self.distance)

    def build(self, train, distance, threads, K, L, S):
        self._prepare()
        self.index.build(reverse=-1, K=K, L=L, S=S)

    def set_query(self, threads, P):
        self.threads = threads
        self.P = P

    def query(self, vector, k):
        return self.query_batch(vector[None], k)[0]

    def query_batch(self, vectors, k):
        padded = np.pad(vectors, ((0, 0), (0, self.missing)))
        return self.index.search(padded, K=k, P=self.P, threads=self.threads)

    def save(self, path):
        self.index.save(os.fspath(path))

    def load(self, path):
        self._prepare()
        self.index.load(os.fspath(path))
