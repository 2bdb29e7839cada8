"""datasketch (Eric Zhu): an LSH forest (Bawa et al. 2005) over MinHash signatures (Broder 1997)."""

import pickle

from datasketch import MinHash, MinHashLSHForest

from ann_bench.worker.wrapper import Wrapper


class LshForest(Wrapper):
    """One `MinHashLSHForest`.

    It returns sets that share hashes, in no order: as its documentation advises, more are asked for than are
    wanted, and those compared exactly.
    """

    def build(self, train, distance, threads, num_perm, l):  # noqa: E741 - the library's own name
        self.empty = MinHash(num_perm, seed=self.seed, hashfunc=int)  # its own mixing is hash enough
        self.sets = [frozenset(items.tolist()) for items in train]
        self.forest = MinHashLSHForest(num_perm, l)
        for row, items in enumerate(self.sets):
            self.forest.add(row, self._signature(items))
        self.forest.index()

    def _signature(self, items):
        signature = self.empty.copy()
        signature.update_batch(items)
        return signature

    def set_query(self, threads, candidates):
        self.candidates = candidates

    def query(self, vector, k):
        items = frozenset(vector.tolist())
        found = self.forest.query(self._signature(items), self.candidates)
        return sorted(found, key=lambda row: self._distance(items, self.sets[row]))[:k]

    def _distance(self, items, others):
        common = len(items & others)
        return 1 - common / (len(items) + len(others) - common) if common else 1

    def save(self, path):
        with open(path, "wb") as file:
            pickle.dump((self.empty, self.sets, self.forest), file, pickle.HIGHEST_PROTOCOL)

    def load(self, path):
        with open(path, "rb") as file:
            self.empty, self.sets, self.forest = pickle.load(file)  # noqa: S301 - what `save` wrote
