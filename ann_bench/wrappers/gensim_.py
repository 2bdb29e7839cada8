"""Gensim (piskvorky/gensim): the exhaustive search of word2vec's `distance` tool (Mikolov et al. 2013)."""

import os

from gensim.models import KeyedVectors
from threadpoolctl import threadpool_limits

from ann_bench.worker.wrapper import Wrapper


class Word2VecDistance(Wrapper):
    """One `KeyedVectors`, whose keys are the numbers of the rows; it normalises rows and queries itself."""

    def build(self, train, distance, threads):
        self.limits = threadpool_limits(threads)
        self.index = KeyedVectors(self.dimension)
        self.index.add_vectors(list(range(len(train))), train)
        self.index.fill_norms()

    def set_query(self, threads):
        self.limits = threadpool_limits(threads)

    def query(self, vector, k):
        return [key for key, _ in self.index.similar_by_vector(vector, k)]

    def save(self, path):
        # It puts large arrays into files of their own beside the one it is given.
        os.makedirs(path)
        self.index.save(os.path.join(path, "index"))

    def load(self, path):
        self.limits = threadpool_limits(self.threads)
        self.index = KeyedVectors.load(os.path.join(path, "index"))
