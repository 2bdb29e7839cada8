"""NGT (NGT-labs/NGT, by Yahoo Japan): neighbourhood graphs, and a tree that finds where to enter them."""

import ctypes
import os
import shutil
import tempfile

import ngtpy
import numpy as np

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper

DISTANCES = {
    "euclidean": "L2",
    "angular": "Normalized Cosine",
    "dot": "Inner Product",
    "manhattan": "L1",
}
# OpenMP and NGT's own interface for C are among what its Python module stands on.
ngt = ctypes.CDLL(ngtpy.__file__)
ngt.ngt_create_error_object.restype = ctypes.c_void_p
ngt.ngt_get_error_string.restype = ctypes.c_char_p
for _name in ("ngtqg_quantize", "qbg_create", "qbg_build_index"):
    getattr(ngt, _name).restype = ctypes.c_bool


def _call(function, path, *parameters):
    """Call a function of NGT's interface for C on the index in the folder `path`."""
    error = ctypes.c_void_p(ngt.ngt_create_error_object())
    try:
        if not getattr(ngt, function)(os.fsencode(path), *parameters, error):
            raise RuntimeError(ngt.ngt_get_error_string(error).decode("utf-8", "replace"))
    finally:
        ngt.ngt_destroy_error_object(error)


class _Graph(Wrapper):
    """What all of its indexes share: each is a folder, built in a temporary one and read from there.

    Its distance "Normalized Cosine" normalises rows and queries itself. It reads queries as if they were
    contiguous.
    """

    def make(self, path, train, distance, threads, **parameters):
        """Build the index in the folder `path`, which is not there yet."""
        raise NotImplementedError

    def open(self, path):
        """Return the index in the folder `path`."""
        return ngtpy.Index(path, read_only=True, log_disabled=True)

    def build(self, train, distance, threads, **parameters):
        ngt.omp_set_num_threads(threads)
        self._folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self._folder.name, "index")
        self.make(self.path, train, distance, threads, **parameters)
        self.index = self.open(self.path)

    def set_query(self, threads, epsilon):
        ngt.omp_set_num_threads(threads)
        self.index.set(epsilon=epsilon)

    def query(self, vector, k):
        return self.index.search(np.ascontiguousarray(vector), k, with_distance=False)

    def query_batch(self, vectors, k):
        results = ngtpy.BatchResults()
        self.index.batch_search(np.ascontiguousarray(vectors), results, k)
        return results.get_ids()

    def save(self, path):
        shutil.copytree(self.path, os.fspath(path))

    def load(self, path):
        ngt.omp_set_num_threads(self.threads)
        self.path = os.fspath(path)
        self.index = self.open(self.path)

    def close(self):
        del self.index


class Anng(_Graph):
    """The approximate k-nearest-neighbour graph that grows row by row, links going both ways."""

    def make(self, path, train, distance, threads, edge_size_for_creation, edge_size_for_search):
        ngtpy.create(
            path,
            train.shape[1],
            edge_size_for_creation=edge_size_for_creation,
            edge_size_for_search=edge_size_for_search,
            distance_type=DISTANCES[distance],
        )
        index = ngtpy.Index(path, log_disabled=True)
        index.batch_insert(train, num_threads=threads)
        index.save()
        index.close()


class _Optimized(Anng):
    """ANNG with other links. What NGT's optimizer could try out besides never ends on some sets."""

    def make(self, path, train, distance, threads, edge_size_for_creation, edge_size_for_search, **degrees):
        anng = path + "-anng"
        super().make(anng, train, distance, threads, edge_size_for_creation, edge_size_for_search)
        optimizer = ngtpy.Optimizer(log_disabled=True, **degrees)
        optimizer.set_processing_modes(
            search_parameter_optimization=False,
            prefetch_parameter_optimization=False,
            accuracy_table_generation=False,
        )
        optimizer.execute(anng, path)
        shutil.rmtree(anng)


class Onng(_Optimized):
    """ANNG with the numbers of links into and out of each row adjusted (Iwasaki & Miyazaki 2018)."""


class Panng(_Optimized):
    """ANNG without the links that a path of two shorter ones stands in for (Iwasaki 2016)."""

    def make(self, path, train, distance, threads, **edge_sizes):
        super().make(path, train, distance, threads, num_of_outgoings=0, num_of_incomings=0, **edge_sizes)


