"""ann_bench's own engine: every row compared."""

from ann_bench.engine import Flat
from ann_bench.wrappers.engine_kind import EngineKind


class EngineFlat(EngineKind):
    """Exact, with or without codes of a byte a dimension that rule most rows out."""

    kind = Flat

    def build(self, train, distance, threads, codes):
        self.index = Flat.build(self.rows(train), distance, codes=codes, threads=threads)

    def set_query(self, threads):
        self.threads = threads

    def query(self, vector, k):
        return self.index.query(self.row(vector), k)[0]

    def query_batch(self, vectors, k):
        return self.index.query(self.rows(vectors), k, threads=self.threads)[0]
