"""Datasets: what there is, how to get it, how to read it, and its exact answers."""

from ann_bench.datasets.catalog import Catalog, Entry
from ann_bench.datasets.dimension import local_intrinsic_dimension
from ann_bench.datasets.download import download
from ann_bench.datasets.generate import generate
from ann_bench.datasets.ground_truth import exact_neighbors
from ann_bench.datasets.load import Dataset, find, load_dataset, locate

__all__ = [
    "Catalog",
    "Dataset",
    "Entry",
    "download",
    "exact_neighbors",
    "find",
    "generate",
    "load_dataset",
    "local_intrinsic_dimension",
    "locate",
]
