"""The paired protocol: three workers side by side on one core, their blocks alternating, launch after launch.

A launch is a fresh worker of NEW and two of BASE, each with its own copy of its side's index. In each round
every pair of settings gets a quad of blocks, A B B A or B A A B by a seeded coin; a third as many quads again
hold BASE against its second worker, so that a run carries its own null. While a block runs the harness
sleeps.

A quad counts whole or not at all: it does not where in one of its blocks the core was taken away, that is
where wall time exceeds CPU time by a tenth, or where the machine reports stolen time. The rule looks at no
side and at no speed; such quads are kept, counted and told.
"""

import contextlib
import math
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from ann_bench import config, metrics
from ann_bench.compare import indexes, points
from ann_bench.compare.indexes import Bench, Index
from ann_bench.compare.launch import Clock, Launch, Quad
from ann_bench.compare.points import Points, Searched
from ann_bench.compare.sides import Side, check_alike
from ann_bench.compare.verdict import Verdict, judge
from ann_bench.datasets import Dataset
from ann_bench.distances import distances_to
from ann_bench.runner.launch import Worker

BLOCK_NS = 50_000_000
UNRECORDED_NS = 10_000_000
LAUNCH_NS = 11_000_000_000
FEWEST_ROUNDS, MOST_ROUNDS = 3, 12
FEWEST_QUERIES = 10
SEARCH_NS = 2_000_000_000
SEARCHED_QUERIES = 500
TAKEN_SHARE = 0.1
STOLEN_S = 0.02
VOID_SHARE = 1.5


@dataclass(frozen=True)
class Asked:
    """What a comparison is asked to do.

    Attributes
    ----------
    targets
        Recalls, ascending.
    margin
        The slowdown, as a share, that is too much.
    builds
        How many indexes are built of each side.
    most_launches
        One of the looks: after so many launches the verdict is given.
    clock
        The time that counts; None for CPU time where both sides search in one thread of their own process,
        else wall time.
    """

    dataset: Dataset
    k: int
    cpu: int
    preset: str
    targets: tuple[float, ...]
    margin: float
    builds: int
    seed: int
    most_launches: int
    clock: Clock | None
    timeout_s: float | None
    memory_limit_bytes: int | None


@dataclass(frozen=True)
class Frozen:
    """What is fixed before the first launch.

    Attributes
    ----------
    points
        Of each build.
    clock
        The time that counts.
    in_process
        Whether both sides search in one thread of their own process.
    rounds
        Rounds in a launch.
    identical
        Whether both sides gave the same answers at every setting that they share; None where they share none.
    """

    points: tuple[Points, ...]
    clock: Clock
    in_process: bool
    rounds: int
    identical: bool | None


@dataclass
class Progress:
    """Who wants to know how a comparison goes; nothing by default."""

    report: Callable[[str], None] = lambda _line: None
    frozen: Callable[[Frozen, dict[str, list[Index]]], None] = lambda _frozen, _indexes: None
    launched: Callable[[Launch, Verdict], None] = lambda _launch, _verdict: None


@dataclass
class _Settings:
    """What one look at all query settings of a side's index showed."""

    searched: list[Searched] = field(default_factory=list)
    answers: dict[str, bytes] = field(default_factory=dict)
    in_process: bool = True


