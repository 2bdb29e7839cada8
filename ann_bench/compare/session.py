"""Run a comparison here: workers on their core, the harness off it, every launch on disk at once."""

import contextlib
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import ann_bench
from ann_bench import config
from ann_bench.compare import protocol, survey
from ann_bench.compare.indexes import Bench
from ann_bench.compare.launch import Launch
from ann_bench.compare.protocol import Launches
from ann_bench.compare.sides import Side
from ann_bench.compare.store import Recorded, Store
from ann_bench.compare.survey import Asked, Frozen, Part, Survey
from ann_bench.compare.verdict import Verdict
from ann_bench.machine import machine_facts
from ann_bench.runner.isolation import alone, free_memory, kept_off, run_all, run_folder
from ann_bench.runner.lane import Observer
from ann_bench.runner.launch import Order
from ann_bench.runner.record import harness_commit
from ann_bench.runner.watch import Watch
from ann_bench.worker.sets import save_rows

_WORKERS = 3
_MEMORY_SHARE = 0.8
_SEARCH_S = 60.0
# In a call: enough for what batches gain, few enough for a block. A look at a slow setting has as many.
BATCH_QUERIES = survey.SEARCHED_QUERIES


@dataclass
class Outcome:
    """What came of a comparison; `recorded` is None where it was interrupted before its first launch."""

    recorded: Recorded | None = None
    interrupted: bool = False


def run_comparison(
    asked: Asked,
    base: Side,
    new: Side,
    results: Path,
    *,
    report: Callable[[str], None],
    launched: Callable[[Launch, Verdict], None],
) -> Outcome:
    """Compare BASE with NEW and return what is on disk then.

    A KeyboardInterrupt ends the workers at once and returns with `interrupted` set.

    Raises
    ------
    InvalidComparisonError
        If the sides cannot be compared.
    SideError
        If one does not run.
    """
    outcome = Outcome()
    with (
        run_folder() as folder,
        alone(_Said(report)),
        kept_off([asked.cpu]),
        contextlib.closing(Watch()) as watch,
    ):
        at_interrupt = signal.getsignal(signal.SIGINT)
        tuning, reporting = _parts(asked, new, folder, watch)

        def work() -> None:
            frozen = Survey(asked, tuning, reporting, report).freeze(base, new)
            store = Store(results, _plan(asked, base, new, frozen, tuning))
            outcome.recorded = store.recorded

            def over(launch: Launch, verdict: Verdict) -> None:
                store.add(launch)
                launched(launch, verdict)

            Launches(asked, frozen, reporting.bench, len(reporting.numbers), over).run()

        try:
            run_all([work], watch)
        except KeyboardInterrupt:
            outcome.interrupted = True
        finally:
            watch.close_all()
            signal.signal(signal.SIGINT, at_interrupt)
    return outcome


class _Said(Observer):
    """Hands on what the runner has to say."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report

    def message(self, text: str) -> None:
        self._report(text)


def _parts(asked: Asked, new: Side, folder: Path, watch: Watch) -> tuple[Part, Part]:
    """Write the vectors where workers map them; return the queries that choose, and those that are told of.

    They are halves of the queries in random order, or all queries both times.
    """
    dataset = asked.dataset
    train, queries = folder / "train.npy", folder / "queries.npy"
    order = np.random.default_rng(asked.seed).permutation(len(dataset.test))
    half = len(order) // 2 if asked.halves else 0
    save_rows(str(train), dataset.train)
    save_rows(str(queries), dataset.test[order[half:]])
    limits = config.expand(
        new.algorithm, asked.preset, distance=dataset.distance, dimension=dataset.dimension, k=asked.k
    )
    shared = Order(
        python=new.python,
        wrapper_path=new.algorithm.wrapper_path,
        wrapper_class=new.algorithm.wrapper_class,
        distance=dataset.distance,
        train=train,
        queries=queries,
        build_parameters={},
        k=asked.k,
        batch=asked.batch,
        threads=1,
        seed=asked.seed,
        cpus=(asked.cpu,),
        memory_limit_bytes=asked.memory_limit_bytes or int(_MEMORY_SHARE * free_memory() / _WORKERS),
    )
    bench = Bench(
        order=shared,
        dataset_sha256=dataset.sha256,
        folder=folder,
        watch=watch,
        build_s=asked.timeout_s or limits.max_seconds_per_build,
        search_s=max(asked.timeout_s or 0.0, _SEARCH_S),
        queries_per_call=min(BATCH_QUERIES, half or len(order)) if asked.batch else 1,
    )
    reporting = Part(order[half:], bench)
    if not half:
        return reporting, reporting
    save_rows(str(folder / "tuning.npy"), dataset.test[order[:half]])
    shared = replace(shared, queries=folder / "tuning.npy")
    return Part(order[:half], replace(bench, order=shared)), reporting


def _plan(asked: Asked, base: Side, new: Side, frozen: Frozen, tuning: Part) -> dict[str, Any]:
    """Return all that is fixed before the first launch, as plain values."""
    dataset = asked.dataset
    sides = {
        name: {
            **side.facts(),
            "build": dict(built[0].build),
            "build_info": built[0].build_info,
            "costs": [index.costs for index in built],
        }
        for name, side, built in (("base", base, frozen.base), ("new", new, frozen.new))
    }
    return {
        "started": datetime.now(UTC).isoformat(timespec="microseconds"),
        "dataset": {
            "name": dataset.name,
            "sha256": dataset.sha256,
            "distance": dataset.distance,
            "n": dataset.n,
            "dimension": dataset.dimension,
            "queries": len(dataset.test),
        },
        "k": asked.k,
        "mode": "batch" if asked.batch else "single",
        "sides": sides,
        "preset": asked.preset,
        "targets": list(asked.targets),
        "margin": asked.margin,
        "builds": len(frozen.base),
        "seed": asked.seed,
        "most_launches": asked.most_launches,
        "clock": frozen.clock,
        "in_process": frozen.in_process,
        "identical": frozen.identical,
        "points": [points.as_json() for points in frozen.points],
        "protocol": {
            "block_ns": protocol.BLOCK_NS,
            "unrecorded_ns": protocol.UNRECORDED_NS,
            "taken_share": protocol.TAKEN_SHARE,
            "stolen_s": protocol.STOLEN_S,
            **({"queries_per_call": tuning.bench.queries_per_call} if asked.batch else {}),
            **({"tuning_queries": len(tuning.numbers)} if len(tuning.numbers) < len(dataset.test) else {}),
        },
        "machine": machine_facts([asked.cpu]),
        "harness": {"version": ann_bench.__version__, "commit": harness_commit()},
    }
