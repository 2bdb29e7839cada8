"""Datasets that are generated when they are first asked for: whole, the same each time, or not at all."""

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ann_bench import paths
from ann_bench.datasets import Catalog, Entry, exact_neighbors, generate, load_dataset
from ann_bench.errors import DatasetError


def entry(*, seed: int = 7, **changes: Any) -> Entry:
    """Return the catalogue's entry of a small set."""
    facts: dict[str, Any] = {
        "distance": "euclidean",
        "shape": {"rows": 300, "dimension": 16, "queries": 20},
        "generator": {"name": "manifold", "version": 1, "seed": seed},
    }
    return Entry.model_validate(facts | changes)


@pytest.fixture
def known(folders: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the catalogue know one small set, `tiny`; return where it will be."""
    monkeypatch.setattr(Catalog, "read", lambda path=None: Catalog({"tiny": entry()}))
    return paths.downloads_dir() / "tiny.hdf5"


def test_a_known_name_is_generated_on_demand(known: Path) -> None:
    """Loading it by name makes the file among the downloads, with right answers; then it is there."""
    lines: list[str] = []
    dataset = load_dataset("tiny", k=50, report=lines.append)
    assert lines == ["tiny: generating 300 x 16 and exact answers to 20 queries"]
    assert (dataset.n, dataset.dimension, len(dataset.test), dataset.distance) == (300, 16, 20, "euclidean")
    assert dataset.provenance["path"] == str(known)
    assert dataset.provenance["answers"] == "the file's, their distances recomputed"
    ids, _ = exact_neighbors("euclidean", dataset.train, dataset.test, 100)
    assert np.array_equal(dataset.neighbors, ids)
    written = known.stat()
    assert load_dataset("tiny", report=lines.append).sha256 == dataset.sha256
    assert (known.stat().st_ino, known.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    assert len(lines) == 1


def test_offline_generates_nothing(known: Path) -> None:
    """What is not here stays away, and the message says how to get it."""
    with pytest.raises(DatasetError) as caught:
        load_dataset("tiny", offline=True)
    assert str(caught.value).startswith("tiny: is not here, and --offline forbids to generate it; looked in ")
    assert str(caught.value).endswith("or run `ann-bench datasets get tiny`")
    assert not known.parent.exists()


def test_the_file_tells_what_made_it(tmp_path: Path) -> None:
    """Layout and types are ann-benchmarks'; generator, version, seed and parameters are attributes."""
    with h5py.File(generate("tiny", entry(), tmp_path), "r") as file:
        attributes = dict(file.attrs)
        types = {key: (array.shape, array.dtype) for key, array in file.items()}
    assert types == {
        "train": ((300, 16), np.float32),
        "test": ((20, 16), np.float32),
        "neighbors": ((20, 100), np.int32),
        "distances": ((20, 100), np.float32),
    }
    assert attributes["distance"] == "euclidean"
    assert attributes["generator"] == "ann_bench manifold"
    assert (attributes["generator_version"], attributes["generator_seed"]) == (1, 7)
    assert attributes["generator_parameters"] == (
        "dimension=16, clusters=200, latent=40, separation=0.5, decay=12.0, hidden=256, noise=0.1"
    )


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """A file made twice is the same file; one of another seed is another."""
    one, again, other = (
        generate("tiny", entry(seed=seed), tmp_path / folder).read_bytes()
        for seed, folder in ((7, "one"), (7, "again"), (8, "other"))
    )
    assert one == again
    assert one != other


def test_the_smaller_set_is_the_beginning_of_the_larger(tmp_path: Path) -> None:
    """Sets of one seed share their queries, and the first rows of the larger are the smaller."""
    shapes = [{"rows": rows, "dimension": 16, "queries": 20} for rows in (300, 200)]
    names = [generate(f"tiny-{i}", entry(shape=shape), tmp_path) for i, shape in enumerate(shapes)]
    large, small = (load_dataset(str(path)) for path in names)
    assert np.array_equal(large.train[:200], small.train)
    assert np.array_equal(large.test, small.test)


@pytest.mark.parametrize("interrupted", ["exact_neighbors", "os.fsync", "os.replace"])
@pytest.mark.parametrize("reason", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
def test_what_breaks_off_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted: str, reason: Any
) -> None:
    """Ctrl-C or a full disk before, while or after writing: no file, and the next try succeeds."""

    def stop(*_: Any) -> None:
        raise reason

    with monkeypatch.context() as patch:
        if interrupted == "exact_neighbors":
            patch.setitem(generate.__globals__, interrupted, stop)
        elif interrupted == "os.replace":
            patch.setattr(Path, "replace", stop)
        else:
            patch.setattr(os, "fsync", stop)
        with pytest.raises((KeyboardInterrupt, DatasetError)):
            generate("tiny", entry(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {".tiny.lock"}
    assert load_dataset(str(generate("tiny", entry(), tmp_path))).n == 300


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says where it wanted to write, why it could not, and what to do."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DatasetError) as caught:
        generate("tiny", entry(), tmp_path)
    assert str(caught.value) == (
        f"tiny: cannot be written to {tmp_path}: No space left on device; "
        "make room there, or point ANN_BENCH_CACHE at another folder"
    )


def test_two_at_once_generate_once(tmp_path: Path) -> None:
    """The second waits for the first, says so at most once, and takes its file."""
    lines: list[str] = []
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: generate("tiny", entry(), tmp_path, report=lines.append), range(3)))
    assert set(found) == {tmp_path / "tiny.hdf5"}
    assert sum("generating" in line for line in lines) == 1


def test_a_file_that_differs_from_the_catalogues_is_told_and_used(tmp_path: Path) -> None:
    """Another NumPy may draw other numbers: both checksums are shown. The right one passes in silence."""
    lines: list[str] = []
    path = generate("tiny", entry(sha256="0" * 64), tmp_path, report=lines.append)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert lines[1].startswith(f"tiny: the file made here has sha256 {sha256}, the catalogue's {'0' * 64}: ")
    path.unlink()
    generate("tiny", entry(sha256=sha256), tmp_path, report=lines.append)
    assert len(lines) == 3
