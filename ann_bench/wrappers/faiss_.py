"""Faiss (facebookresearch/faiss): flat, inverted-file and graph indexes of floats, packed bits or codes."""

import os

import faiss
import numpy as np

from ann_bench.worker.wrapper import Wrapper

METRICS = {
    "euclidean": faiss.METRIC_L2,
    "angular": faiss.METRIC_INNER_PRODUCT,
    "dot": faiss.METRIC_INNER_PRODUCT,
    "manhattan": faiss.METRIC_L1,
}


class _Faiss(Wrapper):
    """What the indexes share.

    Faiss has no angular distance: as its documentation tells, rows are normalised and ranked by inner
    product. The length of the query then changes no ranking, so that queries are left as they are. Bits go to
    the binary indexes, packed; packing the query is the user's work and is timed.
    """

    def empty(self, dimension, metric, **parameters):
        """Return an index without rows."""
        raise NotImplementedError

    def empty_binary(self, bits, **parameters):
        """Return an index of packed bits without rows."""
        raise NotImplementedError

    def build(self, train, distance, threads, **parameters):
        faiss.omp_set_num_threads(threads)
        if distance == "hamming":
            rows = np.packbits(train, axis=1)
            self.index = self.empty_binary(8 * rows.shape[1], **parameters)
        else:
            rows = train
            if distance == "angular":
                rows = train.copy()
                faiss.normalize_L2(rows)
            self.index = self.empty(train.shape[1], METRICS[distance], **parameters)
        if not self.index.is_trained:
            self.index.train(rows)
        self.index.add(rows)
        self._choose_query()

    def _choose_query(self):
        if self.distance == "hamming":
            self.query, self.query_batch = self._query_bits, self._query_bits_batch

    def set_query(self, threads):
        faiss.omp_set_num_threads(threads)

    def query(self, vector, k):
        return self.index.search(vector[None], k)[1][0]

    def query_batch(self, vectors, k):
        return self.index.search(vectors, k)[1]

    def _query_bits(self, vector, k):
        return self.index.search(np.packbits(vector)[None], k)[1][0]

    def _query_bits_batch(self, vectors, k):
        return self.index.search(np.packbits(vectors, axis=1), k)[1]

    def save(self, path):
        write = faiss.write_index_binary if self.distance == "hamming" else faiss.write_index
        write(self.index, os.fspath(path))

    def load(self, path):
        faiss.omp_set_num_threads(self.threads)
        read = faiss.read_index_binary if self.distance == "hamming" else faiss.read_index
        self.index = read(os.fspath(path))
        self._choose_query()


class Flat(_Faiss):
    """Every row compared with the query."""

    def empty(self, dimension, metric):
        return faiss.IndexFlat(dimension, metric)

    def empty_binary(self, bits):
        return faiss.IndexBinaryFlat(bits)


class Ivf(_Faiss):
    """Rows in the cells of a k-means clustering; the `nprobe` nearest cells are searched."""

    def empty(self, dimension, metric, nlist):
        self.quantizer = faiss.IndexFlat(dimension, metric)
        index = faiss.IndexIVFFlat(self.quantizer, dimension, nlist, metric)
        index.cp.seed = self.seed
        return index

    def empty_binary(self, bits, nlist):
        self.quantizer = faiss.IndexBinaryFlat(bits)
        index = faiss.IndexBinaryIVF(self.quantizer, bits, nlist)
        index.cp.seed = self.seed
        return index

    def set_query(self, threads, nprobe):
        faiss.omp_set_num_threads(threads)
        self.index.nprobe = nprobe
        faiss.cvar.indexIVF_stats.reset()

    def distance_computations(self):
        stats = faiss.cvar.indexIVF_stats
        return stats.ndis + stats.nq * self.index.nlist


class Hnsw(_Faiss):
    """Hierarchical navigable small world graph over the rows."""

    def empty(self, dimension, metric, M, efConstruction):
        return self._with_ef(faiss.IndexHNSWFlat(dimension, M, metric), efConstruction)

    def empty_binary(self, bits, M, efConstruction):
        return self._with_ef(faiss.IndexBinaryHNSW(bits, M), efConstruction)

    def _with_ef(self, index, ef_construction):
        index.hnsw.efConstruction = ef_construction
        return index

    def set_query(self, threads, efSearch):
        faiss.omp_set_num_threads(threads)
        self.index.hnsw.efSearch = efSearch
        faiss.cvar.hnsw_stats.reset()

    def distance_computations(self):
        return faiss.cvar.hnsw_stats.ndis


class NNDescent(_Faiss):
    """Graph of near neighbours found by NN-descent (Dong et al. 2011), searched from rows taken at random."""

    def empty(self, dimension, metric, K, L, iter):
        index = faiss.IndexNNDescentFlat(dimension, K, metric)
        index.nndescent.L = L
        index.nndescent.iter = iter
        index.nndescent.random_seed = self.seed
        return index

    def set_query(self, threads, search_L):
        faiss.omp_set_num_threads(threads)
        self.index.nndescent.search_L = search_L


