"""Two sides timed in turn, and their ratio at equal recall.

A launch is a fresh process for each of the four settings (two of each side, which enclose the recall), all
pinned to one core. In it a few quads: the sides in the order ABBA or BAAB, by a seeded coin, over the same
queries, each visit with its two settings, at least 50 ms each (less where the slowest would take more than
1 s) after 10 ms of queries that do not count. The ratio of a quad compares the times interpolated to the
recall; a launch counts with the median of its quads.
"""

import math
import random
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from ann_bench.runner.launch import Worker
from indexes import LONG_S, Workplace
from sweep import Choice, cpu_us, set_up

_BLOCK_US = 50e3
_LONGEST_BLOCK_US = 1e6
_UNRECORDED_US = 10e3
_LEVEL = 0.95


def time_pairs(
    place: Workplace,
    sides: tuple[Choice, Choice],
    *,
    k: int,
    batch: bool,
    launches: int,
    quads: int,
    seed: int,
) -> list[list[list[dict[str, Any]]]]:
    """Return what was timed, as launches of quads of visits.

    A visit has `side` (0 or 1), and for its two settings `cpu_us` and `wall_us` a query.
    """
    coin = random.Random(seed)  # noqa: S311 - an order, not a secret
    return [_launch(place, sides, k=k, batch=batch, quads=quads, coin=coin) for _ in range(launches)]


def _launch(
    place: Workplace, sides: Sequence[Choice], *, k: int, batch: bool, quads: int, coin: random.Random
) -> list[list[dict[str, Any]]]:
    everything = len(place.questions.test)
    us = [point.us for side in sides for point in side.enclosing]
    size = min(everything, math.ceil(_BLOCK_US / min(us)), math.ceil(_LONGEST_BLOCK_US / max(us)))
    # Only a set that is too small is gone over again: queries asked anew find their rows in the caches.
    repeats = math.ceil(_BLOCK_US / (min(us) * size)) if size == everything else 1
    firsts = [coin.randint(0, everything - size) for _ in range(quads)]
    with ExitStack() as stack:
        workers = [
            [stack.enter_context(place.searcher(side.index, k=k, batch=batch)) for _ in side.enclosing]
            for side in sides
        ]
        for side, pair in zip(sides, workers, strict=True):
            for point, worker in zip(side.enclosing, pair, strict=True):
                set_up(worker, point.query)
                for first in firsts:  # so that no page of the index is touched for the first time below
                    _run(worker, first, size)
        timed = []
        for first in firsts:
            order = coin.choice([(0, 1, 1, 0), (1, 0, 0, 1)])
            timed.append(
                [_visit(side, sides[side], workers[side], first, size, repeats, everything) for side in order]
            )
        return timed


def _visit(
    number: int, side: Choice, pair: Sequence[Worker], first: int, size: int, repeats: int, everything: int
) -> dict[str, Any]:
    cpu, wall = [], []
    for point, worker in zip(side.enclosing, pair, strict=True):
        few = min(everything, math.ceil(_UNRECORDED_US / point.us))
        _run(worker, min((first + size) % everything, everything - few), few)
        replies = [_run(worker, first, size) for _ in range(repeats)]
        cpu.append(sum(cpu_us(reply, size) for reply in replies) / repeats)
        wall.append(sum(reply["timed_ns"] for reply in replies) / 1e3 / size / repeats)
    return {"side": number, "cpu_us": cpu, "wall_us": wall}


def _run(worker: Worker, first: int, size: int) -> dict[str, Any]:
    return worker.request("run", "search", LONG_S, first=first, last=first + size)


def ratio(
    timed: Sequence[Sequence[Sequence[dict[str, Any]]]], weights: tuple[float, float], clock: str = "cpu_us"
) -> tuple[float, float, float]:
    """Return side 1's time over side 0's at the recall (side 0's speed-up), and the interval's ends.

    The median over launches of the median over quads. The ends are order statistics of the launches: with
    fewer than six these are the extremes, and cover the truth in fewer than 95 of 100 cases (`coverage`).
    """
    logs = np.sort([np.median([_log_ratio(quad, weights, clock) for quad in launch]) for launch in timed])
    low = _rank(len(logs))
    return (
        float(np.exp(np.median(logs))),
        float(np.exp(logs[low])),
        float(np.exp(logs[len(logs) - 1 - low])),
    )


def coverage(launches: int) -> float:
    """Return how often the interval of `ratio` covers the median launch."""
    return _coverage(_rank(launches), launches)


def times_us(
    timed: Sequence[Sequence[Sequence[dict[str, Any]]]], weights: tuple[float, float], clock: str = "cpu_us"
) -> tuple[float, float]:
    """Return the median time of a query at the recall, of either side."""
    logs: list[list[float]] = [[], []]
    for visit in (visit for launch in timed for quad in launch for visit in quad):
        logs[visit["side"]].append(_log_time(visit, weights, clock))
    return float(np.exp(np.median(logs[0]))), float(np.exp(np.median(logs[1])))


def _rank(launches: int) -> int:
    """Return how many launches lie outside the interval on either side: as many as leave it sure enough."""
    return max((rank for rank in range(launches // 2) if _coverage(rank, launches) >= _LEVEL), default=0)


def _coverage(rank: int, launches: int) -> float:
    """Return how often the median lies between the values that have `rank` values beyond them."""
    beyond = sum(math.comb(launches, below) for below in range(rank + 1))
    return 1 - beyond / float(2 ** (launches - 1))


def _log_ratio(quad: Sequence[dict[str, Any]], weights: tuple[float, float], clock: str) -> float:
    sides = [[_log_time(visit, weights, clock) for visit in quad if visit["side"] == side] for side in (0, 1)]
    return float(np.mean(sides[1]) - np.mean(sides[0]))


def _log_time(visit: dict[str, Any], weights: tuple[float, float], clock: str) -> float:
    low, high = np.log(visit[clock])
    return float(low + weights[visit["side"]] * (high - low))
