"""LanceDB (lancedb/lancedb): tables in the columnar format Lance, indexed by the cells of k-means."""

import os
import shutil
import tempfile

import numpy as np
import pyarrow

from ann_bench.worker.wrapper import Wrapper

METRICS = {"euclidean": "l2", "angular": "cosine", "dot": "dot"}


class LanceDb(Wrapper):
    """One table in a folder with an IVF_HNSW_SQ index: in each cell a graph over rows of 8 bits a coordinate.

    `refine_factor` times k of the rows found are compared again as they were; `ef` has to be as many. Its
    runtimes read how many threads they may have when they start, with the first connection of a process;
    told to read with one thread (LANCE_IO_THREADS) it waits for ever.
    """

    def _make_folder(self):
        self.folder = os.path.join(tempfile.mkdtemp(), "database")

    def _open(self):
        for name in ("LANCE_CPU_THREADS", "TOKIO_WORKER_THREADS"):
            os.environ[name] = str(self.threads)
        import lancedb

        self.database = lancedb.connect(self.folder)
        self.metric = METRICS[self.distance]

    def build(self, train, distance, threads, num_partitions, m, ef_construction):
        self._make_folder()
        self._open()
        vectors = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(train.ravel()), train.shape[1])
        rows = pyarrow.table({"id": np.arange(len(train)), "vector": vectors})
        self.table = self.database.create_table("vectors", rows)
        self.table.create_index(
            metric=self.metric,
            index_type="IVF_HNSW_SQ",
            num_partitions=num_partitions,
            m=m,
            ef_construction=ef_construction,
        )

    def set_query(self, threads, nprobes, ef, refine_factor):
        self.nprobes, self.ef, self.refine_factor = nprobes, ef, refine_factor

    def _search(self, vector, k):
        return (
            self.table.search(vector)
            .distance_type(self.metric)
            .limit(k)
            .nprobes(self.nprobes)
            .ef(max(self.ef, k * self.refine_factor))
            .refine_factor(self.refine_factor)
            .select(["id", "_distance"])
            .to_arrow()
        )

    def query(self, vector, k):
        return self._search(vector, k)["id"].to_numpy()

    def save(self, path):
        shutil.copytree(self.folder, os.fspath(path))

    def load(self, path):
        self._make_folder()
        shutil.copytree(os.fspath(path), self.folder)
        self._open()
        self.table = self.database.open_table("vectors")

    def close(self):
        shutil.rmtree(os.path.dirname(self.folder))
