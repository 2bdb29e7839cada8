"""ann_bench's own engine: a graph of near rows."""

from ann_bench.engine import Graph
from ann_bench.wrappers.engine_kind import EngineKind


class EngineGraph(EngineKind):
    """Best-first walks over 4-bit codes, the best of what they saw compared exactly."""

    kind = Graph

    def build(self, train, distance, threads, degree, alpha):
        self.index = Graph.build(
            train, distance, degree=degree or None, alpha=alpha, seed=self.seed, threads=threads
        )

    def set_query(self, threads, ef, rerank):
        self.threads = threads
        self.ef = ef
        self.rerank = rerank

    def query(self, vector, k):
        return self.index.query(vector, k, self.ef, rerank=self.rerank)[0]

    def query_batch(self, vectors, k):
        return self.index.query(vectors, k, self.ef, rerank=self.rerank, threads=self.threads)[0]
