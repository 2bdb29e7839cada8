"""DuckDB (duckdb/duckdb): vectors in a column of fixed-size arrays; every row is compared."""

import os

import duckdb
import numpy as np
import pyarrow

from ann_bench.worker.wrapper import Wrapper

FUNCTIONS = {
    "euclidean": "array_distance",
    "angular": "array_cosine_distance",
    "dot": "array_negative_inner_product",
}


class DuckDb(Wrapper):
    """One table in a database in memory, ordered by DuckDB's own distance functions for each query."""

    def _connect(self):
        self.database = duckdb.connect()
        self.database.execute("SET threads TO %d" % self.threads)
        nearness = "%s(vector, ?::FLOAT[%d])" % (FUNCTIONS[self.distance], self.dimension)
        self.select = "SELECT id FROM vectors ORDER BY %s LIMIT ?" % nearness  # noqa: S608 - words of ours

    def build(self, train, distance, threads):
        self._connect()
        vectors = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(train.ravel()), train.shape[1])
        rows = pyarrow.table({"id": np.arange(len(train), dtype=np.int32), "vector": vectors})
        self.database.register("rows", rows)
        self.database.execute("CREATE TABLE vectors AS SELECT * FROM rows")
        self.database.unregister("rows")

    def set_query(self, threads):
        self.database.execute("SET threads TO %d" % threads)

    def query(self, vector, k):
        return [row[0] for row in self.database.execute(self.select, [vector.tolist(), k]).fetchall()]

    def save(self, path):
        self._copy(path, "memory", "saved")

    def load(self, path):
        self._connect()
        self._copy(path, "saved", "memory")

    def _copy(self, path, source, target):
        self.database.execute("ATTACH '%s' AS saved" % os.fspath(path).replace("'", "''"))
        self.database.execute("COPY FROM DATABASE %s TO %s" % (source, target))
        self.database.execute("DETACH saved")

    def close(self):
        self.database.close()
