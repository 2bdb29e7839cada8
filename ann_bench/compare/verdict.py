"""From launches to a verdict and an exit code; the same data always give the same verdict."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log, log1p
from typing import Literal

import numpy as np

from ann_bench.compare.estimate import LOOKS, Estimate, alpha_of, estimate, p_slower
from ann_bench.compare.launch import Clock, Launch, Shown, show
from ann_bench.compare.points import Points

Name = Literal["pass", "regression", "inconclusive", "invalid"]
EXIT_CODES: dict[Name, int] = {"pass": 0, "regression": 1, "inconclusive": 3, "invalid": 4}
# Below it a speed-up is not worth the word, however sure it is.
LEAST_FASTER = log(1.01)
# A control that is off by less can hide no change of the size of any margin that makes sense.
LEAST_CONTROL = log(1.005)
CONTROL_ALPHA = 0.02
# A verdict takes as many independent units: launches of one index each, or pairs of indexes.
FEWEST_UNITS = LOOKS[0]
# Between seeds, changes at equal recall scatter by up to 1.8 times what drawing the queries anew shows.
LUCK_WIDTH = 3.0


@dataclass(frozen=True)
class Verdict:
    """What a comparison came to.

    Attributes
    ----------
    name
        ``pass``: NEW is not slower by the margin or more; ``regression``: it is; ``inconclusive``: the
        launches cannot tell; ``invalid``: they are not to be trusted.
    reason
        Why, in one line.
    decided
        Whether more launches are not needed.
    change, at, control
        Estimates, in log units, positive where NEW is faster: the mean over the window, the change at each
        recall, the control. None without a launch that counts.
    word
        ``faster`` or ``slower``, where that is earned.
    smallest_effect
        The smallest slowdown, as a share, that these launches would have called a regression.
    void
        Launches that do not count, since each quad of some pair was disturbed.
    """

    name: Name
    reason: str
    decided: bool
    change: Estimate | None = None
    at: tuple[Estimate, ...] = ()
    control: Estimate | None = None
    word: Literal["faster", "slower", ""] = ""
    smallest_effect: float | None = None
    void: int = 0

    @property
    def exit_code(self) -> int:
        """What the process ends with."""
        return EXIT_CODES[self.name]


def judge(launches: Sequence[Launch], points: Sequence[Points], *, clock: Clock, margin: float) -> Verdict:
    """Return the verdict on the launches up to the last look.

    Parameters
    ----------
    launches
        All that were made, in order.
    points
        Where the sides are compared, of each build.
    clock
        Which time counts.
    margin
        The slowdown, as a share, that is too much.
    """
    verdict = _judge(launches, points, clock=clock, margin=margin)
    if clock == "cpu" and verdict.name == "pass":
        by_wall = _judge(launches, points, clock="wall", margin=margin)
        if by_wall.name == "regression":
            reason = "by CPU time it is not slower, by wall time it is: it waits; --clock wall judges that"
            return replace(verdict, name="inconclusive", reason=reason, word="")
    return verdict


def _judge(launches: Sequence[Launch], points: Sequence[Points], *, clock: Clock, margin: float) -> Verdict:
    told = [(launch.build, show(launch, points[launch.build], clock)) for launch in launches]
    shown = [(build, found) for build, found in told if found is not None]
    void = len(launches) - len(shown)
    if len(shown) < FEWEST_UNITS:
        reason = f"{len(shown)} of the {FEWEST_UNITS} launches that a verdict takes"
        if void:
            reason += f"; {void} do not count, as the core was taken away: name another with --cpus"
        verdict = Verdict("inconclusive", reason, False, void=void)
        if not shown:
            return verdict
        so_far = judge_changes([found for _, found in shown], points[0], margin=margin)
        return replace(verdict, change=so_far.change, at=so_far.at, control=so_far.control)
    looked = shown[: max(look for look in LOOKS if look <= len(shown))]
    verdict = judge_changes(
        units([build for build, _ in looked], [found for _, found in looked]),
        points[0],
        launches=len(looked),
        margin=margin,
    )
    # More of the same builds tell no more about others.
    return replace(verdict, void=void, decided=verdict.decided and len(looked) == len(shown))


def units(builds: Sequence[int], shown: Sequence[Shown]) -> list[Shown]:
    """Return what is independent: the launches of a single build, or the means over those of each build."""
    if len(set(builds)) == 1:
        return list(shown)
    means = []
    for build in dict.fromkeys(builds):
        mine = [found for number, found in zip(builds, shown, strict=True) if number == build]
        means.append(
            Shown(
                change=float(np.mean([found.change for found in mine])),
                at=np.mean([found.at for found in mine], axis=0),
                control=float(np.mean([found.control for found in mine])),
                base_logs=np.mean([found.base_logs for found in mine], axis=0),
                new_logs=np.mean([found.new_logs for found in mine], axis=0),
            )
        )
    return means


def judge_changes(
    shown: Sequence[Shown], points: Points, *, margin: float, launches: int | None = None
) -> Verdict:
    """Return the verdict on what the units of a look show at these points; see `judge`.

    Parameters
    ----------
    launches
        How many launches the look is at, where that is not the number of units.
    """
    launches = launches or len(shown)
    alpha = alpha_of(launches)
    luck = points.luck or (0.0,) * (1 + len(points.recalls))
    change = _widened(estimate([one.change for one in shown], alpha), luck[0])
    at = tuple(
        _widened(estimate(values, alpha), of_it)
        for values, of_it in zip(zip(*(one.at for one in shown), strict=True), luck[1:], strict=True)
    )
    control = estimate([one.control for one in shown], CONTROL_ALPHA)
    sound = control.low <= 0 <= control.high or abs(control.change) < LEAST_CONTROL
    name, reason = _named(shown, points, change, at, margin, alpha)
    if len(shown) < FEWEST_UNITS:
        name = "inconclusive"
        reason = f"{len(shown)} pairs of indexes; a verdict takes {FEWEST_UNITS} or more: --builds"
    if not sound:
        name = "invalid"
        reason = f"BASE against itself shows {100 * (exp(control.change) - 1):+.1f} %: one worker is favoured"
    word: Literal["faster", "slower", ""] = ""
    if sound and len(shown) >= FEWEST_UNITS:
        if change.low > 0 and change.change >= LEAST_FASTER:
            word = "faster"
        elif change.high < 0 and change.change <= -LEAST_FASTER:
            word = "slower"
    return Verdict(
        name=name,
        reason=reason,
        decided=launches in LOOKS and (launches >= LOOKS[-1] or name in ("pass", "regression")),
        change=change,
        at=at,
        control=control,
        word=word,
        smallest_effect=1 - exp(min(log1p(-margin), -change.half_width)),
    )


def _widened(found: Estimate, luck: float) -> Estimate:
    """Return an estimate that allows for what another index, or other queries, would have shown."""
    by = LUCK_WIDTH * luck
    return replace(found, low=found.low - by, high=found.high + by)


def _named(
    shown: Sequence[Shown],
    points: Points,
    change: Estimate,
    at: Sequence[Estimate],
    margin: float,
    alpha: float,
) -> tuple[Name, str]:
    """Return verdict and reason where the control is sound."""
    most, most_at_one = log1p(-margin), log1p(-2 * margin)
    if change.high < 0 and change.change <= most:
        return "regression", f"slower by the margin of {100 * margin:.2g} % or more"
    slow = [number for number, found in enumerate(at) if found.change <= most_at_one]
    sure = _holm([p_slower([one.at[number] for one in shown]) for number in range(len(at))], alpha / 2)
    for number in slow:
        if number in sure and at[number].high < 0:
            recall = points.recalls[number]
            return "regression", f"at recall {recall:g} slower by twice the margin or more"
    if points.missed:
        return "invalid", f"NEW does not reach recall {points.missed[0]:g}, which BASE does"
    lucky = (
        "; one index of each side, whose answers differ, leaves much to luck: --builds 16"
        if points.luck
        else ""
    )
    if change.low <= most:
        return (
            "inconclusive",
            f"a slowdown by the margin of {100 * margin:.2g} % is neither shown nor ruled out{lucky}",
        )
    if slow:
        recall = points.recalls[slow[0]]
        return "inconclusive", f"at recall {recall:g} it may be slower by twice the margin or more{lucky}"
    return "pass", f"a slowdown by the margin of {100 * margin:.2g} % is ruled out"


def _holm(p_values: Sequence[float], alpha: float) -> set[int]:
    """Return the one-sided tests that Holm's procedure (1979) rejects."""
    rejected: set[int] = set()
    for step, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[number] > alpha / (len(p_values) - step):
            break
        rejected.add(number)
    return rejected