class _Quantization(ctypes.Structure):
    _fields_ = (("dimension_of_subvector", ctypes.c_float), ("max_number_of_edges", ctypes.c_size_t))


class Qg(Onng):
    """ONNG whose every row carries the codes of those that it links to (quantised graph).

    Its Python module only searches such an index; it is made by the interface for C.
    """

    def make(self, path, train, distance, threads, max_number_of_edges, **parameters):
        super().make(path, train, distance, threads, edge_size_for_search=0, **parameters)
        _call("ngtqg_quantize", path, _Quantization(0, max_number_of_edges))

    def open(self, path):
        index = ngtpy.QuantizedIndex(path, log_disabled=True)
        index.set_with_distance(False)
        return index

    def set_query(self, threads, epsilon, result_expansion):
        self.index.set(epsilon=epsilon, result_expansion=result_expansion)

    def query(self, vector, k):
        return self.index.search(np.ascontiguousarray(vector), k)

    # The module does not search for many at once here.
    query_batch = Wrapper.query_batch


class _Construction(ctypes.Structure):
    _fields_ = (
        ("extended_dimension", ctypes.c_size_t),
        ("dimension", ctypes.c_size_t),
        ("number_of_subvectors", ctypes.c_size_t),
        ("number_of_blobs", ctypes.c_size_t),
        ("internal_data_type", ctypes.c_int),
        ("data_type", ctypes.c_int),
        ("distance_type", ctypes.c_int),
    )


class _Building(ctypes.Structure):
    _fields_ = (
        ("hierarchical_clustering_init_mode", ctypes.c_int),
        ("number_of_first_objects", ctypes.c_size_t),
        ("number_of_first_clusters", ctypes.c_size_t),
        ("number_of_second_objects", ctypes.c_size_t),
        ("number_of_second_clusters", ctypes.c_size_t),
        ("number_of_third_clusters", ctypes.c_size_t),
        ("number_of_objects", ctypes.c_size_t),
        ("number_of_subvectors", ctypes.c_size_t),
        ("optimization_clustering_init_mode", ctypes.c_int),
        ("rotation_iteration", ctypes.c_size_t),
        ("subvector_iteration", ctypes.c_size_t),
        ("number_of_matrices", ctypes.c_size_t),
        ("rotation", ctypes.c_bool),
        ("repositioning", ctypes.c_bool),
    )


class Qbg(_Graph):
    """Blobs of codes, found by a graph over the blobs (quantised blob graph).

    Made by the interface for C as well, of rows and queries of length 1 for angles: its user's work, timed.
    """

    def make(self, path, train, distance, threads, number_of_blobs, **parameters):
        rows = UnitVectors(train).rows if distance == "angular" else train
        whole = 16 * ((rows.shape[1] + 15) // 16)
        construction = _Construction()
        ngt.qbg_initialize_construction_parameters(ctypes.byref(construction))
        construction.dimension = rows.shape[1]
        construction.extended_dimension = construction.number_of_subvectors = whole
        _call("qbg_create", path, ctypes.byref(construction))
        index = ngtpy.QuantizedBlobIndex(path, read_only=False)
        index.batch_insert(rows)
        index.save()
        del index
        building = _Building()
        ngt.qbg_initialize_build_parameters(ctypes.byref(building))
        # Three layers of clusters; each is learnt from as many rows as there are or a hundred for each.
        for layer, clusters in (("first", 10), ("second", 100), ("third", number_of_blobs)):
            clusters = min(clusters, len(rows) // 2)
            setattr(building, "number_of_%s_clusters" % layer, clusters)
            if layer != "third":
                setattr(building, "number_of_%s_objects" % layer, min(100 * clusters, len(rows)))
        building.number_of_objects = min(building.number_of_objects, len(rows))
        for name, value in parameters.items():
            setattr(building, name, value)
        _call("qbg_build_index", path, ctypes.byref(building))

    def open(self, path):
        if self.distance == "angular":
            self.unit = UnitVectors(self.train)
            self.query = self._query_angle
        index = ngtpy.QuantizedBlobIndex(path, refinement_object_type="Float")
        index.set_with_distance(False)
        return index

    def set_query(self, threads, **parameters):
        self.index.set(**parameters)

    def query(self, vector, k):
        return self.index.search(np.ascontiguousarray(vector), k)

    def _query_angle(self, vector, k):
        return self.index.search(self.unit.scale(vector), k)

    query_batch = Wrapper.query_batch
