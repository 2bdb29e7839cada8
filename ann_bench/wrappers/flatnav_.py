"""FlatNav (BlaiseMuhirwa/flatnav): a navigable small world graph of one layer (Munyampirwa et al. 2024)."""

import flatnav

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper

DISTANCE_TYPES = {"euclidean": "l2", "angular": "angular", "dot": "angular"}


class FlatNav(Wrapper):
    """One `flatnav.index`, its nodes in the order of the rows or put into another that suits the caches.

    What it calls angular is the inner product, so that rows are normalised for angles; the length of the
    query then changes no ranking. It saves an index, but its `load_index` knows none of its own files.
    """

    def build(self, train, distance, threads, max_edges_per_node, ef_construction, reorder):
        rows = UnitVectors(train, mark_zeros=False).rows if distance == "angular" else train
        self.index = flatnav.index.create(
            distance_type=DISTANCE_TYPES[distance],
            dim=self.dimension,
            dataset_size=len(rows),
            max_edges_per_node=max_edges_per_node,
        )
        self.index.set_num_threads(threads)
        self.index.add(data=rows, ef_construction=ef_construction)
        if reorder != "none":
            self.index.reorder([reorder])

    def set_query(self, threads, ef_search):
        self.index.set_num_threads(threads)
        self.ef_search = ef_search

    def query(self, vector, k):
        return self.index.search_single(vector, k, self.ef_search)[1]

    def query_batch(self, vectors, k):
        return self.index.search(vectors, k, self.ef_search)[1]
