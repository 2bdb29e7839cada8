"""Glass (zilliztech/pyglass): HNSW and NSG graphs searched over codes of few bits."""

import os
import shutil
import tempfile

import glass
import numpy as np

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper

METRICS = {"euclidean": "L2", "angular": "IP", "dot": "IP"}


class _Glass(Wrapper):
    """What the two graphs share: built over one kind of codes, searched over another, ranked by a third.

    Rows and queries are normalised for angles, as the library's own benchmark does it; the query's part is
    timed. A `Searcher` tunes how far ahead it prefetches, as its users are told to; that is part of building
    and of loading.
    """

    index_type = ""

    def build(self, train, distance, threads, R, L, quant, search_quant, refine_quant):
        glass.set_num_threads(threads)
        rows = self._rows(train)
        graph = glass.Index(self.index_type, METRICS[distance], quant, R, L).build(rows)
        # The searcher takes the graph away.
        self.folder = tempfile.mkdtemp()
        self.graph_path = os.path.join(self.folder, "graph")
        graph.save(self.graph_path)
        self._search(graph, rows, search_quant, refine_quant)

    def _rows(self, train):
        if self.distance != "angular":
            return train
        self.unit = UnitVectors(train, mark_zeros=False)
        self.query, self.query_batch = self._query_angle, self._query_angle_batch
        rows = self.unit.rows
        del self.unit.rows  # the searcher has copies
        return rows

    def _search(self, graph, rows, search_quant, refine_quant):
        # It ranks 1.5 k rows, and takes row 0 again and again for those that it lacks.
        self.most = max(1, 2 * len(rows) // 3)
        metric = METRICS[self.distance]
        self.searcher = glass.Searcher(graph, rows, metric, search_quant, refine_quant)
        self.searcher.optimize(self.threads)

    def set_query(self, threads, ef):
        glass.set_num_threads(threads)
        self.threads = threads
        self.ef = ef
        self.searcher.set_ef(ef)

    def query(self, vector, k):
        return self.searcher.search(vector, k if k < self.most else self.most)[0]

    def query_batch(self, vectors, k):
        return self._search_batch(vectors, k)

    def _search_batch(self, vectors, k):
        found = min(k, self.most)
        # A batch, unlike a single search, does not lengthen its list by itself to what is ranked.
        self.searcher.set_ef(max(self.ef, found + found // 2))
        ids = self.searcher.batch_search(vectors, found, self.threads)[0]
        return ids if found == k else np.pad(ids, ((0, 0), (0, k - found)), constant_values=-1)

    def _query_angle(self, vector, k):
        return self.searcher.search(self.unit.scale(vector), k if k < self.most else self.most)[0]

    def _query_angle_batch(self, vectors, k):
        return self._search_batch(self.unit.scale_all(vectors), k)

    def save(self, path):
        shutil.copyfile(self.graph_path, path)

    def load(self, path):
        glass.set_num_threads(self.threads)
        parameters = self.build_parameters
        graph = glass.Graph(os.fspath(path))
        self._search(graph, self._rows(self.train), parameters["search_quant"], parameters["refine_quant"])


class Hnsw(_Glass):
    """Hierarchical navigable small world graph (Malkov & Yashunin 2016)."""

    index_type = "HNSW"


class Nsg(_Glass):
    """Navigating spreading-out graph (Fu et al. 2019)."""

    index_type = "NSG"
