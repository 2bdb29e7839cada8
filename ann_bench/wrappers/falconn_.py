"""FALCONN (FALCONN-LIB/FALCONN): cross-polytope hashing with several probes a table (Andoni et al. 2015)."""

import falconn
import numpy as np

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper


class Falconn(Wrapper):
    """One `LSHIndex` of cross-polytope hashes.

    As its documentation tells, rows and queries are centred, which is its user's work and is timed, and
    compared by the euclidean distance. For angles they are normalised first.
    """

    def build(self, train, distance, threads, number_of_hash_bits, **parameters):
        rows = train
        if distance == "angular":
            self.unit = UnitVectors(train)
            rows = self.unit.rows
            self.query = self._query_angle
        self.center = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.rows = np.subtract(rows, self.center, dtype=np.float32)  # read where they are
        construction = falconn.LSHConstructionParameters()
        construction.dimension = rows.shape[1]
        construction.lsh_family = falconn.LSHFamily.CrossPolytope
        construction.distance_function = falconn.DistanceFunction.EuclideanSquared
        construction.storage_hash_table = falconn.StorageHashTable.BitPackedFlatHashTable
        construction.num_setup_threads = threads
        construction.seed = self.seed
        for name, value in parameters.items():
            setattr(construction, name, value)
        falconn.compute_number_of_hash_functions(number_of_hash_bits, construction)
        self.index = falconn.LSHIndex(construction)
        self.index.setup(self.rows)
        self.searcher = self.index.construct_query_object()

    def set_query(self, threads, num_probes):
        self.searcher.set_num_probes(num_probes)

    def query(self, vector, k):
        return self.searcher.find_k_nearest_neighbors(vector - self.center, k)

    def _query_angle(self, vector, k):
        return self.searcher.find_k_nearest_neighbors(self.unit.scale(vector) - self.center, k)
