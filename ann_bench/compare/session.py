"""Run a comparison here: workers on their core, the harness off it, every launch on disk at once."""

import contextlib
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import ann_bench
from ann_bench import config
from ann_bench.compare import protocol
from ann_bench.compare.indexes import Bench, Index
from ann_bench.compare.launch import Launch
from ann_bench.compare.protocol import Asked, Comparison, Frozen, Progress
from ann_bench.compare.sides import Side
from ann_bench.compare.store import Recorded, Store
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
    grids = _grids(asked, base, new)
    with (
        run_folder() as folder,
        alone(_Said(report)),
        kept_off([asked.cpu]),
        contextlib.closing(Watch()) as watch,
    ):
        at_interrupt = signal.getsignal(signal.SIGINT)
        bench, order = _bench(asked, new, folder, watch)
        store: list[Store] = []

        def frozen(fixed: Frozen, indexes: dict[str, list[Index]]) -> None:
            plan = _plan(asked, base, new, grids, fixed, indexes)
            store.append(Store(results, plan))
            outcome.recorded = store[0].recorded

        def over(launch: Launch, verdict: Verdict) -> None:
            store[0].add(launch)
            launched(launch, verdict)

        comparison = Comparison(asked, base, new, grids, bench, order, Progress(report, frozen, over))

        def work() -> None:
            comparison.prepare()
            comparison.run()

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


def _grids(asked: Asked, base: Side, new: Side) -> tuple[config.BuildGroup, config.BuildGroup]:
    """Return what each side builds, the first index of its preset, and the query settings to choose from.

    BASE builds what NEW does where its preset has that as well.
    """
    dataset = asked.dataset
    plans = [
        config.expand(
            side.algorithm, asked.preset, distance=dataset.distance, dimension=dataset.dimension, k=asked.k
        )
        for side in (base, new)
    ]
    second = plans[1].builds[0]
    first = next((group for group in plans[0].builds if group.build == second.build), plans[0].builds[0])
    return first, second


def _bench(asked: Asked, new: Side, folder: Path, watch: Watch) -> tuple[Bench, np.ndarray[Any, Any]]:
    """Write the vectors where workers map them; return how workers run, and the order of the queries."""
    dataset = asked.dataset
    train, queries = folder / "train.npy", folder / "queries.npy"
    order = np.random.default_rng(asked.seed).permutation(len(dataset.test))
    save_rows(str(train), dataset.train)
    save_rows(str(queries), dataset.test[order])
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
        batch=False,
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
    )
    return bench, order


def _plan(
    asked: Asked,
    base: Side,
    new: Side,
    grids: tuple[config.BuildGroup, config.BuildGroup],
    frozen: Frozen,
    indexes: dict[str, list[Index]],
) -> dict[str, Any]:
    """Return all that is fixed before the first launch, as plain values."""
    dataset = asked.dataset
    sides = {}
    for name, side, group in (("base", base, grids[0]), ("new", new, grids[1])):
        sides[name] = {
            **side.facts(),
            "build": group.build,
            "build_info": indexes[name][0].build_info,
            "costs": [index.costs for index in indexes[name]],
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
        "sides": sides,
        "preset": asked.preset,
        "targets": list(asked.targets),
        "margin": asked.margin,
        "builds": asked.builds,
        "seed": asked.seed,
        "most_launches": asked.most_launches,
        **{key: value for key, value in asdict(replace(frozen, points=())).items() if key != "points"},
        "points": [points.as_json() for points in frozen.points],
        "protocol": {
            "block_ns": protocol.BLOCK_NS,
            "unrecorded_ns": protocol.UNRECORDED_NS,
            "taken_share": protocol.TAKEN_SHARE,
            "stolen_s": protocol.STOLEN_S,
        },
        "machine": machine_facts([asked.cpu]),
        "harness": {"version": ann_bench.__version__, "commit": harness_commit()},
    }
