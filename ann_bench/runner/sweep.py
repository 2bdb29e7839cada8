"""Run a plan: lanes of workers on their cores, every finished measurement on disk at once."""

import contextlib
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ann_bench import results
from ann_bench.errors import AnnBenchError
from ann_bench.machine import machine_facts
from ann_bench.paths import PACKAGE
from ann_bench.runner.built import Built, Place
from ann_bench.runner.isolation import alone, free_memory, kept_off, run_all, run_folder
from ann_bench.runner.lane import Clock, Lane, Observer
from ann_bench.runner.launch import Order, Worker, WorkerFailure
from ann_bench.runner.plan import Plan, Request
from ann_bench.runner.record import Frame, make_frame, measurement
from ann_bench.runner.tally import Tally
from ann_bench.runner.watch import Watch
from ann_bench.worker.sets import save_rows

_MEMORY_SHARE = 0.8
_WAVE_SHARE = 0.5
_OVERHEAD_ROUNDS = 3


@dataclass
class Outcome:
    """What a sweep did; `records` are those of this run."""

    records: list[dict[str, Any]] = field(default_factory=list)
    clocks: list[Clock] = field(default_factory=list)
    interrupted: bool = False

    @property
    def timed_share(self) -> float | None:
        """Share of the wall time outside building and loading that was spent in the libraries' calls."""
        total = Clock(
            *(
                sum(getattr(clock, name) for clock in self.clocks)
                for name in ("building_ns", "timed_ns", "wall_ns")
            )
        )
        return total.timed_share


def run_sweep(request: Request, plan: Plan, observer: Observer) -> Outcome:
    """Measure all of `plan` and return what came of it.

    Every measurement is on disk, whole, when the observer hears of it. A KeyboardInterrupt ends the workers
    at once and returns with `interrupted` set. An error of the harness (a full disk) ends them and is raised.
    """
    outcome = Outcome()
    if not plan.jobs:
        return outcome
    with (
        run_folder() as folder,
        alone(observer),
        kept_off(request.cpus),
        contextlib.closing(Watch()) as watch,
    ):
        at_interrupt = signal.getsignal(signal.SIGINT)
        place = _place(request, folder, watch, observer)
        try:
            overhead = _measure_overhead(request, place)
            frame = make_frame(request, machine_facts(list(request.cpus)), overhead)
            finish = _finisher(frame, observer, outcome)
            lanes = _lanes(request, plan, place, observer, finish)
            outcome.clocks = [lane.clock for lane in lanes]
            run_all([lane.run for lane in lanes], watch)
        except KeyboardInterrupt:
            outcome.interrupted = True
        finally:
            watch.close_all()
            signal.signal(signal.SIGINT, at_interrupt)
    return outcome


def _finisher(frame: Frame, observer: Observer, outcome: Outcome) -> Callable[[Built, Tally], None]:
    """Return what the lanes do with a finished setting: write its measurement, then tell of it."""
    lock = threading.Lock()

    def finish(built: Built, tally: Tally) -> None:
        whole = measurement(frame, built, tally)
        with lock:
            path = results.write(whole, frame.request.results)
            outcome.records.append({**whole.record, "path": str(path)})
        observer.recorded(whole.record, path)

    return finish


def _lanes(
    request: Request,
    plan: Plan,
    place: Place,
    observer: Observer,
    finish: Callable[[Built, Tally], None],
) -> list[Lane]:
    """Deal the jobs to lanes, each with cores of its own and a share of the memory for its waves."""
    count = request.parallelism
    budget = int(_WAVE_SHARE * free_memory() / count)
    return [
        Lane(
            plan.jobs[number::count],
            place if request.batch else replace(place, cpus=(request.cpus[number],)),
            observer,
            finish,
            seed=request.seed + number,
            budget_bytes=budget,
        )
        for number in range(count)
    ]


def _place(request: Request, folder: Path, watch: Watch, observer: Observer) -> Place:
    """Write the vectors where every worker can map them."""
    dataset = request.dataset
    train, queries = folder / "train.npy", folder / "queries.npy"
    query_order = np.random.default_rng(request.seed).permutation(len(dataset.test))
    try:
        save_rows(str(train), dataset.train)
        save_rows(str(queries), dataset.test[query_order])
    except OSError as error:
        needed = dataset.train.nbytes + dataset.test.nbytes
        raise AnnBenchError(
            f"{folder}: cannot write the {needed / 2**20:,.0f} MiB of vectors that workers map "
            f"({error.strerror or error}); {shutil.disk_usage(folder).free / 2**20:,.0f} MiB are free: "
            "make room, or name another folder in ANN_BENCH_CACHE"
        ) from error
    limit = request.memory_limit_bytes or int(_MEMORY_SHARE * free_memory() / request.parallelism)
    return Place(
        cpus=tuple(request.cpus),
        folder=folder,
        train=train,
        queries=queries,
        n_rows=dataset.n,
        query_order=query_order,
        distance=dataset.distance,
        k=request.k,
        batch=request.batch,
        threads=request.threads,
        rounds=request.rounds,
        seed=request.seed,
        timeout_s=request.timeout_s,
        memory_limit_bytes=limit,
        watch=watch,
        tell=observer.message,
    )


def _measure_overhead(request: Request, place: Place) -> float | None:
    """Return the nanoseconds that the timed region shows for a wrapper that does nothing."""
    order = Order(
        python=Path(sys.executable),
        wrapper_path=PACKAGE / "wrappers" / "do_nothing.py",
        wrapper_class="DoNothing",
        distance=place.distance,
        train=place.train,
        queries=place.queries,
        build_parameters={},
        k=place.k,
        batch=False,
        threads=1,
        seed=request.seed,
        cpus=place.cpus[:1],
        memory_limit_bytes=None,
    )
    worker = Worker(order, place.folder / "do-nothing")
    place.watch.add(worker)
    try:
        worker.hello(60.0)
        worker.request("build", "build", 60.0)
        medians = []
        for _ in range(_OVERHEAD_ROUNDS):
            worker.request("set_query", "set_query", 60.0, threads=1, parameters={})
            worker.request("warm_up", "search", 60.0)
            reply = worker.request("run", "search", 60.0, first=0, last=len(place.query_order))
            medians.append(float(np.median(np.load(reply["latencies"]))))
        return min(medians)
    except WorkerFailure as failure:
        printed = "".join((worker.log() + failure.traceback).strip().splitlines()[-1:])
        raise AnnBenchError(
            f"the do-nothing wrapper could not be measured ({failure.stage}: {failure.text}; {printed}); "
            "the harness's own installation is broken: run `make` again"
        ) from failure
    finally:
        worker.close()
        place.watch.remove(worker)
