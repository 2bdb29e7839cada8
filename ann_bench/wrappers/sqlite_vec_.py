"""sqlite-vec (asg017/sqlite-vec): vectors in a virtual table of SQLite; every row is compared."""

import contextlib
import os

import numpy as np
import pysqlite3
import sqlite_vec

from ann_bench.worker.wrapper import Wrapper

METRICS = {"euclidean": "l2", "angular": "cosine", "manhattan": "l1"}


class SqliteVec(Wrapper):
    """One `vec0` table in a database in memory.

    Vectors are handed over as bytes. Bits are packed, which its user does and which is timed.
    """

    def _connect(self):
        self.database = pysqlite3.connect(":memory:")
        self.database.enable_load_extension(True)
        sqlite_vec.load(self.database)
        self.database.enable_load_extension(False)
        self.value = "vec_bit(?)" if self.distance == "hamming" else "?"
        nearest = "vector MATCH %s AND k = ? ORDER BY distance" % self.value
        self.select = "SELECT rowid FROM vectors WHERE %s" % nearest  # noqa: S608 - words of ours
        if self.distance == "hamming":
            self.query = self._query_bits

    def build(self, train, distance, threads):
        self._connect()
        if distance == "hamming":
            rows = np.packbits(train, axis=1)
            column = "bit[%d]" % (8 * rows.shape[1])
        else:
            rows = train
            column = "float[%d] distance_metric=%s" % (train.shape[1], METRICS[distance])
        with self.database:
            self.database.execute("CREATE VIRTUAL TABLE vectors USING vec0(vector %s)" % column)
            insert = "INSERT INTO vectors(rowid, vector) VALUES (?, %s)" % self.value  # noqa: S608
            self.database.executemany(insert, enumerate(map(bytes, rows)))

    def query(self, vector, k):
        return [row[0] for row in self.database.execute(self.select, (vector, k))]

    def _query_bits(self, vector, k):
        return [row[0] for row in self.database.execute(self.select, (np.packbits(vector), k))]

    def save(self, path):
        with contextlib.closing(pysqlite3.connect(os.fspath(path))) as file:
            self.database.backup(file)

    def load(self, path):
        self._connect()
        with contextlib.closing(pysqlite3.connect(os.fspath(path))) as file:
            file.backup(self.database)

    def build_info(self):
        return {"sqlite": pysqlite3.sqlite_version}

    def close(self):
        self.database.close()
