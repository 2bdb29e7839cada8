"""The trend of an algorithm's speed over the runs of a history, and where its level shifted.

Shifts are found by ruptures (Truong, Oudre & Vayatis 2020): PELT (Killick, Fearnhead & Eckley 2012) with the
squared-error cost on log qps, which finds the levels that minimise

    sum over runs of (log qps - its level)^2 + penalty x number of shifts,  a level lasting 3 runs or more.

penalty = (4 s)^2, where s = 1.4826 median |x[i+1] - x[i]| / sqrt(2) estimates the noise of one run. To split
a level lowers the sum by s^2 times the square of the distance of the two means in standard errors: what is
told are means more than 4 standard errors apart. The best place is looked for and s is estimated, so that of
100 histories of noise alone, be they 6 runs long or 300, 1 to 2 are told to have a shift. The median of
differences sees the noise and not the shifts, of which each makes one difference large.

Before that log qps is replaced by the median of each run and its two neighbours: one bad run, which is common
on a shared machine, makes no level, and an edge between two levels stays where it is.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import ruptures

from ann_bench.environments import ENGINE
from ann_bench.history import Entry, Speed, State

FEWEST = 6
"""The points below which no shifts are looked for: two levels of the shortest length."""
_SHORTEST = 3
_STANDARD_ERRORS = 4.0
# No two runs agree better than this: numbers that are equal by chance must not turn all others into shifts.
_LEAST_NOISE = 0.001

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """One run: `name` is what its state is called among the others of its series, short and told apart."""

    entry: Entry
    state: State
    speed: Speed
    name: str

    @property
    def when(self) -> datetime:
        """When the run ended."""
        return datetime.fromisoformat(self.entry.when)


@dataclass(frozen=True)
class Level:
    """Points first <= i < stop of a series, and the geometric mean of their qps."""

    first: int
    stop: int
    qps: float


@dataclass(frozen=True)
class Shift:
    """A change of level between two neighbouring points, the one before it and the one after it."""

    at: int
    before: Point
    after: Point
    ratio: float


@dataclass(frozen=True)
class Series:
    """What is comparable: one algorithm on one dataset, k, mode and machine, with the same settings.

    Attributes
    ----------
    points
        In the order of time, without those that missed the recall or told an earlier run's numbers again.
    unreached
        How many runs did not reach the recall.
    levels
        As many as there are shifts and one more; none if there are no points.
    """

    algorithm: str
    recall: float
    newest: Entry
    settings: str
    points: tuple[Point, ...]
    unreached: int
    levels: tuple[Level, ...]

    @property
    def shifts(self) -> tuple[Shift, ...]:
        """The shifts in the order of time."""
        return tuple(
            Shift(after.first, self.points[after.first - 1], self.points[after.first], after.qps / before.qps)
            for before, after in pairwise(self.levels)
        )

    @property
    def noise(self) -> float | None:
        """Standard deviation of log qps from run to run; None where there are too few points."""
        return noise([point.speed.qps for point in self.points]) if len(self.points) >= FEWEST else None

    @property
    def smallest_ratio(self) -> float | None:
        """About the smallest ratio of two levels, each of half of the points, that would be told."""
        if self.noise is None:
            return None
        return float(np.exp(2 * _STANDARD_ERRORS * self.noise / np.sqrt(len(self.points))))


def noise(qps: Sequence[float]) -> float:
    """Return the standard deviation of log qps from run to run, from the median of absolute differences."""
    typical = np.median(np.abs(np.diff(np.log(qps))))
    return max(_LEAST_NOISE, float(1.4826 * typical / np.sqrt(2)))


def find_shifts(qps: Sequence[float]) -> list[int]:
    """Return the indices at which a new level begins; none among fewer than `FEWEST` numbers."""
    if len(qps) < FEWEST:
        return []
    threes = np.lib.stride_tricks.sliding_window_view(np.log(np.asarray(qps, dtype=np.float64)), 3)
    logs = np.pad(np.median(threes, axis=1), 1, mode="edge")
    # A linear kernel is the squared error, and with a penalty the search is PELT's, in C.
    search = ruptures.KernelCPD(kernel="linear", min_size=_SHORTEST).fit((logs / noise(qps))[:, None])
    ends = [0, *(int(end) for end in search.predict(pen=_STANDARD_ERRORS**2))]
    found = []
    for first, edge, stop in zip(ends, ends[1:], ends[2:], strict=False):
        before, after = logs[first:edge].mean(), logs[edge:stop].mean()
        # Two runs on a new level are stretched to three by the least length: the third is of the old one.
        sound = _is_nearer(logs[edge - 1], before, after) and _is_nearer(logs[edge], after, before)
        found += [edge] if sound else []
    return found


def _is_nearer(value: float, level: float, other: float) -> bool:
    return bool(abs(value - level) < abs(value - other))


def make_series(entries: Iterable[Entry], recall: float) -> list[Series]:
    """Return the series of a history, sorted by dataset, k, mode and algorithm.

    Runs are in one series if they agree in what speed depends on besides the code: the dataset's content, k,
    mode, threads, processor, algorithm, the settings asked for, and the kind of run.

    Parameters
    ----------
    entries
        As `history.read` gives them.
    recall
        One of `history.TARGETS`.
    """
    groups: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: datetime.fromisoformat(entry.when)):
        for algorithm, state in entry.algorithms.items():
            data = entry.dataset
            where = (data.name, entry.k, entry.mode, algorithm, entry.cpu, entry.threads or 0)
            groups.setdefault((*where, entry.kind, data.sha256, state.settings), []).append(entry)
    return [_series(key[3], groups[key], recall) for key in sorted(groups)]


def _series(algorithm: str, entries: Sequence[Entry], recall: float) -> Series:
    fresh, seen = [], set()
    for entry in entries:
        measured = entry.algorithms[algorithm].measured
        if measured is None or measured not in seen:
            fresh.append(entry)
        seen.add(measured)
    states = [entry.algorithms[algorithm] for entry in fresh]
    points = tuple(
        Point(entry, state, speed, _name(entry, state, states))
        for entry, state in zip(fresh, states, strict=True)
        if (speed := state.qps_at.get(str(recall))) is not None
    )
    return Series(
        algorithm,
        recall,
        entries[-1],
        states[-1].settings,
        points,
        len(fresh) - len(points),
        _levels([point.speed.qps for point in points]),
    )


def _levels(qps: Sequence[float]) -> tuple[Level, ...]:
    edges = [0, *find_shifts(qps), len(qps)] if qps else []
    return tuple(
        Level(first, stop, float(np.exp(np.mean(np.log(qps[first:stop]))))) for first, stop in pairwise(edges)
    )


def _name(entry: Entry, state: State, among: Iterable[State]) -> str:
    """Return the state, a commit short, with what tells it from others of the same state: digest, label."""
    of_engine = state.library == ENGINE
    name = re.sub(r"^([0-9a-f]{7})[0-9a-f]+(\+?)$", r"\1\2", state.state) if of_engine else state.state
    if len({other.library_digest for other in among if other.state == state.state}) > 1:
        name += f" ({state.library_digest[:6]})"
    return f"{name} “{entry.label}”" if entry.label else name
