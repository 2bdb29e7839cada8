"""nanopq and Rii (matsui528): rows are compared by codes of product quantisation (Jegou et al. 2011).

nanopq compares all codes in plain NumPy, Rii those of some inverted lists (Matsui, Hinami & Satoh 2018).
"""

import ctypes
import math
import pickle

import nanopq
import numpy as np
import rii

from ann_bench.worker.unit_vectors import UnitVectors
from ann_bench.worker.wrapper import Wrapper

KS = 256  # codewords, so that a code is a byte
TRAINING_ROWS = 100 * KS


class _Codes(Wrapper):
    """What the two share.

    They know the euclidean distance only. For angles rows and queries are normalised, which is their user's
    work and is timed.
    """

    def build(self, train, distance, threads, Ds, **parameters):
        limit_threads(threads)
        rows = self._prepare(train, distance)
        # Sub-vectors are of one length: the largest that divides Ds and the dimension.
        codec = nanopq.PQ(M=rows.shape[1] // math.gcd(rows.shape[1], Ds), Ks=KS, verbose=False)
        sample = np.random.RandomState(self.seed).permutation(len(rows))[:TRAINING_ROWS]
        codec.fit(rows[np.sort(sample)], seed=self.seed)
        self.index = self.index_of(codec, rows, **parameters)

    def index_of(self, codec, rows, **parameters):
        """Return what answers queries: the codes of `rows` by the trained `codec`."""
        raise NotImplementedError

    def _prepare(self, train, distance):
        """Return the rows to code."""
        if distance == "euclidean":
            return train
        self.unit = UnitVectors(train)
        self.search, self.query = self.query, self._query_angle
        return self.unit.rows

    def _query_angle(self, vector, k):
        return self.search(self.unit.scale(vector), k)

    def save(self, path):
        with open(path, "wb") as file:
            pickle.dump(self.index, file, pickle.HIGHEST_PROTOCOL)

    def load(self, path):
        limit_threads(self.threads)
        self._prepare(self.train, self.distance)
        with open(path, "rb") as file:
            self.index = pickle.load(file)  # noqa: S301 - what save() wrote


class NanoPq(_Codes):
    """A `nanopq.PQ` and the codes of all rows; of its distances the k smallest are picked."""

    def index_of(self, codec, rows):
        return codec, codec.encode(rows)

    def query(self, vector, k):
        codec, codes = self.index
        distances = codec.dtable(vector).adist(codes)
        nearest = np.argpartition(distances, k - 1)[:k]
        return nearest[np.argsort(distances[nearest])]


class Rii(_Codes):
    """One `Rii`; a query setting is the number of codes that are compared."""

    def index_of(self, codec, rows, nlist):
        return rii.Rii(fine_quantizer=codec).add_configure(vecs=rows, nlist=nlist)

    def set_query(self, threads, L):
        limit_threads(threads)
        self.candidates = L

    def query(self, vector, k):
        return self.index.query(vector, k, self.candidates)[0]


def limit_threads(threads):
    """Limit the threads of Rii's loops: it asks OpenMP for them and lets nobody choose how many."""
    ctypes.CDLL(rii.rii.main.__file__).omp_set_num_threads(threads)
