"""One job in progress: its worker, launch after launch, and what each setting has gathered."""

import contextlib
import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ann_bench.runner.launch import Order, Worker, WorkerFailure
from ann_bench.runner.plan import Job
from ann_bench.runner.tally import Tally
from ann_bench.runner.watch import Watch

COSTS = (
    "build_wall_ns",
    "build_cpu_ns",
    "index_bytes_saved",
    "index_bytes_resident",
    "index_bytes_reported",
    "build_peak_bytes",
    "load_wall_ns",
)
MAX_REBUILDS = 2
_MIN_QUERIES = 10
_MIN_BLOCK_TIMEOUT_S = 20.0
_SLOWER = 5.0  # how much slower than the warm-up a round may be before it counts as hung
_START_TIMEOUT_S = 120.0
_LOG_SETTLES_S = 0.01
_LOG_TAIL_LINES = 20


@dataclass(frozen=True)
class Place:
    """Where and how the jobs of a lane run."""

    cpus: tuple[int, ...]
    folder: Path
    train: Path
    queries: Path
    n_rows: int
    query_order: npt.NDArray[np.int64]
    """The order in which queries are asked, in every round: a random one, so that a part stands for all."""
    distance: str
    k: int
    batch: bool
    threads: int
    rounds: int
    seed: int
    timeout_s: float | None
    memory_limit_bytes: int | None
    watch: Watch
    tell: Callable[[str], None]


