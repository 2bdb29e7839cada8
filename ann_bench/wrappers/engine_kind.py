"""What the wrappers of the engine's kinds of index have in common."""

from typing import Any

from ann_bench.engine import build_info
from ann_bench.worker.wrapper import Wrapper


class EngineKind(Wrapper):
    """An index of one kind, `self.index`."""

    kind: Any

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
