"""Finds, reads and checks a dataset, and gives it the exact answers that were asked for."""

import difflib
import hashlib
import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import TaskProgressColumn

from ann_bench import paths
from ann_bench.datasets import hdf5
from ann_bench.datasets.catalog import Catalog
from ann_bench.datasets.download import download
from ann_bench.datasets.generate import generate
from ann_bench.datasets.ground_truth import check_answers, exact_neighbors, sample_size
from ann_bench.datasets.progress import progress_bar
from ann_bench.distances import distances_to, values_of_a_row
from ann_bench.errors import DatasetError, UsageError
from ann_bench.worker.sets import Rows

_SUFFIXES = (".hdf5", ".h5")


@dataclass(frozen=True)
class Dataset:
    """Vectors, queries and their exact answers.

    Attributes
    ----------
    name
        Name in the catalogue, or the file's name without its suffix.
    distance
        One of `distances.DISTANCES`.
    train, test
        Shapes (n, d) and (q, d), C-contiguous, both float32, or bool for hamming. Angular rows are as the
        file has them, not normalised; rows of zeros are possible. `Sets` for jaccard, some maybe empty.
    neighbors
        Shape (q, K) int32, by distance, then id; K is at least k, or n where there are fewer rows than k.
    distances
        Shape (q, K) float64, recomputed from the vectors in this project's definition, never the file's.
    sha256
        Identity of the content: the file's, or with a subset of rows or queries made from that and their
        numbers.
    rows_available, queries_available
        Rows and queries in the file.
    provenance
        Where it comes from: path, URLs, licence, note, the file's attributes, and what was checked.
    """

    name: str
    distance: str
    train: Rows
    test: Rows
    neighbors: npt.NDArray[np.int32]
    distances: npt.NDArray[np.float64]
    sha256: str
    rows_available: int
    queries_available: int
    provenance: dict[str, Any]

    @property
    def n(self) -> int:
        """Rows to be indexed."""
        return len(self.train)

    @property
    def dimension(self) -> int:
        """Components of a vector; bits for hamming, different items for jaccard."""
        return int(self.train.shape[1])


def find(name: str) -> Path | None:
    """Return the file of dataset `name` in the first folder of `paths.dataset_search_path()` that has it."""
    candidates = (folder / f"{name}.hdf5" for folder in paths.dataset_search_path())
    return next((path for path in candidates if path.is_file()), None)


def load_dataset(
    name_or_path: str,
    *,
    k: int = 10,
    queries: int | None = None,
    subset: int | None = None,
    offline: bool = False,
    progress: bool = False,
    report: Callable[[str], None] = lambda _line: None,
) -> Dataset:
    """Return a dataset with the exact answers for at least `k` neighbours, a sample of them checked.

    Parameters
    ----------
    name_or_path
        A name (a file NAME.hdf5 on the search path, or in the catalogue: then it is downloaded or generated),
        or a path to an HDF5 file in ann-benchmarks' layout.
    k
        Neighbours that will be asked for. Where the file has fewer, exact answers are computed, and kept in
        the cache.
    queries
        Use so many queries only, spread evenly over all: files are often sorted, their first queries easier
        than the rest.
    subset
        Use the first so many rows only; exact answers are computed for them, and kept in the cache.
    offline
        Never download or generate.
    progress
        Whether a download, the generation and the computation of answers may draw a progress bar (on stderr).
    report
        Gets a line where it must wait for another process, and where a dataset is generated.

    Raises
    ------
    UsageError
        An unknown name, a missing file, or a number out of range.
    DatasetError
        The dataset cannot be had, is damaged, or its answers are not those of its vectors.
    """
    for flag, value in {"k": k, "queries": queries, "subset": subset}.items():
        if value is not None and value < 1:
            raise UsageError(f"{flag}: got {value}; it is a whole number >= 1")
    path, provenance = locate(name_or_path, offline=offline, progress=progress, report=report)
    contents = hdf5.read(path, rows=subset)
    _check_range("queries", queries, len(contents.test), path)
    _check_range("subset", subset, contents.rows, path)
    whole = len(contents.train) == contents.rows
    provenance |= {"attributes": contents.attributes}
    if whole:
        provenance |= _verify(path, contents)
    chosen = np.arange(queries or len(contents.test)) * len(contents.test) // (queries or len(contents.test))
    test = contents.test[chosen]
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if not whole or len(test) < len(contents.test):
        sha256 = hashlib.sha256(
            f"{sha256} rows={len(contents.train)} queries={len(test)} spread".encode()
        ).hexdigest()
    if whole and contents.neighbors.shape[1] >= min(k, contents.rows):
        neighbors, distances = _in_order(contents, chosen, k)
        provenance["answers"] = "the file's, their distances recomputed"
    else:
        neighbors, distances = _computed(contents, test, k, sha256, progress)
        provenance["answers"] = f"computed for k = {k}"
    return Dataset(
        name=path.stem,
        distance=contents.distance,
        train=contents.train,
        test=test,
        neighbors=neighbors,
        distances=distances,
        sha256=sha256,
        rows_available=contents.rows,
        queries_available=len(contents.test),
        provenance=provenance,
    )


