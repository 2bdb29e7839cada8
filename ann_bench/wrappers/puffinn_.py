"""PUFFINN (puffinn/puffinn): hash tables that stop at the recall that is asked for (Aumüller et al. 2019)."""

import puffinn

from ann_bench.worker.wrapper import Wrapper


class Puffinn(Wrapper):
    """One `Index` for angles, which normalises rows and queries itself."""

    def build(self, train, distance, threads, memory_limit):
        self.index = puffinn.Index("angular", self.dimension, memory_limit)
        for row in train:
            self.index.insert(row.tolist())
        self.index.rebuild()

    def set_query(self, threads, recall):
        self.recall = recall

    def query(self, vector, k):
        return self.index.search(vector.tolist(), k, self.recall)
