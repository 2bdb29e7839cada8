"""Built indexes, each built once and kept; and the worker processes that search them.

An index lies in CACHE/DATASET-ROWS/ALGORITHM-KEY/: the file `index`, `facts.json` with what it cost, and what
sweeps found (`sweep.py`). The key holds what the index depends on: library, version (of the engine its
compiled module), parameters, seed. It is built in one thread on one core, in the library's own environment.
"""

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ann_bench import environments
from ann_bench.config import Algorithm
from ann_bench.errors import InstallError
from ann_bench.paths import cache_dir
from ann_bench.runner.launch import Order, Worker
from grids import OURS, SEED
from questions import Questions

LONG_S = 6 * 3600.0

_BUILDS = 5
_SHORT_NS = 5e9
"""Builds shorter than this are done so many times and count with their median: pages that the system has
to find anew can double the time of a short one."""
_STALE_S = 3600.0


@dataclass(frozen=True)
class Index:
    """A built index: which, where, and what it cost (`cpu_s`, `wall_s`, `bytes`)."""

    algorithm: Algorithm
    build: dict[str, Any]
    folder: Path
    facts: dict[str, Any]


class Workplace:
    """Where the indexes of one data set lie, and what starts workers for it; a context manager.

    Parameters
    ----------
    questions
        The data set.
    cache
        Folder that keeps indexes.
    cpu
        The core that every worker is pinned to.
    report
        Gets a line where something takes long.
    """

    def __init__(self, questions: Questions, cache: Path, cpu: int, report: Callable[[str], None]) -> None:
        self.questions = questions
        self.cpu = cpu
        self.report = report
        self.folder = cache.resolve() / f"{questions.name}-{questions.rows_key}"
        self._numbers = itertools.count()

    def __enter__(self) -> "Workplace":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._scratch = Path(tempfile.mkdtemp(prefix="run-", dir=self.folder))
        self._train, self._queries = self.folder / "train.npy", self._scratch / "queries.npy"
        if not self._train.exists():
            np.save(self._scratch / "train.npy", self.questions.train)
            (self._scratch / "train.npy").replace(self._train)
        np.save(self._queries, self.questions.test)
        return self

    def __exit__(self, *_exception: object) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)

    def index(self, algorithm: Algorithm, build: Mapping[str, Any]) -> Index:
        """Return the index of `algorithm` with these parameters, from the cache or built now."""
        version = environments.library_version(algorithm.environment, algorithm.library)
        if algorithm.name == OURS:  # a released library is its version; ours changes by the hour
            digest = environments.library_digest(algorithm.environment, algorithm.library)
            version = f"{version} {digest} {os.environ.get('ANN_BENCH_ISA', '')}".rstrip()
        facts: dict[str, Any] = {
            "library": algorithm.library, "version": version, "build": dict(build), "seed": SEED,
        }  # fmt: skip
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
        folder = self.folder / f"{algorithm.name}-{key}"
        if not (folder / "facts.json").exists():
            if algorithm.name == OURS:
                self._remove_stale(version)
            self._build(algorithm, build, folder, facts)
        os.utime(folder)
        return Index(algorithm, dict(build), folder, json.loads((folder / "facts.json").read_text()))

    def _build(
        self, algorithm: Algorithm, build: Mapping[str, Any], folder: Path, facts: dict[str, Any]
    ) -> None:
        self.report(f"building {algorithm.name} {describe(build)} on {self.questions.name}")
        new = self._scratch / f"built-{next(self._numbers)}"
        new.mkdir()
        costs = []
        while len(costs) < _BUILDS and all(cost["cpu_ns"] < _SHORT_NS for cost in costs):
            with self.worker(algorithm, build, k=1, batch=False) as worker:
                costs.append(worker.request("build", "build", LONG_S))
                saved = worker.request("save", "save", LONG_S, path=str(new / "index"))
        facts |= {
            "cpu_s": statistics.median(cost["cpu_ns"] for cost in costs) / 1e9,
            "wall_s": statistics.median(cost["wall_ns"] for cost in costs) / 1e9,
            "bytes": saved["bytes"],
            "builds": len(costs),
        }
        (new / "facts.json").write_text(json.dumps(facts, indent=1))
        with contextlib.suppress(OSError):  # another run built the same one meanwhile
            new.rename(folder)

    def _remove_stale(self, version: str) -> None:
        """Remove what other builds of the engine left, unless somebody used it lately."""
        for facts in self.folder.glob(f"{OURS}-*/facts.json"):
            unused_s = time.time() - facts.parent.stat().st_mtime
            if unused_s > _STALE_S and json.loads(facts.read_text())["version"] != version:
                shutil.rmtree(facts.parent, ignore_errors=True)

    @contextlib.contextmanager
    def worker(
        self, algorithm: Algorithm, build: Mapping[str, Any], *, k: int, batch: bool
    ) -> Iterator[Worker]:
        """Yield a fresh process in the algorithm's environment, pinned, with rows and queries."""
        environment = environments.describe(algorithm.environment)
        if environment.python is None:
            raise InstallError(f"{algorithm.environment}: {environment.reason}")
        order = Order(
            python=environment.python,
            wrapper_path=algorithm.wrapper_path,
            wrapper_class=algorithm.wrapper_class,
            distance=self.questions.distance,
            train=self._train,
            queries=self._queries,
            build_parameters=build,
            k=k,
            batch=batch,
            threads=1,
            seed=SEED,
            cpus=(self.cpu,),
            memory_limit_bytes=None,
        )
        worker = Worker(order, self._scratch / f"worker-{next(self._numbers)}")
        try:
            worker.hello(LONG_S)
            yield worker
        finally:
            worker.close()

    @contextlib.contextmanager
    def searcher(self, index: Index, *, k: int, batch: bool) -> Iterator[Worker]:
        """Yield a fresh process with the index loaded."""
        with self.worker(index.algorithm, index.build, k=k, batch=batch) as worker:
            worker.request("load", "load", LONG_S, path=str(index.folder / "index"))
            yield worker


def default_cache() -> Path:
    """Folder that keeps indexes unless another is named."""
    return cache_dir() / "bench"


def describe(parameters: Mapping[str, Any]) -> str:
    """Return parameters in words: "n_trees 100, leaf_size 64"."""
    return ", ".join(f"{name} {value}" for name, value in parameters.items())