def locate(
    name_or_path: str,
    *,
    offline: bool = False,
    progress: bool = False,
    report: Callable[[str], None] = lambda _line: None,
) -> tuple[Path, dict[str, Any]]:
    """Return a dataset's file, downloaded or generated if need be, and its provenance.

    Raises as `load_dataset` does.
    """
    if name_or_path.endswith(_SUFFIXES) or os.sep in name_or_path:
        path = Path(name_or_path).expanduser()
        if not path.is_file():
            raise UsageError(
                f"{path}: no such file; give an HDF5 file, or a name from `ann-bench datasets list`"
            )
        return path, {"path": str(path.resolve())}
    catalog = Catalog.read()
    found = find(name_or_path)
    entry = catalog.get(name_or_path)
    if found is None:
        if entry is None:
            raise UsageError(_unknown(name_or_path, catalog))
        places = ", ".join(map(str, paths.dataset_search_path()))
        if entry.embedded:
            raise DatasetError(f"{name_or_path}: ships with us, but is not in {places}; install again")
        if offline:
            verb, where = ("generate", "") if entry.generator else ("download", " online")
            raise DatasetError(
                f"{name_or_path}: is not here, and --offline forbids to {verb} it; looked in {places}. "
                f"Put {name_or_path}.hdf5 there, or run `ann-bench datasets get {name_or_path}`{where}"
            )
        fetch = generate if entry.generator else download
        found = fetch(name_or_path, entry, paths.downloads_dir(), progress=progress, report=report)
    provenance: dict[str, Any] = {"path": str(found.resolve())}
    if entry is not None:
        provenance |= {"urls": list(entry.urls), "licence": entry.licence, "note": entry.note}
    return found, provenance


def _unknown(name: str, catalog: Catalog) -> str:
    """Return what to say about a name that nothing has."""
    here = {path.stem for folder in paths.dataset_search_path() for path in folder.glob("*.hdf5")}
    near = difflib.get_close_matches(name, sorted({*catalog.names, *here}), n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    return f"{name}: unknown dataset; {hint}`ann-bench datasets list` shows all; a path ends in .hdf5"


def _check_range(flag: str, value: int | None, available: int, path: Path) -> None:
    if value is not None and value > available:
        raise UsageError(f"{flag}: got {value:,}; {path} has {available:,}")


def _verify(path: Path, contents: hdf5.Contents) -> dict[str, Any]:
    """Return what was checked about the file's answers; raise `DatasetError` where they are wrong."""
    sample = sample_size(len(contents.train), values_of_a_row(contents.train))
    bad = check_answers(contents.distance, contents.train, contents.test, contents.neighbors, sample)
    if bad is not None:
        hint = f'they fit "{bad.fits[0]}"' if bad.fits else "they fit no other distance either"
        raise DatasetError(
            f"{path}: {bad.wrong} of {bad.sampled} sampled queries disagree with `neighbors` (worst: query "
            f"{bad.query}, stored {bad.stored:.6g}, computed {bad.computed:.6g}); the file's distance is "
            f'"{contents.distance}", its answers are not: {hint}. Correct the attribute or the answers'
        )
    checked = min(sample, len(contents.test))
    return {"checked_queries": checked, "stored_distances": _compare_distances(contents)}


def _compare_distances(contents: hdf5.Contents) -> str:
    """Return in words whether the file's own distances are ours; they are never used."""
    if contents.stored_distances is None:
        return "none"
    few = slice(0, 100)
    neighbors, test = contents.neighbors[few], contents.test[few]
    ours = np.sort(distances_to(contents.distance, test, contents.train, neighbors), axis=1)
    error = np.abs(np.sort(contents.stored_distances[few], axis=1) - ours).max()
    worst = float(error / (np.abs(ours).max() or 1.0))
    return "the same" if worst < 1e-3 else f"differ by up to {worst:.3g} of the largest; not used"


def _in_order(
    contents: hdf5.Contents, chosen: npt.NDArray[np.int64], k: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Return the file's answers to the chosen queries by recomputed distance, then id, for k and some more.

    More, because the float32 arithmetic of whoever made the file may have swapped the k-th with the next.
    """
    neighbors = contents.neighbors[chosen, : 2 * k + 10]
    distances = distances_to(contents.distance, contents.test[chosen], contents.train, neighbors)
    order = np.lexsort((neighbors, distances), axis=1)
    return np.take_along_axis(neighbors, order, axis=1), np.take_along_axis(distances, order, axis=1)


def _computed(
    contents: hdf5.Contents, test: Rows, k: int, sha256: str, progress: bool
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Return exact answers from the cache, or compute them and keep them there."""
    shape = (len(test), min(k, len(contents.train)))
    key = hashlib.sha256(f"2 {sha256} {contents.distance} k={shape[1]}".encode()).hexdigest()[:32]
    cached = paths.cache_dir() / "ground-truth" / f"{key}.npz"
    with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile), cached.open("rb") as source:
        file = np.load(source)
        neighbors, distances = file["neighbors"], file["distances"]
        if neighbors.shape == distances.shape == shape:
            return neighbors, distances
    with progress_bar(TaskProgressColumn(), shown=progress) as bar:
        task = bar.add_task(f"exact answers to {len(test):,} queries", total=len(test) * len(contents.train))
        neighbors, distances = exact_neighbors(
            contents.distance, contents.train, test, k, lambda pairs: bar.advance(task, pairs)
        )
    partial = cached.with_suffix(f".{os.getpid()}.part")
    with suppress(OSError):  # a cache that cannot be written costs time, nothing else
        cached.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as target:
                np.savez(target, neighbors=neighbors, distances=distances)
            partial.replace(cached)
        finally:
            partial.unlink(missing_ok=True)
    return neighbors, distances
