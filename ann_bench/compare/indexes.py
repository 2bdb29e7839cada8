"""One side's index: built once for each side, rows and parameters, kept, and copied for each worker.

A launch must draw its luck with memory anew. Workers that map one file share its pages in the page cache and
in the processor's: whoever comes second finds them warm, and pages that lie well once lie well for every
launch. So each worker of each launch loads a copy of its own.
"""

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from ann_bench.compare.sides import Side
from ann_bench.compare.sources import sides_dir
from ann_bench.errors import SideError
from ann_bench.results import identity_hash
from ann_bench.runner.launch import Order, Worker, WorkerFailure
from ann_bench.runner.watch import Watch

_KEPT_BYTES = 8 << 30
_OLD_S = 3600.0
_START_TIMEOUT_S = 120.0
COSTS = ("build_wall_ns", "build_cpu_ns", "build_peak_bytes", "index_bytes", "index_bytes_resident")


@dataclass(frozen=True)
class Index:
    """A built index of one side.

    Attributes
    ----------
    build
        Its build parameters.
    path
        Where it is saved; None where the library cannot save, and each worker builds.
    costs
        What building it cost: nanoseconds and bytes, by the names in `COSTS`; None where unknown.
    build_info
        What the wrapper tells of how its library was built.
    """

    side: Side
    build: Mapping[str, Any]
    seed: int
    path: Path | None
    costs: dict[str, float | None]
    build_info: dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """Where and how workers run.

    Attributes
    ----------
    order
        What all workers have in common; interpreter, wrapper, build parameters and seed are each index's own.
    dataset_sha256
        Content of the rows.
    build_s, search_s
        How long a build, and a request of a search, may take.
    queries_per_call
        How many queries a library is handed at once; 1 unless it is asked for batches.
    """

    order: Order
    dataset_sha256: str
    folder: Path
    watch: Watch
    build_s: float
    search_s: float
    queries_per_call: int = 1

    @contextlib.contextmanager
    def worker(self, side: Side, build: Mapping[str, Any], seed: int, name: str) -> Iterator[Worker]:
        """Give a started worker of a side; what fails in it ends as a `SideError`."""
        order = replace(
            self.order,
            python=side.python,
            wrapper_path=side.algorithm.wrapper_path,
            wrapper_class=side.algorithm.wrapper_class,
            build_parameters=build,
            seed=seed,
        )
        worker = Worker(order, self.folder / name)
        self.watch.add(worker)
        try:
            worker.hello(_START_TIMEOUT_S)
            yield worker
            worker.say_goodbye()
        except WorkerFailure as failure:
            printed = (worker.log() + failure.traceback).strip().splitlines()
            tail = "".join(f"\n  {line[:200]}" for line in printed[-5:])
            raise SideError(f"{side.title}: {failure.stage}: {failure.text}{tail}") from failure
        finally:
            worker.close()
            self.watch.remove(worker)
            shutil.rmtree(self.folder / name, ignore_errors=True)

    @contextlib.contextmanager
    def loaded(self, index: Index, name: str) -> Iterator[Worker]:
        """Give a worker that has an index: a copy of its own of the saved one, or a new build."""
        copy = self.folder / f"{name}-index"
        try:
            with self.worker(index.side, index.build, index.seed, name) as worker:
                if index.path is None:
                    worker.request("build", "build", self.build_s)
                else:
                    if index.path.is_dir():
                        shutil.copytree(index.path, copy)
                    else:
                        shutil.copyfile(index.path, copy)
                    worker.request("load", "load", self.build_s, path=str(copy))
                yield worker
        finally:
            if copy.is_dir():
                shutil.rmtree(copy, ignore_errors=True)
            else:
                copy.unlink(missing_ok=True)


def build(bench: Bench, side: Side, parameters: Mapping[str, Any], *, seed: int, keep: Path) -> Index:
    """Return the index of a side, built now; it is saved at `keep`, where the library can save."""
    with bench.worker(side, parameters, seed, f"build-{side.digest[:8]}-{seed}") as worker:
        reply = worker.request("build", "build", bench.build_s)
        size = worker.request("stats", "build", _START_TIMEOUT_S)["size_bytes"]
        path = None
        if {"save", "load"} <= worker.can:
            keep.parent.mkdir(parents=True, exist_ok=True)
            size = worker.request("save", "save", bench.build_s, path=str(keep))["bytes"]
            path = keep
        costs = (
            reply["wall_ns"],
            reply["cpu_ns"],
            max(reply["peak_bytes"], worker.peak_bytes),
            size,
            reply["resident_bytes"],
        )
        info = dict(worker.build_info)
    return Index(side, parameters, seed, path, dict(zip(COSTS, costs, strict=True)), info)


def kept_index(
    bench: Bench, side: Side, parameters: Mapping[str, Any], *, seed: int, report: Callable[[str], None]
) -> Index:
    """Return the side's index from the cache, built first if it is not there."""
    identity = {
        "library": side.digest,
        "wrapper": hashlib.sha256(side.algorithm.wrapper_path.read_bytes()).hexdigest(),
        "class": side.algorithm.wrapper_class,
        "build": dict(parameters),
        "dataset": bench.dataset_sha256,
        "distance": bench.order.distance,
        "threads": bench.order.threads,
        "seed": seed,
    }
    root = sides_dir() / "indexes"
    root.mkdir(parents=True, exist_ok=True)
    folder = root / identity_hash(identity)
    facts = folder / "facts.json"
    with FileLock(folder.with_suffix(".lock")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads(facts.read_text(encoding="utf-8"))
            facts.touch()
            return Index(side, parameters, seed, folder / "index", told["costs"], told["build_info"])
        report(f"{side.title}: building the index")
        shutil.rmtree(folder, ignore_errors=True)
        index = build(bench, side, parameters, seed=seed, keep=folder / "index")
        if index.path is not None:
            new = facts.with_suffix(".new")
            new.write_text(json.dumps({"costs": index.costs, "build_info": index.build_info}))
            new.replace(facts)
    return index


def forget_oldest(keep: Collection[Index]) -> None:
    """Remove indexes that were not used for longest, and not `keep`, until the rest is small enough."""
    root = sides_dir() / "indexes"
    wanted = {index.path.parent for index in keep if index.path is not None}
    kept = 0
    for facts in sorted(root.glob("*/facts.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        kept += sum(file.stat().st_size for file in facts.parent.rglob("*") if file.is_file())
        if kept > _KEPT_BYTES and facts.parent not in wanted and _is_old(facts):
            with FileLock(facts.parent.with_suffix(".lock")):
                shutil.rmtree(facts.parent, ignore_errors=True)


def _is_old(facts: Path) -> bool:
    """Whether no comparison that still runs can have begun with it."""
    return time.time() - facts.stat().st_mtime > _OLD_S
