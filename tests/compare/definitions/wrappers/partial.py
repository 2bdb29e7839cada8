"""A stand-in for a library: its recall is the share of rows that it is told to look at."""

import os

import numpy as np

from ann_bench.worker.wrapper import Wrapper


class Unsaved(Wrapper):
    """Exact search of the first rows; it cannot save its index."""

    def build(self, train, distance, threads, kind):
        self.rows = train

    def set_query(self, threads, share):
        self.searched = self.rows[: int(share * len(self.rows))]

    def query(self, vector, k):
        if self.build_parameters["kind"] == "crash":
            os._exit(7)
        return np.argsort(((self.searched - vector) ** 2).sum(axis=1), kind="stable")[:k]

    def build_info(self):
        kind = self.build_parameters["kind"]
        return {"build_type": "Release" if kind == "crash" else kind}


class Partial(Unsaved):
    """The same, which can save: the rows themselves."""

    def save(self, path):
        with open(path, "wb") as file:
            np.save(file, self.rows)

    def load(self, path):
        self.rows = np.load(path)
