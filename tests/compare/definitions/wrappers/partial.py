"""A stand-in for a library: its recall is the share of rows that it is told to look at."""

import os
import time

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
        if self.build_parameters["kind"] == "waits":
            time.sleep(1e-3)
        return np.argsort(((self.searched - vector) ** 2).sum(axis=1), kind="stable")[:k]

    def build_info(self):
        kind = self.build_parameters["kind"]
        return {"build_type": kind if kind == "Debug" else "Release"}


class Partial(Unsaved):
    """The same, which can save: the rows themselves."""

    def save(self, path):
        with open(path, "wb") as file:
            np.save(file, self.rows)

    def load(self, path):
        self.rows = np.load(path)


class Batch(Partial):
    """The same, for batches alone."""

    def query(self, vector, k):
        raise NotImplementedError

    def query_batch(self, vectors, k):
        return np.stack([super(Batch, self).query(vector, k) for vector in vectors])


class Shuffled(Partial):
    """The same, which looks at the rows in an order of its own, by chance: that of its seed."""

    def build(self, train, distance, threads, kind):
        self.rows = train
        self.order = np.random.default_rng(self.seed).permutation(len(train))

    def set_query(self, threads, share):
        self.looked_at = self.order[: int(share * len(self.rows))]
        self.searched = self.rows[self.looked_at]

    def query(self, vector, k):
        return self.looked_at[super().query(vector, k)]

    def save(self, path):
        with open(path, "wb") as file:
            np.savez(file, rows=self.rows, order=self.order)

    def load(self, path):
        with np.load(path) as kept:
            self.rows, self.order = kept["rows"], kept["order"]


class ShuffledElsewise(Shuffled):
    """The same with another chance."""

    def build(self, train, distance, threads, kind):
        super().build(train, distance, threads, kind)
        self.order = self.order[::-1]
