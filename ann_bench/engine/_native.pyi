from typing import Any

import numpy as np
import numpy.typing as npt

class DamagedIndexError(ValueError): ...

def build_info() -> dict[str, Any]: ...
def describe_file(path: bytes) -> dict[str, Any]: ...
def verify_file(path: bytes) -> None: ...

class Forest:
    @staticmethod
    def build(
        train: npt.NDArray[np.float32] | npt.NDArray[np.bool_],
        distance: str,
        n_trees: int,
        leaf_size: int,
        split: str,
        seed: int,
        threads: int,
    ) -> Forest: ...
    @staticmethod
    def open(path: bytes) -> Forest: ...
    def save(self, path: bytes) -> None: ...
    def query(
        self,
        vectors: npt.NDArray[np.float32] | npt.NDArray[np.bool_],
        k: int,
        search_k: int | None,
        threads: int,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]: ...
    def info(self) -> dict[str, Any]: ...
    @property
    def distance_computations(self) -> int: ...