class Comparison:
    """One comparison of BASE with NEW, from the indexes to the last launch.

    Parameters
    ----------
    base, new
        The sides.
    grids
        Build parameters, and the query settings to choose from, of BASE and of NEW.
    bench
        Where and how workers run.
    query_order
        The order in which workers have the dataset's queries.
    """

    def __init__(
        self,
        asked: Asked,
        base: Side,
        new: Side,
        grids: tuple[config.BuildGroup, config.BuildGroup],
        bench: Bench,
        query_order: np.ndarray[Any, np.dtype[np.int64]],
        progress: Progress,
    ) -> None:
        self.asked = asked
        self.sides = {"base": base, "new": new}
        self.benches = {
            name: replace(bench, order=replace(bench.order, build_parameters=group.build))
            for name, group in zip(("base", "new"), grids, strict=True)
        }
        self.queries = {name: group.queries for name, group in zip(("base", "new"), grids, strict=True)}
        self.indexes: dict[str, list[Index]] = {"base": [], "new": []}
        self.launches: list[Launch] = []
        self.frozen: Frozen | None = None
        self._order = query_order
        self._truth = metrics.Truth.of(asked.dataset)
        self._progress = progress
        self._random = random.Random(asked.seed)  # noqa: S311 - an order, not a secret

    def prepare(self) -> Frozen:
        """Build the indexes, look at all settings once, and fix the points."""
        self._build_all()
        check_alike(self.indexes["base"][0].build_info, self.indexes["new"][0].build_info)
        self._progress.report("looking at all settings once")
        count = min(self._affordable(name) for name in self.sides)
        builds = range(self.asked.builds)
        looked = [{name: self._search(name, number, count) for name in self.sides} for number in builds]
        first = looked[0]
        chosen = points.choose(
            first["base"].searched, first["new"].searched, self.asked.targets, answers=count * self.asked.k
        )
        shared = set(first["base"].answers) & set(first["new"].answers)
        in_process = all(found.in_process for both in looked for found in both.values())
        self.frozen = Frozen(
            points=tuple(chosen.at_recalls(both["base"].searched, both["new"].searched) for both in looked),
            clock=self.asked.clock or ("cpu" if in_process else "wall"),
            in_process=in_process,
            rounds=_rounds(chosen),
            identical=(
                all(
                    both["base"].answers[key] == both["new"].answers[key] for both in looked for key in shared
                )
                if shared
                else None
            ),
        )
        self._progress.frozen(self.frozen, self.indexes)
        return self.frozen

    def run(self) -> Verdict:
        """Launch until the verdict is decided; each launch is told of as soon as it is over."""
        assert self.frozen is not None
        while True:
            launch = self._launch(len(self.launches))
            self.launches.append(launch)
            verdict = self.verdict()
            self._progress.launched(launch, verdict)
            counting = len(self.launches) - verdict.void
            if verdict.decided or counting >= self.asked.most_launches:
                return verdict
            if len(self.launches) >= VOID_SHARE * self.asked.most_launches:
                return verdict

    def verdict(self) -> Verdict:
        """Return the verdict on the launches so far."""
        assert self.frozen is not None
        return judge(self.launches, self.frozen.points, clock=self.frozen.clock, margin=self.asked.margin)

    # -- before the first launch ----------------------------------------------------------------------

    def _build_all(self) -> None:
        """Build, or find, the indexes: side by side in time where they are to be compared."""
        asked, report = self.asked, self._progress.report
        if asked.builds == 1:
            for name, side in self.sides.items():
                index = indexes.kept_index(self.benches[name], side, seed=asked.seed, report=report)
                self.indexes[name].append(index)
            return
        for number in range(asked.builds):
            report(f"building index {number + 1} of {asked.builds} of both sides")
            for name in self._random.sample(list(self.sides), 2):
                bench, side = self.benches[name], self.sides[name]
                keep = bench.folder / f"index-{name}-{number}"
                self.indexes[name].append(indexes.build(bench, side, seed=asked.seed + number, keep=keep))

    def _affordable(self, name: str) -> int:
        """Return how many queries there is time for with a side's slowest setting."""
        slowest = 1.0
        with self._loaded(name, f"first-{name}", 0) as worker:
            for query in self.queries[name]:
                self._set_query(worker, query)
                slowest = max(slowest, worker.request("warm_up", "search", self._search_s)["query_ns"])
        return min(len(self._order), max(SEARCHED_QUERIES, int(SEARCH_NS / slowest)))

    def _search(self, name: str, number: int, count: int) -> _Settings:
        """Search `count` queries with every query setting once; tell recall, time and answers."""
        looked = _Settings()
        with self._loaded(name, f"look-{name}-{number}", number) as worker:
            for query in self.queries[name]:
                self._set_query(worker, query)
                reply = worker.request("run", "search", self._search_s, first=0, last=count)
                ids = np.load(reply["ids"])
                counters = reply["counters"]
                looked.searched.append(Searched(dict(query), self._recall(ids), reply["timed_ns"] / count))
                looked.answers[repr(sorted(query.items()))] = ids.tobytes()
                looked.in_process &= _in_process(counters)
        return looked

    def _recall(self, ids: np.ndarray[Any, np.dtype[np.int32]]) -> float:
        dataset, asked = self.asked.dataset, self._order[: len(ids)]
        arrays: dict[str, np.ndarray[Any, Any]] = {
            "neighbors": ids,
            "distances": distances_to(dataset.distance, dataset.test[asked], dataset.train, ids),
        }
        record: dict[str, Any] = {"k": self.asked.k, "dataset": {"queries": len(ids)}}
        found = metrics.recall(metrics.Sample(record, arrays, self._truth.part(asked)))
        return float(found or 0.0)

    # -- launches -------------------------------------------------------------------------------------

    def _launch(self, number: int) -> Launch:
        assert self.frozen is not None
        began = time.monotonic()
        build = number % self.asked.builds
        with contextlib.ExitStack() as stack:
            workers: dict[str, Worker] = {}
            for name in self._random.sample(("base", "control", "new"), 3):
                side = "new" if name == "new" else "base"
                workers[name] = stack.enter_context(self._loaded(side, f"launch-{number}-{name}", build))
            quads: list[Quad] = []
            proxies = _Proxies(len(self.frozen.points[build].base))
            for round_number in range(self.frozen.rounds):
                for pair, control in self._plan(round_number):
                    quads.append(self._quad(workers, pair, control, round_number, proxies))
        return Launch(number, build, quads, time.monotonic() - began, proxies.per_query())

    def _plan(self, round_number: int) -> list[tuple[int, bool]]:
        """Return the quads of a round in random order: each pair, and a third as many controls, by turns."""
        assert self.frozen is not None
        pairs = len(self.frozen.points[0].base)
        controls = math.ceil(pairs / 3)
        plan = [(pair, False) for pair in range(pairs)]
        plan += [((round_number * controls + i) % pairs, True) for i in range(controls)]
        return self._random.sample(plan, len(plan))

    def _quad(
        self,
        workers: dict[str, Worker],
        pair: int,
        control: bool,
        round_number: int,
        proxies: "_Proxies",
    ) -> Quad:
        assert self.frozen is not None
        settings = self.frozen.points[0]
        base, new = settings.base[pair], settings.new[pair]
        count = _block(base, base if control else new)
        swapped = self._random.random() < 0.5
        names = ("base", "control" if control else "new")
        order = (1, 0, 0, 1) if swapped else (0, 1, 1, 0)
        stolen = _stolen_s(self.asked.cpu)
        visits = []
        for place in order:
            query = new.query if names[place] == "new" else base.query
            reply = workers[names[place]].request(
                "visit",
                "search",
                self._search_s,
                threads=1,
                parameters=query,
                first=(round_number * count) % len(self._order),
                count=count,
                unrecorded_ns=UNRECORDED_NS,
            )
            visits.append(reply)
            proxies.add(pair, names[place], reply, count)
        stolen = _stolen_s(self.asked.cpu) - stolen
        return Quad(
            pair=pair,
            control=control,
            swapped=swapped,
            queries=count,
            cpu_ns=[max(visit["counters"]["process_cpu_ns"], 1) / count for visit in visits],
            wall_ns=[visit["timed_ns"] / count for visit in visits],
            disturbed=stolen >= STOLEN_S
            or (self.frozen.in_process and any(_taken(visit["counters"]) for visit in visits)),
        )

    # -- workers --------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _loaded(self, name: str, folder: str, build: int) -> Iterator[Worker]:
        """Give a worker of a side that has its index."""
        bench = self.benches[name]
        copy = bench.folder / f"{folder}-index"
        try:
            with bench.worker(self.sides[name], folder, seed=self.asked.seed + build) as worker:
                indexes.load(worker, self.indexes[name][build], bench, copy=copy)
                yield worker
        finally:
            _remove(copy)

    def _set_query(self, worker: Worker, query: dict[str, Any]) -> None:
        worker.request("set_query", "set_query", self._search_s, threads=1, parameters=query)

    @property
    def _search_s(self) -> float:
        return self.benches["base"].search_s


