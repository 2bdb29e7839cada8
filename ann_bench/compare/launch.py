"""What one launch of the three workers gave, and the change that it shows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ann_bench.compare.points import Points

Clock = Literal["cpu", "wall"]
Floats = npt.NDArray[np.float64]


@dataclass
class Quad:
    """Four visits, A B B A or B A A B, of one pair of settings over one slice of the queries.

    A is BASE; B is NEW, or in the control the second worker of BASE.

    Attributes
    ----------
    pair
        Which pair of the comparison's points.
    control
        Whether B is the second worker of BASE.
    swapped
        Whether the order was B A A B.
    queries
        How many queries each visit timed.
    cpu_ns, wall_ns
        Nanoseconds per query of each visit, in the order in which they were made.
    disturbed
        Whether something else ran on the core in one of them, by the rule of `protocol`: such a quad does not
        count.
    """

    pair: int
    control: bool
    swapped: bool
    queries: int
    cpu_ns: Sequence[float]
    wall_ns: Sequence[float]
    disturbed: bool = False

    def logs(self, clock: Clock) -> tuple[float, float]:
        """Return the mean log time of A, and that of B."""
        times = np.log(self.cpu_ns if clock == "cpu" else self.wall_ns)
        outer, inner = (times[0] + times[3]) / 2, (times[1] + times[2]) / 2
        return (inner, outer) if self.swapped else (outer, inner)


@dataclass
class Launch:
    """One life of the three workers.

    Attributes
    ----------
    number
        From 0, in the order in which they were run.
    build
        Which build of the indexes it searched.
    quads
        In the order in which they were made.
    facts
        What else it told, such as distance computations and instructions per query of each pair and side.
    """

    number: int
    build: int
    quads: list[Quad]
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the launch as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Launch":
        """Return the launch that `as_json` told of."""
        return cls(**{**values, "quads": [Quad(**quad) for quad in values["quads"]]})


@dataclass(frozen=True)
class Shown:
    """The changes that one launch shows, in log units, positive where NEW is faster.

    Attributes
    ----------
    change
        The mean over the window.
    at
        The change at each of the points' recalls.
    control
        What the second worker of BASE shows against the first: the truth is 0.
    base_logs, new_logs
        log(ns per query) of each side at each of the points' recalls.
    """

    change: float
    at: Floats
    control: float
    base_logs: Floats
    new_logs: Floats


def show(launch: Launch, points: Points, clock: Clock) -> Shown | None:
    """Return what a launch shows, or None if a pair has no quad that counts.

    Of each pair the median over its quads: a level shift of the machine falls into few of them.
    """
    pairs = len(points.base)
    ratios: list[list[float]] = [[] for _ in range(pairs)]
    levels: list[list[tuple[float, float]]] = [[] for _ in range(pairs)]
    control = []
    for quad in launch.quads:
        if quad.disturbed:
            continue
        first, second = quad.logs(clock)
        if quad.control:
            control.append(first - second)
        else:
            ratios[quad.pair].append(first - second)
            levels[quad.pair].append((first, second))
    if not control or not all(ratios):
        return None
    base_logs, new_logs = np.array([np.median(both, axis=0) for both in levels]).T
    change, at = points.changes([float(np.median(values)) for values in ratios], base_logs)
    return Shown(
        change=change,
        at=at,
        control=float(np.median(control)),
        base_logs=points.curve("base", base_logs),
        new_logs=points.curve("new", new_logs),
    )
