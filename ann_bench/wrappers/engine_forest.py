"""ann_bench's own engine: a forest of random-projection trees."""

from ann_bench.engine import Forest
from ann_bench.wrappers.engine_kind import EngineKind


class EngineForest(EngineKind):
    """Trees of hyperplanes between two points, searched best margin first over all trees at once."""

    kind = Forest

    def build(self, train, distance, threads, n_trees):
        self.index = Forest.build(
            self.rows(train), distance, n_trees=n_trees, seed=self.seed, threads=threads
        )

    def set_query(self, threads, search_k, rerank):
        self.threads = threads
        self.search_k = search_k
        self.rerank = rerank

    def query(self, vector, k):
        return self.index.query(self.row(vector), k, self.search_k, rerank=self.rerank)[0]

    def query_batch(self, vectors, k):
        return self.index.query(
            self.rows(vectors), k, self.search_k, rerank=self.rerank, threads=self.threads
        )[0]
