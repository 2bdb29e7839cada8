"""ScaNN (google-research): k-means leaves of anisotropically quantised rows (Guo et al. 2020)."""

import os

import numpy as np
import scann

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper

MEASURES = {"euclidean": "squared_l2", "angular": "dot_product", "dot": "dot_product"}


class Scann(Wrapper):
    """One searcher with a tree, asymmetric hashing and reordering.

    It has no angular distance: as in its authors' examples, rows are normalised and ranked by inner product.
    The length of the query then changes no ranking, so that queries are left as they are.
    """

    def build(self, train, distance, threads, **parameters):
        rows = UnitVectors(train, mark_zeros=False).rows if distance == "angular" else train
        builder = scann.scann_ops_pybind.builder(rows, 10, MEASURES[distance])
        builder = builder.set_n_training_threads(threads)
        self.index = self._configure(builder, len(rows), **parameters).build()
        self.index.set_num_threads(threads)

    def _configure(
        self, builder, n, num_leaves, dimensions_per_block, anisotropic_quantization_threshold, **spilling
    ):
        builder = builder.tree(
            num_leaves,
            1,
            training_sample_size=n,
            spherical=self.distance == "angular",
            quantize_centroids=True,
            **spilling,
        )
        builder = builder.score_ah(
            dimensions_per_block,
            anisotropic_quantization_threshold=anisotropic_quantization_threshold or np.nan,
        )
        return builder.reorder(1)

    def set_query(self, threads, leaves_to_search, pre_reorder_num_neighbors):
        self.index.set_num_threads(threads)
        self.leaves, self.reordered = leaves_to_search, pre_reorder_num_neighbors

    def query(self, vector, k):
        return self.index.search(vector, k, self.reordered, self.leaves)[0]

    def query_batch(self, vectors, k):
        return self.index.search_batched_parallel(vectors, k, self.reordered, self.leaves)[0]

    def save(self, path):
        os.makedirs(path)
        self.index.serialize(os.fspath(path), relative_path=True)

    def load(self, path):
        self.index = scann.scann_ops_pybind.load_searcher(os.fspath(path))
        self.index.set_num_threads(self.threads)


class Soar(Scann):
    """With SOAR (Sun et al. 2023): each row stands in a second leaf, chosen for the errors of the first."""
