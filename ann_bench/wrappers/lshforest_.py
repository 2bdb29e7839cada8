"""LSH Forest (Bawa et al. 2005) as scikit-learn had it until version 0.20."""

import os
import warnings

from threadpoolctl import threadpool_limits

from ann_bench.worker.wrapper import Wrapper

os.environ["JOBLIB_MULTIPROCESSING"] = "0"  # it would start a process that nothing here needs, when imported

from sklearn.externals import joblib
from sklearn.neighbors import LSHForest


class LshForest(Wrapper):
    """One `LSHForest`: sorted hashes of random projections, in which it looks for long common prefixes.

    It ranks by the cosine. Where it has too few candidates it fills the answer up with any rows.
    """

    def build(self, train, distance, threads, n_estimators, min_hash_match):
        self._quiet(threads)
        self.index = LSHForest(
            n_estimators=n_estimators, min_hash_match=min_hash_match, random_state=self.seed
        )
        self.index.fit(train)

    def _quiet(self, threads):
        self.limits = threadpool_limits(threads)  # BLAS hashes the query
        warnings.filterwarnings("ignore", "LSHForest has poor performance", DeprecationWarning)
        warnings.filterwarnings("ignore", "Number of candidates is not sufficient", UserWarning)

    def set_query(self, threads, n_candidates):
        self.limits = threadpool_limits(threads)
        self.index.n_candidates = n_candidates

    def query(self, vector, k):
        return self.index.kneighbors(vector[None], k, return_distance=False)[0]

    def query_batch(self, vectors, k):
        return self.index.kneighbors(vectors, k, return_distance=False)

    def save(self, path):
        joblib.dump(self.index, path)

    def load(self, path):
        self._quiet(self.threads)
        self.index = joblib.load(path)
