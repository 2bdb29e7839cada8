"""What the wrappers of the engine's kinds of index have in common."""

from typing import Any

import numpy as np

from ann_bench.engine import build_info
from ann_bench.worker.wrapper import Wrapper


class EngineKind(Wrapper):
    """An index of one kind, `self.index`."""

    kind: Any

    def rows(self, table):
        """Return rows as the engine takes them: sets as rows of bits."""
        return table.as_bits() if self.distance == "jaccard" else table

    def row(self, vector):
        """Return one row as the engine takes it."""
        if self.distance != "jaccard":
            return vector
        bits = np.zeros(self.dimension, dtype=np.bool_)
        bits[vector] = True
        return bits

    def save(self, path):
        self.index.save(path)

    def load(self, path):
        self.index = self.kind.open(path)

    def build_info(self):
        return build_info()

    def size_bytes(self):
        return self.index.size_bytes

    def distance_computations(self):
        return self.index.distance_computations