class _Proxies:
    """What searching took beside time, per query: distance computations, instructions."""

    NAMES = ("distance_computations", "instructions")

    def __init__(self, pairs: int) -> None:
        self._sums: dict[str, dict[str, list[float | None]]] = {
            name: {side: [0.0] * pairs for side in ("base", "new")} for name in self.NAMES
        }
        self._queries = {side: [0] * pairs for side in ("base", "new")}

    def add(self, pair: int, worker: str, reply: dict[str, Any], count: int) -> None:
        side = "new" if worker == "new" else "base"
        self._queries[side][pair] += count
        told = {
            "distance_computations": reply.get("distance_computations"),
            "instructions": reply["counters"]["instructions"],
        }
        for name, value in told.items():
            so_far = self._sums[name][side][pair]
            self._sums[name][side][pair] = None if value is None or so_far is None else so_far + value

    def per_query(self) -> dict[str, dict[str, list[float]]]:
        """Return the means of what was told, by name and side, pair by pair."""
        means: dict[str, dict[str, list[float]]] = {}
        for name, sides in self._sums.items():
            for side, sums in sides.items():
                counts = self._queries[side]
                if all(total is not None for total in sums):
                    told = [(total or 0.0) / max(count, 1) for total, count in zip(sums, counts, strict=True)]
                    means.setdefault(name, {})[side] = told
        return means


def _block(*settings: Searched) -> int:
    """Return how many queries take a block's time with the faster of the settings."""
    fastest = min(setting.ns_per_query for setting in settings)
    return max(FEWEST_QUERIES, math.ceil(BLOCK_NS / max(fastest, 1.0)))


def _rounds(chosen: Points) -> int:
    """Return how many rounds a launch has time for."""
    round_ns = 0.0
    for base, new in zip(chosen.base, chosen.new, strict=True):
        times = base.ns_per_query + new.ns_per_query
        round_ns += 2 * (_block(base, new) * times + 2 * UNRECORDED_NS) * 4 / 3
    return max(FEWEST_ROUNDS, min(MOST_ROUNDS, int(LAUNCH_NS / round_ns)))


def _in_process(counters: dict[str, Any]) -> bool:
    """Whether a search kept to one thread of the worker's own process."""
    others = counters["process_cpu_ns"] - counters["thread_cpu_ns"]
    quiet = others <= 0.02 * counters["process_cpu_ns"] + 1e6
    return quiet and not counters["children"] and counters["thread_cpu_ns"] >= 0.5 * counters["wall_ns"]


def _taken(counters: dict[str, Any]) -> bool:
    wall, cpu = counters["wall_ns"], counters["process_cpu_ns"]
    return bool(wall - cpu > TAKEN_SHARE * wall)


def _stolen_s(cpu: int) -> float:
    """Return the seconds that were stolen from a core so far; 0 where the machine does not tell."""
    with contextlib.suppress(IndexError, OSError):
        return float(getattr(psutil.cpu_times(percpu=True)[cpu], "steal", 0.0))
    return 0.0


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
