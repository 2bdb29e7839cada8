"""ann_bench's own engine: clusters of rows."""

from ann_bench.engine import Cluster
from ann_bench.wrappers.engine_kind import EngineKind


class EngineCluster(EngineKind):
    """The nearest clusters read in 2-bit codes, the best of their rows compared exactly."""

    kind = Cluster

    def build(self, train, distance, threads, clusters_per_root, assignments):
        clusters = min(len(train), max(1, round(clusters_per_root * len(train) ** 0.5)))
        self.index = Cluster.build(
            train, distance, clusters=clusters, assignments=assignments, seed=self.seed, threads=threads
        )

    def set_query(self, threads, nprobe, rerank):
        self.threads = threads
        self.nprobe = nprobe
        self.rerank = rerank

    def query(self, vector, k):
        return self.index.query(vector, k, self.nprobe, rerank=self.rerank)[0]

    def query_batch(self, vectors, k):
        return self.index.query(vectors, k, self.nprobe, rerank=self.rerank, threads=self.threads)[0]
