"""What recall each setting has and what it costs, found by sweeping; and which settings a comparison takes.

A sweep's times are taken alone, as CPU time; they only choose what is compared. The comparison itself times
both sides in turn (`pairs.py`). What a sweep found is kept beside the index.
"""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ann_bench.config import Algorithm
from ann_bench.frontier import interpolate, nines, pareto
from ann_bench.runner.launch import Worker
from grids import SMALLER_WITHIN, Grid, resolved
from indexes import LONG_S, Index, Workplace, describe

_HOPELESS = 2.0  # an index whose setting takes this many times the best one's time is followed no further


@dataclass(frozen=True)
class Point:
    """A query setting of an index: its recall, and the CPU microseconds of a query."""

    query: dict[str, Any]
    recall: float
    us: float


@dataclass(frozen=True)
class Choice:
    """The two settings of an index that enclose a recall (one twice where all have more).

    `weight` is how far the recall lies from the first towards the second, in nines; `us` the CPU time of a
    query there, by the sweep.
    """

    index: Index
    enclosing: tuple[Point, Point]
    weight: float
    us: float


def sweep(
    place: Workplace,
    algorithm: Algorithm,
    grid: Grid,
    recalls: Sequence[float],
    *,
    k: int,
    batch: bool,
    fresh: bool = False,
) -> list[tuple[Index, list[Point]]]:
    """Return every index of the grid with settings around each of `recalls`, where it reaches them.

    An index that is much slower than another on the way to the highest of them ends there. `fresh` measures
    again what is known from an earlier sweep.
    """
    found = []
    best_us = math.inf
    for values in itertools.product(*grid.build.values()):
        build = resolved(grid.build, values, k)
        index = place.index(algorithm, build)
        with _Known(place, index, k=k, batch=batch, fresh=fresh) as known:
            points = [
                point
                for fixed in itertools.product(*grid.query.values())
                for point in _ladder(
                    known, grid, resolved(grid.query, fixed, k), recalls, k, best_us * _HOPELESS
                )
            ]
        found.append((index, points))
        at_top = _interpolated(points, max(recalls), known.answers)
        best_us = min(best_us, at_top or math.inf)
    return found


def choose(
    found: Sequence[tuple[Index, list[Point]]], recall: float, answers: int
) -> tuple[Choice | None, dict[str, float]]:
    """Return what to compare at `recall`, None if nothing reaches it; and what each index does there, in us.

    The fastest index, or the smallest of those that are nearly as fast. `answers` is queries times k.
    """
    us = {
        position: value
        for position, (_, points) in enumerate(found)
        if (value := _interpolated(points, recall, answers)) is not None
    }
    by_build = {describe(found[position][0].build): value for position, value in us.items()}
    if not us:
        return None, by_build
    limit = min(us.values()) * (1 + SMALLER_WITHIN)
    fast = [position for position, value in us.items() if value <= limit]
    chosen = min(fast, key=lambda position: found[position][0].facts["bytes"])
    index, points = found[chosen]
    on = [points[i] for i in pareto([p.recall for p in points], [p.us for p in points])]
    high = next(i for i, point in enumerate(on) if point.recall >= recall)
    low = max(0, high - 1)
    if low == high:
        return Choice(index, (on[high], on[high]), 0.0, us[chosen]), by_build
    ends = nines([on[low].recall, on[high].recall], answers)
    weight = float((nines(recall, answers) - ends[0]) / (ends[1] - ends[0]))
    return Choice(index, (on[low], on[high]), weight, us[chosen]), by_build


def _interpolated(points: Sequence[Point], recall: float, answers: int) -> float | None:
    return interpolate(
        [p.recall for p in points], [p.us for p in points], recall, answers=answers, higher_is_better=False
    )


def _ladder(
    known: "_Known", grid: Grid, fixed: Mapping[str, Any], recalls: Sequence[float], k: int, most_us: float
) -> list[Point]:
    """Return settings in ascending order of effort, close together around each of `recalls`."""
    points: dict[float, Point] = {}

    def at(value: float) -> Point:
        points[value] = known.measure({**fixed, grid.sweep: value})
        return points[value]

    reached = -1.0
    for value in grid.values or (grid.start * k << step for step in itertools.count()):
        point = at(value)
        in_vain = point.recall <= reached and value >= known.rows
        reached = max(reached, point.recall)
        if reached >= min(max(recalls), 1.0) or point.us > most_us or in_vain:
            break
    if not grid.values:
        for recall in recalls:
            above = next((value for value in sorted(points) if points[value].recall >= recall), None)
            below = max((value for value in points if above is not None and value < above), default=None)
            if above is not None and below is not None and above > 1.5 * below:
                at(round(math.sqrt(above * below)))
    return [points[value] for value in sorted(points)]


class _Known:
    """What is known of an index's settings; it starts a worker for what is not. A context manager."""

    def __init__(self, place: Workplace, index: Index, *, k: int, batch: bool, fresh: bool) -> None:
        self._place, self._index, self._k, self._batch = place, index, k, batch
        self._queries = len(place.questions.test)
        mode = "batch" if batch else "single"
        self._file = index.folder / f"sweep-{place.questions.queries_key}-k{k}-{mode}.json"
        stored = json.loads(self._file.read_text()) if self._file.exists() and not fresh else []
        self._points = [Point(**point) for point in stored]
        self._searcher = ExitStack()
        self._worker: Worker | None = None
        self.answers = self._queries * k
        self.rows = len(place.questions.train)

    def __enter__(self) -> "_Known":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._searcher.close()

    def measure(self, query: dict[str, Any]) -> Point:
        """Return the point of a query setting."""
        for point in self._points:
            if point.query == query:
                return point
        if self._worker is None:
            self._place.report(
                f"sweeping {self._index.algorithm.name} {describe(self._index.build)} for k = {self._k}"
            )
            searcher = self._place.searcher(self._index, k=self._k, batch=self._batch)
            self._worker = self._searcher.enter_context(searcher)
            # The first pass over a file that was just mapped fetches its pages, and counts for no setting.
            self._run(query)
        reply = self._run(query)
        recall = self._place.questions.recall(np.load(reply["ids"]), self._k)
        point = Point(query, recall, cpu_us(reply, self._queries))
        self._points.append(point)
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps([asdict(point) for point in self._points], indent=1))
        new.replace(self._file)
        return point

    def _run(self, query: dict[str, Any]) -> dict[str, Any]:
        """Return the worker's reply to one pass over all queries."""
        assert self._worker is not None
        set_up(self._worker, query)
        return self._worker.request("run", "search", LONG_S, first=0, last=self._queries)


def set_up(worker: Worker, query: Mapping[str, Any]) -> None:
    """Set the query parameters and run some queries unrecorded."""
    worker.request("set_query", "set_query", LONG_S, threads=1, parameters=dict(query))
    worker.request("warm_up", "search", LONG_S)


def cpu_us(reply: Mapping[str, Any], queries: int) -> float:
    """Return the CPU microseconds of a query in a worker's reply to `run`.

    The time between the clock reads around each call, times the share of the loop's time that the process had
    the processor: wall time less what others took of it.
    """
    counters = reply["counters"]
    return float(reply["timed_ns"] / queries / 1e3 * counters["process_cpu_ns"] / counters["wall_ns"])
