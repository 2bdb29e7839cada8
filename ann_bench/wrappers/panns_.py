"""Panns (ryanrhymes/panns): random projection trees in Python (Liang Wang 2014).

The released `PannsIndex` has a destructor that deletes the whole folder for temporary files, everybody's. The
recipe takes it out of the installed source; where that was not done, nothing is imported here.
"""

import importlib.util
import logging
import math
import os

import numpy as np

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper


def _refuse_what_deletes_folders():
    """Raise `ImportError` if the source of the installed Panns still removes a folder."""
    spec = importlib.util.find_spec("panns")
    folder = os.path.dirname(spec.origin) if spec is not None and spec.origin else ""
    for name in sorted(os.listdir(folder) if folder else []):
        if not name.endswith(".py"):
            continue
        path = os.path.join(folder, name)
        with open(path, encoding="utf-8") as file:
            if "rmtree" in file.read():
                raise ImportError(
                    "%s still has the destructor that deletes the folder for temporary files: make the "
                    "environment anew with `ann-bench install --force panns`" % path
                )


_refuse_what_deletes_folders()

from panns import PannsIndex  # noqa: E402 - not before its source was looked at


class Panns(Wrapper):
    """One `PannsIndex`.

    For angles it takes rows of length 1, and the length of a query moves it to other leaves: both are
    normalised, which is its user's work and is timed.
    """

    def _prepare(self):
        logging.getLogger("panns").setLevel(logging.WARNING)
        self.index = PannsIndex(self.dimension, "angular" if self.distance == "angular" else "euclidean")
        if self.distance == "angular":
            self.query = self._query_angle

    def build(self, train, distance, threads, trees):
        self._prepare()
        if distance == "angular":
            train = UnitVectors(train, mark_zeros=False).rows
        self.index.load_matrix(train)
        np.random.seed(self.seed)
        self.index.build(trees)

    def query(self, vector, k):
        return [row for row, _ in self.index.query(vector, k)]

    def _query_angle(self, vector, k):
        return [row for row, _ in self.index.query(vector / (math.sqrt(vector.dot(vector)) or 1.0), k)]

    def save(self, path):
        # It writes two files; rows mapped from a file would be several times slower to compare.
        os.makedirs(path)
        self.index.save(os.path.join(path, "index"), mmap=False)

    def load(self, path):
        self._prepare()
        self.index.load(os.path.join(path, "index"))
