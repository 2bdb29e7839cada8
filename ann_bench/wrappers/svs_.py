"""SVS (intel/ScalableVectorSearch): Vamana graphs and inverted files, over whole or compressed rows."""

import os
import tempfile
from typing import Any

import numpy as np
import svs

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper

DISTANCES = {"euclidean": svs.DistanceType.L2, "angular": svs.DistanceType.L2, "dot": svs.DistanceType.MIP}


class _Svs(Wrapper):
    """What the indexes share.

    For angles rows are normalised and ranked by the euclidean distance, which orders them as the angle does.
    The length of the query then changes no ranking, so that queries are left as they are.
    """

    index: Any

    def _prepare(self, train):
        """Return the rows to index."""
        self.most = len(train)  # asked for more, it returns row 0 again and again
        if self.distance != "angular":
            return train
        self.unit = UnitVectors(train)
        if self.unit.padded:
            self.query, self.query_batch = self._query_padded, self._query_batch_padded
        rows = self.unit.rows
        del self.unit.rows  # the index has a copy
        return rows

    def query(self, vector, k):
        return self.index.search(vector, min(k, self.most))[0][0]

    def query_batch(self, vectors, k):
        found = min(k, self.most)
        ids = self.index.search(vectors, found)[0].astype(np.int64)
        return ids if found == k else np.pad(ids, ((0, 0), (0, k - found)), constant_values=-1)

    def _query_padded(self, vector, k):
        return self.index.search(self.unit.pad(vector), min(k, self.most))[0][0]

    def _query_batch_padded(self, vectors, k):
        return _Svs.query_batch(self, self.unit.pad_all(vectors), k)


class _Vamana(_Svs):
    """The graph of DiskANN (Subramanya et al. 2019)."""

    def build(self, train, distance, threads, graph_max_degree, window_size, alpha, **compression):
        parameters = svs.VamanaBuildParameters(
            graph_max_degree=graph_max_degree, window_size=window_size, alpha=alpha
        )
        rows = self._prepare(train)
        with tempfile.TemporaryDirectory() as folder:
            data = self._data(rows, os.path.join(folder, "rows.fvecs"), **compression)
            self.index = svs.Vamana.build(parameters, data, DISTANCES[distance], num_threads=threads)

    def _data(self, rows, path, **compression):
        """Return what SVS is to index; it compresses only what it reads from a file, which may be `path`."""
        raise NotImplementedError

    def set_query(self, threads, search_window_size):
        self.index.num_threads = threads
        self.index.search_window_size = search_window_size


class Vamana(_Vamana):
    """The graph over whole rows."""

    def _data(self, rows, path):
        return rows

    def save(self, path):
        os.mkdir(path)
        self.index.save(*self._parts(path))

    def load(self, path):
        self._prepare(self.train)
        config, graph, data = self._parts(path)
        self.index = svs.Vamana(
            config,
            svs.GraphLoader(graph),
            svs.VectorDataLoader(data, svs.DataType.float32),
            DISTANCES[self.distance],
            num_threads=self.threads,
        )

    def _parts(self, path):
        return [os.path.join(os.fspath(path), part) for part in ("config", "graph", "data")]


class VamanaLvq(_Vamana):
    """The graph over rows in locally adaptive codes (Aguerrebere et al. 2023) of one or two levels."""

    def _data(self, rows, path, primary, residual):
        return svs.LVQLoader(
            _written(rows, path),
            primary=primary,
            residual=residual,
            padding=32,
            strategy=svs.LVQStrategy.Turbo if primary == 4 else svs.LVQStrategy.Sequential,
        )


class VamanaLeanVec(_Vamana):
    """The graph over rows projected to fewer dimensions (Tepper et al. 2024); whole ones rank."""

    def _data(self, rows, path, leanvec_dims, primary_kind, secondary_kind):
        return svs.LeanVecLoader(
            _written(rows, path),
            leanvec_dims=rows.shape[1] // -leanvec_dims if leanvec_dims < 0 else leanvec_dims,
            primary_kind=getattr(svs.LeanVecKind, primary_kind),
            secondary_kind=getattr(svs.LeanVecKind, secondary_kind),
            alignment=32,
        )


def _written(rows, path):
    svs.write_vecs(rows, path)
    return svs.VectorDataLoader(path, svs.DataType.float32, dims=rows.shape[1])


class Ivf(_Svs):
    """Rows in the cells of a k-means clustering."""

    def build(self, train, distance, threads, num_centroids, num_iterations, training_fraction):
        parameters = svs.IVFBuildParameters(
            num_centroids=num_centroids,
            num_iterations=num_iterations,
            training_fraction=training_fraction,
            seed=self.seed,
        )
        rows = self._prepare(train)
        self.clustering = svs.Clustering.build(parameters, rows, DISTANCES[distance], num_threads=threads)
        self._assemble(rows)

    def _assemble(self, rows):
        self.index = svs.IVF.assemble_from_clustering(
            self.clustering, rows, DISTANCES[self.distance], num_threads=self.threads
        )

    def set_query(self, threads, n_probes):
        self.index.num_threads = threads
        self.index.search_parameters = svs.IVFSearchParameters(n_probes=n_probes)

    def save(self, path):
        self.clustering.save_clustering(os.fspath(path))

    def load(self, path):
        self.clustering = svs.Clustering.load_clustering(os.fspath(path), self.threads)
        self._assemble(self._prepare(self.train))
