"""NMSLIB (nmslib/nmslib): its navigable small world graphs, hierarchical and flat."""

import os

import nmslib

from ann_bench.worker.wrapper import Wrapper

SPACES = {"euclidean": "l2", "angular": "cosinesimil", "dot": "negdotprod", "manhattan": "l1"}


class _Nmslib(Wrapper):
    """What the two graphs share; the space "cosinesimil" normalises rows and queries itself."""

    method = ""

    def _prepare(self, train):
        self.index = nmslib.init(method=self.method, space=SPACES[self.distance])
        self.index.addDataPointBatch(train)

    def build(self, train, distance, threads, **parameters):
        self._prepare(train)
        self.index.createIndex(dict(parameters, indexThreadQty=threads))

    def set_query(self, threads, efSearch):
        self.threads = threads
        self.index.setQueryTimeParams({"efSearch": efSearch})

    def query(self, vector, k):
        return self.index.knnQuery(vector, k)[0]

    def query_batch(self, vectors, k):
        return [ids for ids, _ in self.index.knnQueryBatch(vectors, k, self.threads)]

    def save(self, path):
        self.index.saveIndex(os.fspath(path))

    def load(self, path):
        self._prepare(self.train)
        self.index.loadIndex(os.fspath(path))


class Hnsw(_Nmslib):
    """Hierarchical navigable small world graph (Malkov & Yashunin 2016), by its authors."""

    method = "hnsw"


class SwGraph(_Nmslib):
    """Navigable small world graph of one layer (Malkov et al. 2014), by its authors."""

    method = "sw-graph"
