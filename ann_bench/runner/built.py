"""One job in progress: its worker, launch after launch, and what each setting has gathered."""

import itertools
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ann_bench.runner.launch import Order, Worker, WorkerFailure
from ann_bench.runner.plan import Job, Setting
from ann_bench.runner.watch import Watch

MAX_REVIVALS = 2
_MIN_QUERIES = 10
_MIN_BLOCK_TIMEOUT_S = 20.0
_START_TIMEOUT_S = 120.0
_LOG_SETTLES_S = 0.05
_LOG_TAIL_LINES = 20


@dataclass
class Tally:
    """What one setting has gathered so far."""

    setting: Setting
    queries: int | None = None
    """How many queries a round has; fewer than the data set's where a round would take too long."""
    ids: npt.NDArray[np.int32] | None = None
    latencies_ns: list[npt.NDArray[np.int64]] = field(default_factory=list)
    round_wall_ns: list[int] = field(default_factory=list)
    counters: list[dict[str, Any]] = field(default_factory=list)
    launch_of_round: list[int] = field(default_factory=list)
    distance_computations: int | None = None
    search_peak_bytes: int = 0
    seconds_per_visit: float | None = None
    failure: dict[str, str] | None = None
    problems: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def rounds(self) -> int:
        """How many rounds were run."""
        return len(self.launch_of_round)


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
        self.tallies = [Tally(setting) for setting in job.settings]
        self.costs: dict[str, int | None] = dict.fromkeys(
            (
                "build_wall_ns",
                "build_cpu_ns",
                "index_bytes_saved",
                "index_bytes_resident",
                "index_bytes_reported",
                "build_peak_bytes",
                "load_wall_ns",
            )
        )
        self.launch = -1
        self.revivals = 0
        self.log = ""
        self.versions: dict[str, Any] = {}
        self.problems: dict[str, str] = {}
        self.worker: Worker | None = None
        self.saved: Path | None = None
        self.building_ns = 0
        self.timed_ns = 0
        self._log_bytes_before: int | None = None
        self._folder = place.folder / f"job-{next(self._numbers)}"
        self._folder.mkdir()

    def start(self) -> None:
        """Build the index, and save it where the library can; a failure fails every setting."""
        began = time.perf_counter_ns()
        try:
            self._start_worker()
            self._build()
            self._save()
            self._settle()
        except WorkerFailure as failure:
            self._fail_all(failure)
        finally:
            self.building_ns += time.perf_counter_ns() - began

    def relaunch(self) -> None:
        """Go on in a fresh process with the saved index; without one the launch simply goes on."""
        if self.worker is None or self.saved is None:
            return
        self._end_worker()
        self._restart()

    def visit(self, tally: Tally) -> None:
        """Run one round of one setting; a failure fails it, and the worker is replaced if it is gone."""
        if tally.failure or self.worker is None:
            return
        began = time.perf_counter()
        self.worker.peak_bytes = 0
        try:
            self._round(self.worker, tally)
        except WorkerFailure as failure:
            tally.failure = self._describe(failure)
            if not failure.alive:
                self._end_worker()
                self._revive(tally.failure)
        tally.seconds_per_visit = time.perf_counter() - began

    def finish(self) -> None:
        """End the worker; what was printed during the search is known only now."""
        if self.worker is not None:
            self._end_worker()
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- launches -------------------------------------------------------------------------------------

    def _start_worker(self) -> None:
        job, place = self.job, self.place
        assert job.environment.python is not None
        self.launch += 1
        self._log_bytes_before = None
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
        self.versions = self.worker.hello(_START_TIMEOUT_S)
        if place.batch and "query_batch" not in self.worker.can:
            raise WorkerFailure(
                "start", "start", "the wrapper has no query_batch, which --batch needs", alive=True
            )

    def _build(self) -> None:
        assert self.worker is not None
        reply = self.worker.request("build", "build", self.job.max_seconds_per_build)
        if self.costs["build_wall_ns"] is None:
            self.costs.update(
                build_wall_ns=reply["wall_ns"],
                build_cpu_ns=reply["cpu_ns"],
                index_bytes_resident=reply["resident_bytes"],
                build_peak_bytes=max(reply["peak_bytes"], self.worker.peak_bytes),
            )
            self.costs["index_bytes_reported"] = self.worker.request("stats", "build", _START_TIMEOUT_S)[
                "size_bytes"
            ]

    def _save(self) -> None:
        assert self.worker is not None
        if not {"save", "load"} <= self.worker.can:
            return
        path = self._folder / "index"
        try:
            reply = self.worker.request("save", "save", self.job.max_seconds_per_build, path=str(path))
        except WorkerFailure as failure:
            if not failure.alive:
                raise
            self.problems["save"] = f"save: {failure.text}"
            return
        self.costs["index_bytes_saved"] = reply["bytes"]
        self.saved = path

    def _restart(self) -> None:
        """Start another launch, from the saved index if it loads, else with a new build."""
        began = time.perf_counter_ns()
        try:
            self._start_worker()
            if not (self.saved and self._load()):
                self._build()
            self._settle()
        except WorkerFailure as failure:
            self._fail_all(failure)
        finally:
            self.building_ns += time.perf_counter_ns() - began

    def _load(self) -> bool:
        """Load the saved index; if that fails, say so, start a worker afresh, and return False."""
        assert self.worker is not None
        try:
            reply = self.worker.request("load", "load", self.job.max_seconds_per_build, path=str(self.saved))
        except WorkerFailure as failure:
            self.problems["load"] = f"load: {failure.text}; the index was built again"
            self.saved = None
            self._end_worker()
            self._start_worker()
            return False
        if self.costs["load_wall_ns"] is None:
            self.costs["load_wall_ns"] = reply["wall_ns"]
        return True

    def _revive(self, failure: dict[str, str]) -> None:
        """Replace a worker that is gone, a few times; then what is left of the job fails with it."""
        if all(tally.failure for tally in self.tallies):
            return
        if self.revivals == MAX_REVIVALS:
            for tally in self.tallies:
                tally.failure = tally.failure or failure
            return
        self.revivals += 1
        self.place.tell(f"{self.job.title}: the worker is gone ({failure['text']}); starting another")
        self._restart()

    def _settle(self) -> None:
        """Note how much was printed before the search."""
        assert self.worker is not None
        time.sleep(_LOG_SETTLES_S)
        self._log_bytes_before = self.worker.log_bytes()

    def _end_worker(self) -> None:
        assert self.worker is not None
        worker, self.worker = self.worker, None
        worker.close()
        self.place.watch.remove(worker)
        self.log += worker.log()
        if self._log_bytes_before is not None and (printed := worker.log_bytes() - self._log_bytes_before):
            self._problem("prints", f"printed {printed:,} bytes while it was searching")

    def _fail_all(self, failure: WorkerFailure) -> None:
        description = self._describe(failure)
        for tally in self.tallies:
            tally.failure = tally.failure or description
        if self.worker is not None:
            self._end_worker()

    def _describe(self, failure: WorkerFailure) -> dict[str, str]:
        self.log += failure.traceback
        printed = (self.worker.log() if self.worker is not None else "") + failure.traceback
        tail = "\n".join(printed[-4000:].splitlines()[-_LOG_TAIL_LINES:])
        return {"kind": failure.kind, "stage": failure.stage, "text": failure.text, "log_tail": tail}

    def _problem(self, kind: str, text: str, tally: Tally | None = None) -> None:
        """Record what should not have happened, unless the algorithm's entry declares it under `limits:`."""
        if kind.replace("-", "_") not in self.job.algorithm.limits:
            (self.problems if tally is None else tally.problems).setdefault(kind, text)

    # -- rounds ---------------------------------------------------------------------------------------

    def _round(self, worker: Worker, tally: Tally) -> None:
        timeout = self.place.timeout_s or max(_MIN_BLOCK_TIMEOUT_S, 2 * self.job.max_seconds_per_setting)
        reply = worker.request(
            "set_query", "set_query", timeout, threads=self.place.threads, parameters=tally.setting.query
        )
        if tally.queries is None:
            tally.queries = self._affordable_queries(reply["query_ns"])
        reply = worker.request("run", "search", timeout, first=0, last=tally.queries)
        self.timed_ns += reply["timed_ns"]
        self._gather(worker, tally, reply)

    def _affordable_queries(self, query_ns: float) -> int:
        """Return how many queries a round may have, judged by how long the warm-up's took."""
        everything = len(self.place.query_order)
        affordable = int(self.job.max_seconds_per_setting * 1e9 / (self.place.rounds * max(query_ns, 1.0)))
        return min(everything, max(_MIN_QUERIES, affordable))

    def _gather(self, worker: Worker, tally: Tally, reply: dict[str, Any]) -> None:
        ids: npt.NDArray[np.int32] = np.load(reply["ids"])
        counters = reply["counters"]
        if tally.ids is None:
            tally.ids = ids
            self._check_ids(tally, ids)
        elif not np.array_equal(tally.ids, ids) and not any(
            "from round to round" in note for note in tally.notes
        ):
            tally.notes.append("answers differ from round to round; recall is that of the first")
        if self.place.batch:
            tally.round_wall_ns.append(reply["timed_ns"])
        else:
            tally.latencies_ns.append(np.load(reply["latencies"]))
        tally.counters.append(counters)
        tally.launch_of_round.append(self.launch)
        tally.search_peak_bytes = max(tally.search_peak_bytes, reply["peak_bytes"], worker.peak_bytes)
        if "distance_computations" in reply:
            tally.distance_computations = reply["distance_computations"]
        if counters["children"] or counters["children_cpu_s"] > 0:
            self._problem("children", "started processes of its own while it was searching", tally)
        if reply["missing_folders"]:
            names = ", ".join(Path(folder).name for folder in reply["missing_folders"])
            self._problem("deleted-folders", f"deleted its own folders: {names}", tally)

    def _check_ids(self, tally: Tally, ids: npt.NDArray[np.int32]) -> None:
        n, k = self.place.n_rows, self.place.k
        short = int(((ids == -1).sum(axis=1) > k - min(k, n)).sum())
        if short:
            self._problem(
                "fewer-than-k", f"{short:,} of {len(ids):,} queries got fewer than {min(k, n)} answers", tally
            )
        outside = int(((ids < -1) | (ids >= n)).any(axis=1).sum())
        if outside:
            self._problem(
                "out-of-range", f"{outside:,} of {len(ids):,} queries got ids that no row has", tally
            )
        ordered = np.sort(ids, axis=1)
        repeated = int(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1).sum())
        if repeated:
            self._problem(
                "duplicates", f"{repeated:,} of {len(ids):,} queries got one id more than once", tally
            )
