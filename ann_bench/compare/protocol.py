"""The paired protocol: three workers side by side on one core, their blocks alternating, launch after launch.

A launch is a fresh worker of NEW and two of BASE, each with its own copy of its side's index. In each round
every pair of settings gets a quad of blocks, A B B A or B A A B by a seeded coin; a third as many quads again
hold BASE against its second worker, so that a run carries its own null. While a block runs the harness
sleeps.

A quad counts whole or not at all: it does not where in one of its blocks the core was taken away, that is
where the system let another process run on it and wall time exceeds CPU time by a tenth, or where the machine
reports stolen time. A worker that waits by itself is not disturbed. The rule looks at no side and at no
speed; such quads are kept, counted and told.
"""

import contextlib
import math
import random
import time
from collections.abc import Callable
from typing import Any

import psutil

from ann_bench.compare.estimate import LOOKS
from ann_bench.compare.indexes import Bench
from ann_bench.compare.launch import Launch, Quad
from ann_bench.compare.points import Points, Searched
from ann_bench.compare.survey import Asked, Frozen
from ann_bench.compare.verdict import Verdict, judge
from ann_bench.runner.launch import Worker

BLOCK_NS = 50_000_000
UNRECORDED_NS = 10_000_000
LAUNCH_NS = 11_000_000_000
FEWEST_ROUNDS, MOST_ROUNDS = 3, 12
FEWEST_QUERIES = 10
TAKEN_SHARE = 0.1
STOLEN_S = 0.02
VOID_SHARE = 1.5
VOID_FROM_THE_START = LOOKS[0]


class Launches:
    """The launches of one comparison, until its verdict is decided.

    Parameters
    ----------
    queries
        How many queries workers have.
    launched
        Is told of each launch as soon as it is over, and of the verdict so far.
    """

    def __init__(
        self,
        asked: Asked,
        frozen: Frozen,
        bench: Bench,
        queries: int,
        launched: Callable[[Launch, Verdict], None],
    ) -> None:
        self.made: list[Launch] = []
        self._asked = asked
        self._frozen = frozen
        self._bench = bench
        self._queries = queries
        self._launched = launched
        self._rounds = _rounds(frozen.points[0], bench.queries_per_call)
        self._random = random.Random(asked.seed)  # noqa: S311 - an order, not a secret

    def run(self) -> Verdict:
        """Launch until the verdict is decided, or until there are as many launches as were asked for."""
        asked, frozen = self._asked, self._frozen
        while True:
            self.made.append(self._launch(len(self.made)))
            verdict = judge(self.made, frozen.points, clock=frozen.clock, margin=asked.margin)
            self._launched(self.made[-1], verdict)
            counting = len(self.made) - verdict.void
            if verdict.decided or counting >= asked.most_launches:
                return verdict
            hopeless = verdict.void == len(self.made) >= VOID_FROM_THE_START
            if hopeless or len(self.made) >= VOID_SHARE * asked.most_launches:
                return verdict

    def _launch(self, number: int) -> Launch:
        began = time.monotonic()
        build = number % len(self._frozen.points)
        sides = {
            "base": self._frozen.base[build],
            "control": self._frozen.base[build],
            "new": self._frozen.new[build],
        }
        with contextlib.ExitStack() as stack:
            workers = {
                name: stack.enter_context(self._bench.loaded(sides[name], f"launch-{number}-{name}"))
                for name in self._random.sample(list(sides), len(sides))
            }
            proxies = _Proxies(len(self._frozen.points[build].base))
            quads = [
                self._quad(workers, pair, control, round_number, proxies)
                for round_number in range(self._rounds)
                for pair, control in self._plan(round_number)
            ]
        return Launch(number, build, quads, time.monotonic() - began, proxies.per_query())

    def _plan(self, round_number: int) -> list[tuple[int, bool]]:
        """Return the quads of a round in random order: each pair, and a third as many controls, by turns."""
        pairs = len(self._frozen.points[0].base)
        controls = math.ceil(pairs / 3)
        plan = [(pair, False) for pair in range(pairs)]
        plan += [((round_number * controls + i) % pairs, True) for i in range(controls)]
        return self._random.sample(plan, len(plan))

    def _quad(
        self, workers: dict[str, Worker], pair: int, control: bool, round_number: int, proxies: "_Proxies"
    ) -> Quad:
        points, cpu, per_call = self._frozen.points[0], self._asked.cpu, self._bench.queries_per_call
        base, new = points.base[pair], points.new[pair]
        calls = _block(per_call, base, base if control else new)
        count = calls * per_call
        swapped = self._random.random() < 0.5
        names = ("base", "control" if control else "new")
        stolen = _stolen_s(cpu)
        visits = []
        for place in (1, 0, 0, 1) if swapped else (0, 1, 1, 0):
            reply = workers[names[place]].request(
                "visit",
                "search",
                self._bench.search_s,
                threads=1,
                parameters=new.query if names[place] == "new" else base.query,
                first=(round_number * calls) % (self._queries // per_call),
                count=calls,
                queries_per_call=per_call,
                unrecorded_ns=UNRECORDED_NS,
            )
            visits.append(reply)
            proxies.add(pair, names[place], reply, count)
        stolen = _stolen_s(cpu) - stolen
        taken = self._frozen.in_process and any(_taken(visit["counters"]) for visit in visits)
        return Quad(
            pair=pair,
            control=control,
            swapped=swapped,
            queries=count,
            cpu_ns=[max(visit["counters"]["process_cpu_ns"], 1) / count for visit in visits],
            wall_ns=[visit["timed_ns"] / count for visit in visits],
            disturbed=taken or stolen >= STOLEN_S,
        )


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


def _block(per_call: int, *settings: Searched) -> int:
    """Return how many calls of so many queries take a block's time with the faster of the settings."""
    fastest = min(setting.ns_per_query for setting in settings)
    return math.ceil(max(FEWEST_QUERIES, BLOCK_NS / max(fastest, 1.0)) / per_call)


def _rounds(chosen: Points, per_call: int) -> int:
    """Return how many rounds a launch has time for."""
    round_ns = 0.0
    for base, new in zip(chosen.base, chosen.new, strict=True):
        calls = _block(per_call, base, new)
        for setting in (base, new):
            call_ns = per_call * setting.ns_per_query
            round_ns += 2 * (calls * call_ns + max(UNRECORDED_NS, call_ns)) * 4 / 3
    return max(FEWEST_ROUNDS, min(MOST_ROUNDS, int(LAUNCH_NS / round_ns)))


def _taken(counters: dict[str, Any]) -> bool:
    wall, cpu = counters["wall_ns"], counters["process_cpu_ns"]
    _, by_others = counters["switches"]
    return bool(by_others and wall - cpu > TAKEN_SHARE * wall)


def _stolen_s(cpu: int) -> float:
    """Return the seconds that were stolen from a core so far; 0 where the machine does not tell."""
    with contextlib.suppress(IndexError, OSError):
        return float(getattr(psutil.cpu_times(percpu=True)[cpu], "steal", 0.0))
    return 0.0
