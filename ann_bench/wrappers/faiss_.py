"""Faiss (facebookresearch/faiss): flat, inverted-file and graph indexes, of floats or of packed bits."""

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
    """What the three indexes share.

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
