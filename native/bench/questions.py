"""A data set as the benchmark asks it: rows, queries at random in random order, exact answers."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ann_bench.datasets import Dataset, load_dataset
from ann_bench.datasets.ground_truth import exact_neighbors
from ann_bench.distances import distances_to
from ann_bench.metrics import Sample, Truth, recall

_INNER_PRODUCT = "gowalla-64-dot"


@dataclass(frozen=True)
class Questions:
    """What is asked. `train` (n, d) and `test` (q, d) are float32, or bool for hamming."""

    name: str
    distance: str
    train: npt.NDArray[np.generic]
    test: npt.NDArray[np.generic]
    truth: Truth

    def recall(self, ids: npt.NDArray[np.int32], k: int) -> float:
        """Return the recall of the answers `ids` (q, k), by distance, ties counted."""
        distances = distances_to(self.distance, self.test, self.train, ids)
        found = recall(Sample({"k": k}, {"neighbors": ids, "distances": distances}, self.truth))
        assert found is not None
        return found

    @cached_property
    def rows_key(self) -> str:
        """A hash of the rows and the distance: an index depends on nothing else of the data set."""
        return _digest(self.train, f"{self.distance} {self.train.shape} {self.train.dtype}")

    @cached_property
    def queries_key(self) -> str:
        """A hash of the queries in their order."""
        return _digest(self.test, f"{self.test.shape}")


def ask(name: str, *, k: int, queries: int, seed: int) -> Questions:
    """Return data set `name` with exact answers for k neighbours to at most `queries` of its queries.

    The queries are drawn at random and stay in that order, so that any run of them stands for all: files are
    often sorted, their first queries easier than the rest. Of gowalla-64-dot the first 64 columns are taken,
    whose inner product is what its 65th turns into a cosine; the answers are computed anew.
    """
    dataset = load_dataset(name, k=k)
    chosen = np.random.default_rng(seed).permutation(len(dataset.test))[:queries]
    test = np.ascontiguousarray(dataset.test[chosen])
    if dataset.name == _INNER_PRODUCT:
        dataset = _with_inner_product(dataset, test[:, :64], k)
        return Questions(dataset.name, dataset.distance, dataset.train, dataset.test, Truth.of(dataset))
    dataset = replace(
        dataset, test=test, neighbors=dataset.neighbors[chosen], distances=dataset.distances[chosen]
    )
    return Questions(dataset.name, dataset.distance, dataset.train, test, Truth.of(dataset))


def _with_inner_product(dataset: Dataset, test: npt.NDArray[np.generic], k: int) -> Dataset:
    train, test = np.ascontiguousarray(dataset.train[:, :64]), np.ascontiguousarray(test)
    neighbors, distances = exact_neighbors("dot", train, test, k)
    return replace(dataset, distance="dot", train=train, test=test, neighbors=neighbors, distances=distances)


def _digest(array: npt.NDArray[np.generic], more: str) -> str:
    return hashlib.sha256(array.tobytes() + more.encode()).hexdigest()[:16]