class Built:
    """One job's index, in a live worker whenever `visit` is called."""

    _numbers = itertools.count()

    def __init__(self, job: Job, place: Place) -> None:
        self.job = job
        self.place = place
        self.tallies = [Tally(setting, job.algorithm.limits) for setting in job.settings]
        self.costs: dict[str, int | None] = dict.fromkeys(COSTS)
        self.launch = -1
        self.worker: Worker | None = None
        self.hello: dict[str, Any] = {}
        self.problems: dict[str, str] = {}
        self.building_ns = 0
        self.timed_ns = 0
        self._saved: Path | None = None
        self._log = ""
        self._log_bytes = 0
        self._visited: Tally | None = None
        self._folder = place.folder / f"job-{next(self._numbers)}"
        self._folder.mkdir()

    def start(self) -> None:
        """Build the index, and save it where the library can; a failure fails every setting."""
        with self._counted_as_building():
            self._start_worker()
            self._build()
            self._save()
            self._settle()

    def relaunch(self) -> None:
        """Go on in a fresh process with the saved index; without one the launch simply goes on."""
        if self.worker is not None and self._saved is not None and self._left():
            self._end_worker(goodbye=True)
            self._restart()

    def visit(self, tally: Tally) -> None:
        """Run one round of one setting; a failure fails it, and the worker is replaced if it is gone."""
        if tally.failure or self.worker is None:
            return
        began = time.perf_counter()
        self._blame_output()
        self._visited = tally
        self.worker.peak_bytes = 0
        try:
            self._round(self.worker, tally)
            if tally.rounds == self.place.rounds:
                self._settle()
        except WorkerFailure as failure:
            tally.failure = self._describe(failure)
            self._visited = None
            if not failure.alive:
                self._end_worker(goodbye=False)
                self._revive(failure)
        tally.seconds_per_visit = time.perf_counter() - began

    def finish(self) -> None:
        """End the worker."""
        if self.worker is not None:
            self._end_worker(goodbye=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def log(self) -> str:
        """Return what all launches printed so far, each its first and last 512 KiB."""
        return self._log + (self.worker.log() if self.worker is not None else "")

    # -- launches -------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _counted_as_building(self) -> Iterator[None]:
        """Count the time as building; a failure fails every setting that is not through."""
        began = time.perf_counter_ns()
        try:
            yield
        except WorkerFailure as failure:
            self._fail(self._left(), self._describe(failure))
            if self.worker is not None:
                self._end_worker(goodbye=False)
        finally:
            self.building_ns += time.perf_counter_ns() - began

    def _start_worker(self) -> None:
        job, place = self.job, self.place
        assert job.environment.python is not None
        self.launch += 1
        self._log_bytes = 0
        self._visited = None
        order = Order(
            python=job.environment.python,
            wrapper_path=job.algorithm.wrapper_path,
            wrapper_class=job.algorithm.wrapper_class,
            distance=place.distance,
            train=place.train,
            queries=place.queries,
            build_parameters=job.build,
            k=place.k,
            batch=place.batch,
            threads=place.threads,
            seed=place.seed,
            cpus=place.cpus,
            memory_limit_bytes=place.memory_limit_bytes,
        )
        self.worker = Worker(order, self._folder / f"launch-{self.launch}")
        place.watch.add(self.worker)
        self.hello = self.worker.hello(_START_TIMEOUT_S)

    def _build(self) -> None:
        assert self.worker is not None
        reply = self.worker.request("build", "build", self.job.time_limits["build_s"])
        if self.costs["build_wall_ns"] is None:
            stats = self.worker.request("stats", "build", _START_TIMEOUT_S)
            self.costs.update(
                build_wall_ns=reply["wall_ns"],
                build_cpu_ns=reply["cpu_ns"],
                index_bytes_resident=reply["resident_bytes"],
                index_bytes_reported=stats["size_bytes"],
                build_peak_bytes=max(reply["peak_bytes"], self.worker.peak_bytes),
            )

    def _save(self) -> None:
        """Save the index; if that fails, say so and go on with what was built, or built again."""
        assert self.worker is not None
        if not {"save", "load"} <= self.worker.can:
            return
        path = self._folder / "index"
        try:
            reply = self.worker.request("save", "save", self.job.time_limits["build_s"], path=str(path))
        except WorkerFailure as failure:
            self.problems["save"] = f"save: {failure.text}"
            if not failure.alive:
                self._end_worker(goodbye=False)
                self._start_worker()
                self._build()
            return
        self.costs["index_bytes_saved"] = reply["bytes"]
        self._saved = path

    def _restart(self) -> None:
        """Start another launch, from the saved index if it loads, else with a new build."""
        with self._counted_as_building():
            self._start_worker()
            if not (self._saved and self._load()):
                self._build()
            self._settle()

    def _load(self) -> bool:
        """Load the saved index; if that fails, say so, start a worker afresh, and return False."""
        assert self.worker is not None
        try:
            reply = self.worker.request(
                "load", "load", self.job.time_limits["build_s"], path=str(self._saved)
            )
        except WorkerFailure as failure:
            self.problems["load"] = f"load: {failure.text}; the index was built again"
            self._saved = None
            self._end_worker(goodbye=False)
            self._start_worker()
            return False
        if self.costs["load_wall_ns"] is None:
            self.costs["load_wall_ns"] = reply["wall_ns"]
        return True

    def _revive(self, failure: WorkerFailure) -> None:
        """Replace a worker that is gone, if anything is left to run, and not again and again by building."""
        if not self._left():
            return
        if self._saved is None and self.launch >= MAX_REBUILDS:
            text = f"not measured: other settings ended its worker {self.launch + 1} times ({failure.text})"
            self._fail(self._left(), {"kind": "start", "stage": "search", "text": text, "log_tail": ""})
            return
        self.place.tell(f"{self.job.title}: the worker is gone ({failure.text}); starting another")
        self._restart()

    def _left(self) -> list[Tally]:
        """Return the settings that still have rounds to run."""
        return [tally for tally in self.tallies if not tally.failure and tally.rounds < self.place.rounds]

    def _fail(self, tallies: list[Tally], failure: dict[str, str]) -> None:
        for tally in tallies:
            tally.failure = failure

    def _end_worker(self, *, goodbye: bool) -> None:
        assert self.worker is not None
        if goodbye:
            self.worker.say_goodbye()
        worker, self.worker = self.worker, None
        worker.close()
        self.place.watch.remove(worker)
        self._log += worker.log()

    def _describe(self, failure: WorkerFailure) -> dict[str, str]:
        self._log += failure.traceback
        printed = (self.worker.log() if self.worker is not None else "") + failure.traceback
        tail = "\n".join(printed[-4000:].splitlines()[-_LOG_TAIL_LINES:])
        return {"kind": failure.kind, "stage": failure.stage, "text": failure.text, "log_tail": tail}

    # -- what is printed --------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Give what was printed a moment to arrive, and note it."""
        time.sleep(_LOG_SETTLES_S)
        self._blame_output()

    def _blame_output(self) -> None:
        """Put what was printed since the last look down to the setting that ran, if one did."""
        assert self.worker is not None
        printed = self.worker.log_bytes()
        if self._visited is not None and printed > self._log_bytes:
            size = printed - self._log_bytes
            self._visited.problem("prints", f"printed {size:,} bytes in a round of its search")
        self._log_bytes = printed

    # -- rounds ---------------------------------------------------------------------------------------

    def _round(self, worker: Worker, tally: Tally) -> None:
        place, setting_s = self.place, self.job.time_limits["setting_s"]
        timeout = place.timeout_s or max(_MIN_BLOCK_TIMEOUT_S, 2 * setting_s)
        worker.request(
            "set_query", "set_query", timeout, threads=place.threads, parameters=tally.setting.query
        )
        reply = worker.request("warm_up", "search", timeout)
        everything, query_s = len(place.query_order), max(reply["query_ns"], 1.0) / 1e9
        if tally.queries is None:
            affordable = int(setting_s / (place.rounds * query_s))
            tally.queries = min(everything, max(_MIN_QUERIES, affordable))
        if not place.timeout_s:
            timeout = max(timeout, _SLOWER * tally.queries * query_s)
        reply = worker.request("run", "search", timeout, first=0, last=tally.queries)
        self.timed_ns += reply["timed_ns"]
        tally.gather(reply, launch=self.launch, rows=place.n_rows, k=place.k)
        tally.search_peak_bytes = max(tally.search_peak_bytes, reply["peak_bytes"], worker.peak_bytes)
