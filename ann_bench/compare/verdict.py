"""From launches to a verdict and an exit code; the same data always give the same verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, log1p
from typing import Literal

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
    """Return the verdict on the launches so far.

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
    shown = [found for launch in launches if (found := show(launch, points[launch.build], clock)) is not None]
    void = len(launches) - len(shown)
    if len(shown) < 2:
        reason = f"{len(shown)} of {len(launches)} launches count"
        if void:
            reason += ", as the core was taken away: name another with --cpus, or end what else runs on it"
        return Verdict("inconclusive", reason, False, void=void)
    return judge_changes(shown, points[0].recalls, margin=margin, void=void)


def judge_changes(
    shown: Sequence[Shown], recalls: Sequence[float], *, margin: float, void: int = 0
) -> Verdict:
    """Return the verdict on what two launches or more show at these recalls; see `judge`."""
    change = estimate([launch.change for launch in shown])
    at = tuple(estimate(values) for values in zip(*(launch.at for launch in shown), strict=True))
    control = estimate([launch.control for launch in shown], CONTROL_ALPHA)
    most = log1p(-margin)
    sound = control.low <= 0 <= control.high or abs(control.change) < LEAST_CONTROL
    last = len(shown) >= LOOKS[-1]
    name, reason = _named(shown, recalls, change, at, margin)
    if not sound:
        name = "invalid"
        reason = f"BASE against itself shows {100 * (exp(control.change) - 1):+.1f} %: one worker is favoured"
    word: Literal["faster", "slower", ""] = ""
    if sound and change.low > 0 and change.change >= LEAST_FASTER:
        word = "faster"
    elif sound and change.high < 0 and change.change <= -LEAST_FASTER:
        word = "slower"
    return Verdict(
        name=name,
        reason=reason,
        decided=len(shown) in LOOKS and (last or name in ("pass", "regression")),
        change=change,
        at=at,
        control=control,
        word=word,
        smallest_effect=1 - exp(min(most, -change.half_width)),
        void=void,
    )


def _named(
    shown: Sequence[Shown], recalls: Sequence[float], change: Estimate, at: Sequence[Estimate], margin: float
) -> tuple[Name, str]:
    """Return verdict and reason where the control is sound."""
    most, most_at_one = log1p(-margin), log1p(-2 * margin)
    if change.high < 0 and change.change <= most:
        return "regression", f"slower by the margin of {100 * margin:.2g} % or more"
    slow = [number for number, found in enumerate(at) if found.change <= most_at_one]
    sure = _holm([p_slower([launch.at[number] for launch in shown]) for number in range(len(at))], len(shown))
    for number in slow:
        if number in sure:
            return "regression", f"at recall {recalls[number]:g} slower by twice the margin or more"
    if change.low <= most:
        return (
            "inconclusive",
            f"a slowdown by the margin of {100 * margin:.2g} % is neither shown nor ruled out",
        )
    if slow:
        recall = recalls[slow[0]]
        return "inconclusive", f"at recall {recall:g} it may be slower by twice the margin or more"
    return "pass", f"a slowdown by the margin of {100 * margin:.2g} % is ruled out"


def _holm(p_values: Sequence[float], launches: int) -> set[int]:
    """Return the tests that Holm's procedure (1979) rejects, one-sided at half of the look's alpha."""
    rejected: set[int] = set()
    alpha = alpha_of(launches) / 2
    for step, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[number] > alpha / (len(p_values) - step):
            break
        rejected.add(number)
    return rejected
