"""NearPy (pixelogik/NearPy): locality-sensitive hashing in Python (Ole Krause-Sparmann)."""

from nearpy import Engine
from nearpy.distances import CosineDistance
from nearpy.filters import NearestFilter
from nearpy.hashes import RandomBinaryProjections

from ann_bench.worker.wrapper import Wrapper


class NearPy(Wrapper):
    """One `Engine` with `lshashes` tables, each hashing to `projection_count` signs of random projections.

    The engine normalises whatever it stores and whatever it is asked: its euclidean distance, too, ranks by
    the angle, which is why no other distance is claimed.
    """

    def build(self, train, distance, threads, lshashes, projection_count):
        hashes = [
            RandomBinaryProjections("hash %d" % i, projection_count, rand_seed=self.seed + i)
            for i in range(lshashes)
        ]
        self.nearest = NearestFilter(1)
        self.engine = Engine(
            self.dimension, lshashes=hashes, distance=CosineDistance(), vector_filters=[self.nearest]
        )
        for i, row in enumerate(train):
            self.engine.store_vector(row, i)

    def set_query(self, threads):
        pass

    def query(self, vector, k):
        self.nearest.N = k
        return [i for _, i, _ in self.engine.neighbours(vector)]
