"""LoRANN (ejaasaari/lorann): clusters scored by reduced-rank regression (Jääsaari, Hyvönen & Roos 2024)."""

import os

import lorann
import numpy as np

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper

DISTANCES = {"euclidean": lorann.L2, "angular": lorann.IP, "dot": lorann.IP}
FLOAT32 = np.dtype(np.float32)


class Lorann(Wrapper):
    """One `LorannIndex` of float32 rows.

    It has no angular distance: as in its authors' benchmark, rows are normalised and ranked by inner product.
    The length of the query then changes no ranking, so that queries are left as they are. It reads a query as
    float32 whatever it holds.
    """

    def build(self, train, distance, threads, global_dim, **parameters):
        rows = UnitVectors(train, mark_zeros=False).rows if distance == "angular" else train
        self.index = lorann.LorannIndex(
            rows, global_dim=global_dim or None, distance=DISTANCES[distance], **parameters
        )
        self.index.build(n_threads=threads)

    def set_query(self, threads, clusters_to_search, points_to_rerank):
        self.threads = threads
        self.clusters, self.reranked = clusters_to_search, points_to_rerank

    def query(self, vector, k):
        vector = np.ascontiguousarray(vector, FLOAT32)
        return self.index.search(vector, k, self.clusters, self.reranked, n_threads=1)

    def query_batch(self, vectors, k):
        vectors = np.ascontiguousarray(vectors, FLOAT32)
        return self.index.search(vectors, k, self.clusters, self.reranked, n_threads=self.threads)

    def save(self, path):
        self.index.save(os.fspath(path))

    def load(self, path):
        self.index = lorann.LorannIndex.load(os.fspath(path))