class HnswSq(Hnsw):
    """Hierarchical navigable small world graph over rows of few bits a dimension (scalar quantisation)."""

    def empty(self, dimension, metric, M, efConstruction, qtype):
        # Its kernels work on 16 dimensions at once; others are compared one dimension after the other.
        padding = _padding(dimension, 16)
        coded = dimension if padding is None else padding.d_out
        index = faiss.IndexHNSWSQ(coded, getattr(faiss.ScalarQuantizer, qtype), M, metric)
        self.graph = self._with_ef(index, efConstruction)
        return self.graph if padding is None else faiss.IndexPreTransform(padding, self.graph)

    def set_query(self, threads, efSearch):
        faiss.omp_set_num_threads(threads)
        self.graph.hnsw.efSearch = efSearch
        faiss.cvar.hnsw_stats.reset()

    def load(self, path):
        super().load(path)
        padded = isinstance(self.index, faiss.IndexPreTransform)
        self.graph = faiss.downcast_index(self.index.index) if padded else self.index


class Nsg(_Faiss):
    """Navigating spreading-out graph over the rows (Fu et al. 2019), from neighbours found by NN-descent."""

    def empty(self, dimension, metric, R, GK, nndescent_iter):
        index = faiss.IndexNSGFlat(dimension, R, metric)
        index.build_type = 1  # NN-descent; 0 would compare all rows with all
        index.nndescent_iter = nndescent_iter
        index.GK, index.nndescent_L = GK, GK + 50  # as its constructor sets them for its own GK
        return index

    def set_query(self, threads, search_L):
        faiss.omp_set_num_threads(threads)
        self.index.nsg.search_L = search_L


class _Codes(_Faiss):
    """Codes of rows in the cells of a k-means clustering, and the rows.

    The `k_factor * k` rows that are nearest by their codes are compared exactly.
    """

    def transformation(self, dimension, **code):
        """Return what is done to each vector before it is coded, or None."""
        raise NotImplementedError

    def codes(self, dimension, metric, nlist, **code):
        """Return an inverted file without rows; `self.quantizer` finds its cells."""
        raise NotImplementedError

    def empty(self, dimension, metric, nlist, **code):
        first = self.transformation(dimension, **code)
        coded = dimension if first is None else first.d_out
        self.quantizer = faiss.IndexFlat(coded, metric)
        self.ivf = self.codes(coded, metric, nlist, **code)
        self.ivf.cp.seed = self.seed
        self.base = self.ivf if first is None else faiss.IndexPreTransform(first, self.ivf)
        return faiss.IndexRefineFlat(self.base)

    def set_query(self, threads, nprobe, k_factor):
        faiss.omp_set_num_threads(threads)
        self.ivf.nprobe = nprobe
        self.index.k_factor = k_factor

    def load(self, path):
        super().load(path)
        self.ivf = faiss.extract_index_ivf(faiss.downcast_index(self.index.base_index))


class IvfPq(_Codes):
    """Product quantisation (Jegou et al. 2011) of the way from the centroid, 8 bits for `dsub` dimensions."""

    def transformation(self, dimension, dsub):
        return _padding(dimension, dsub)

    def codes(self, dimension, metric, nlist, dsub):
        index = faiss.IndexIVFPQ(self.quantizer, dimension, nlist, dimension // dsub, 8, metric)
        index.pq.cp.seed = self.seed
        return index


class IvfPqFastScan(_Codes):
    """Product quantisation, 4 bits for `dsub` dimensions, 32 codes looked up at once (André et al. 2015)."""

    def transformation(self, dimension, dsub, by_residual):
        return _padding(dimension, dsub)

    def codes(self, dimension, metric, nlist, dsub, by_residual):
        index = faiss.IndexIVFPQFastScan(self.quantizer, dimension, nlist, dimension // dsub, 4, metric)
        index.by_residual = by_residual
        index.pq.cp.seed = self.seed
        return index


class IvfRaBitQ(_Codes):
    """RaBitQ (Gao & Long 2024): `nb_bits` for a dimension of the way from the centroid, randomly rotated."""

    def transformation(self, dimension, **code):
        rotation = faiss.RandomRotationMatrix(dimension, dimension)
        rotation.init(self.seed)
        rotation.is_trained = True
        return rotation

    def codes(self, dimension, metric, nlist, nb_bits):
        return faiss.IndexIVFRaBitQ(self.quantizer, dimension, nlist, metric, True, nb_bits)


class IvfRaBitQFastScan(IvfRaBitQ):
    """RaBitQ, 32 codes at once."""

    def codes(self, dimension, metric, nlist, nb_bits):
        return faiss.IndexIVFRaBitQFastScan(self.quantizer, dimension, nlist, metric, 32, True, nb_bits)


def _padding(dimension, multiple):
    """Return a transformation that appends zeros up to a `multiple` of dimensions, None where none lack."""
    if dimension % multiple == 0:
        return None
    return faiss.RemapDimensionsTransform(dimension, dimension + -dimension % multiple, False)
