"""scikit-learn's `NearestNeighbors`: exact answers by brute force, kd-tree or ball tree."""

from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper


class _Neighbors(Wrapper):
    """What the three methods share.

    The trees have no cosine, and brute force has a slow one: rows are normalised and ranked by the euclidean
    distance, which orders them as the angle does. The length of the query changes no ranking, so that queries
    are left as they are.
    """

    algorithm = ""

    def build(self, train, distance, threads, **parameters):
        self._limit_threads(threads)
        metric = distance
        if distance == "angular":
            self.unit = UnitVectors(train)
            train, metric = self.unit.rows, "euclidean"
            if self.unit.padded:
                self.query, self.query_batch = self._query_padded, self._query_batch_padded
        self.index = NearestNeighbors(algorithm=self.algorithm, metric=metric, n_jobs=threads, **parameters)
        self.index.fit(train)

    def _limit_threads(self, threads):
        # n_jobs bounds joblib only; the loops in Cython and BLAS ask OpenMP's and OpenBLAS' own pools.
        self.limits = threadpool_limits(threads)

    def set_query(self, threads):
        self._limit_threads(threads)
        self.index.set_params(n_jobs=threads)

    def query(self, vector, k):
        return self.index.kneighbors(vector[None], k, return_distance=False)[0]

    def query_batch(self, vectors, k):
        return self.index.kneighbors(vectors, k, return_distance=False)

    def _query_padded(self, vector, k):
        return self.index.kneighbors(self.unit.pad(vector)[None], k, return_distance=False)[0]

    def _query_batch_padded(self, vectors, k):
        return self.index.kneighbors(self.unit.pad_all(vectors), k, return_distance=False)


class Brute(_Neighbors):
    """Every row compared with the query."""

    algorithm = "brute"


class KdTree(_Neighbors):
    """Rows in boxes with sides along the axes."""

    algorithm = "kd_tree"


class BallTree(_Neighbors):
    """Rows in nested balls."""

    algorithm = "ball_tree"
