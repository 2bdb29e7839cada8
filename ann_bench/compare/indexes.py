"""One side's index: built once for each side, rows and parameters, kept, and copied for each worker.

A launch must draw its luck with memory anew. Workers that map one file share its pages in the page cache and
in the processor's: whoever comes second finds them warm, and pages that lie well once lie well for every
launch. So each worker of each launch loads a copy of its own.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from ann_bench.compare.sides import Side
from ann_bench.compare.sources import sides_dir
from ann_bench.errors import SideError
from ann_bench.runner.launch import Order, Worker, WorkerFailure
from ann_bench.runner.watch import Watch

_KEPT_BYTES = 8 << 30
_START_TIMEOUT_S = 120.0
COSTS = ("build_wall_ns", "build_cpu_ns", "build_peak_bytes", "index_bytes", "index_bytes_resident")


@dataclass(frozen=True)
class Index:
    """A built index.

    Attributes
    ----------
    path
        Where it is saved; None where the library cannot save, and each worker builds.
    costs
        What building it cost: nanoseconds and bytes, by the names in `COSTS`; None where unknown.
    build_info
        What the wrapper tells of how its library was built.
    fresh
        Whether it was built in this run.
    """

    path: Path | None
    costs: dict[str, float | None]
    build_info: dict[str, Any]
    fresh: bool


@dataclass(frozen=True)
class Bench:
    """Where and how workers run.

    Attributes
    ----------
    order
        What all workers have in common; interpreter, wrapper and build parameters are each side's.
    dataset_sha256
        Content of the rows.
    build_s, search_s
        How long a build, and a request of a search, may take.
    """

    order: Order
    dataset_sha256: str
    folder: Path
    watch: Watch
    build_s: float
    search_s: float

    @contextlib.contextmanager
    def worker(self, side: Side, name: str, *, seed: int) -> Iterator[Worker]:
        """Give a started worker of a side; what fails in it ends as a `SideError`."""
        order = replace(
            self.order,
            python=side.python,
            wrapper_path=side.algorithm.wrapper_path,
            wrapper_class=side.algorithm.wrapper_class,
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


def build(bench: Bench, side: Side, *, seed: int, keep: Path | None) -> Index:
    """Return the side's index, built now: saved at `keep`, where the library can save, and timed."""
    with bench.worker(side, f"build-{side.digest[:8]}-{seed}", seed=seed) as worker:
        info = dict(worker.build_info)
        reply = worker.request("build", "build", bench.build_s)
        stats = worker.request("stats", "build", _START_TIMEOUT_S)
        size = stats["size_bytes"]
        path = None
        if keep is not None and {"save", "load"} <= worker.can:
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
    return Index(path, dict(zip(COSTS, costs, strict=True)), info, fresh=True)


def kept_index(bench: Bench, side: Side, *, seed: int, report: Callable[[str], None]) -> Index:
    """Return the side's index from the cache, built first if it is not there."""
    wrapper = hashlib.sha256(side.algorithm.wrapper_path.read_bytes()).hexdigest()
    identity = [side.digest, wrapper, bench.dataset_sha256, bench.order.distance, seed, bench.order.threads]
    text = json.dumps([*identity, dict(bench.order.build_parameters), side.algorithm.name], sort_keys=True)
    root = sides_dir() / "indexes"
    root.mkdir(parents=True, exist_ok=True)
    folder = root / hashlib.sha256(text.encode()).hexdigest()[:20]
    facts = folder / "facts.json"
    with FileLock(folder.with_suffix(".lock")):
        if facts.is_file():
            told = json.loads(facts.read_text(encoding="utf-8"))
            facts.touch()
            return Index(folder / "index", told["costs"], told["build_info"], fresh=False)
        report(f"{side.title}: building the index")
        shutil.rmtree(folder, ignore_errors=True)
        index = build(bench, side, seed=seed, keep=folder / "index")
        if index.path is not None:
            facts.write_text(json.dumps({"costs": index.costs, "build_info": index.build_info}))
    _forget_oldest(root)
    return index


def load(worker: Worker, index: Index, bench: Bench, *, copy: Path) -> None:
    """Give a started worker its index: its own copy of the saved one, or a new build."""
    if index.path is None:
        worker.request("build", "build", bench.build_s)
        return
    if index.path.is_dir():
        shutil.copytree(index.path, copy)
    else:
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(index.path, copy)
    worker.request("load", "load", bench.build_s, path=str(copy))


def _forget_oldest(root: Path) -> None:
    """Remove indexes that were not used for longest, until the rest is small enough."""
    kept = 0
    for facts in sorted(root.glob("*/facts.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        kept += sum(file.stat().st_size for file in facts.parent.rglob("*") if file.is_file())
        if kept > _KEPT_BYTES:
            shutil.rmtree(facts.parent, ignore_errors=True)
