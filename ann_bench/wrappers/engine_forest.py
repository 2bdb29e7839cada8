"""ann_bench's own engine: a forest of random-projection trees."""

from ann_bench.engine import Forest, build_info
from ann_bench.worker.wrapper import Wrapper


class EngineForest(Wrapper):
    """Trees of hyperplanes between two points, searched best margin first over all trees at once."""

    def build(self, train, distance, threads, n_trees):
        self.forest = Forest.build(
            train,
            distance,
            n_trees=n_trees,
            seed=self.seed,
            threads=threads,
        )

    def set_query(self, threads, search_k, rerank):
        self.threads = threads
        self.search_k = search_k
        self.rerank = rerank

    def query(self, vector, k):
        return self.forest.query(vector, k, self.search_k, rerank=self.rerank)[0]

    def query_batch(self, vectors, k):
        return self.forest.query(vectors, k, self.search_k, rerank=self.rerank, threads=self.threads)[0]

    def save(self, path):
        self.forest.save(path)

    def load(self, path):
        self.forest = Forest.open(path)

    def build_info(self):
        return build_info()

    def size_bytes(self):
        return self.forest.size_bytes

    def distance_computations(self):
        return self.forest.distance_computations
