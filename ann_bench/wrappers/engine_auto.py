"""ann_bench's own engine: the kind of index that it chooses itself."""

from ann_bench.engine import Index
from ann_bench.wrappers.engine_kind import EngineKind


class EngineAuto(EngineKind):
    """The kind that suits the rows, tuned on them for the recall asked for."""

    kind = Index

    def build(self, train, distance, threads, k):
        rows = self.rows(train)
        self.index = Index(distance, rows.shape[1], target_recall=0.95, k=k, seed=self.seed)
        self.index.build(rows, threads=threads)

    def set_query(self, threads, target_recall):
        self.threads = threads
        self.target_recall = target_recall

    def query(self, vector, k):
        return self.index.query(self.row(vector), k, recall=self.target_recall)[0]

    def query_batch(self, vectors, k):
        return self.index.query(self.rows(vectors), k, recall=self.target_recall, threads=self.threads)[0]
