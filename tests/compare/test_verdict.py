"""The verdict, on simulated machines whose truth is known."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from ann_bench.compare.estimate import LOOKS
from ann_bench.compare.launch import Shown, show
from ann_bench.compare.verdict import Verdict, judge, judge_changes
from tests.compare.simulated import Machine, points

MARGIN = 0.02
POINTS = points()


def decided(machine: Machine) -> Verdict:
    """Return the verdict on a machine, after as many launches as it takes."""
    shown: list[Shown] = []
    for launch in machine.launches():
        if (told := show(launch, POINTS, "cpu")) is not None:
            shown.append(told)
        if len(shown) in LOOKS:
            verdict = judge_changes(shown, POINTS.recalls, margin=MARGIN)
            if verdict.decided:
                return verdict
    raise AssertionError


def trials(count: int, **of_a_machine: float) -> list[Verdict]:
    """Return the verdicts on so many machines."""
    return [decided(Machine(seed, **of_a_machine)) for seed in range(count)]


def covered(verdicts: list[Verdict], truth: float) -> float:
    """Return the share of intervals that hold the truth."""
    found = [verdict.change for verdict in verdicts if verdict.change]
    return float(np.mean([change.low <= truth <= change.high for change in found]))


def width(verdicts: list[Verdict]) -> float:
    """Return the mean width of the intervals, in log units."""
    return float(
        np.mean([verdict.change.high - verdict.change.low for verdict in verdicts if verdict.change])
    )


def test_an_unchanged_build_is_not_accused(record_property: pytest.FixtureRequest) -> None:
    """Of 1,000 comparisons of a build with itself fewer than 5 % end in anything but `pass`, or in a word."""
    verdicts = trials(1000)
    false = [verdict for verdict in verdicts if verdict.name == "regression" or verdict.word]
    assert len(false) < 50, Counter(verdict.name for verdict in verdicts)
    assert sum(verdict.name != "pass" for verdict in verdicts) < 50
    assert covered(verdicts, 0.0) >= 0.94
    assert width(verdicts) < 0.03
    record_property("mean width of the interval", width(verdicts))  # type: ignore[operator]


@pytest.mark.parametrize("slowdown", [0.03, 0.05])
def test_a_slowdown_is_found(slowdown: float) -> None:
    """A build that is slower by 3 % or 5 % is called a regression in 95 % of comparisons, and slower."""
    verdicts = trials(300, slowdown=slowdown)
    assert sum(verdict.name == "regression" for verdict in verdicts) >= 0.95 * 300
    assert sum(verdict.word == "slower" for verdict in verdicts) >= 0.95 * 300
    assert covered(verdicts, -np.log1p(slowdown)) >= 0.94


@pytest.mark.parametrize("slowdown", [0.01, 0.02, -0.01])
def test_the_interval_holds_the_truth_whenever_looking_stops(slowdown: float) -> None:
    """Also where the truth is near a bound, and most comparisons go on to a later look."""
    assert covered(trials(300, slowdown=slowdown), -np.log1p(slowdown)) >= 0.94


def test_faster_is_said_of_what_is_faster_and_of_nothing_else() -> None:
    """A build faster by 4 % passes, and nine in ten are called faster; one slower by 1 % never is."""
    verdicts = trials(200, slowdown=-0.04)
    assert {verdict.name for verdict in verdicts} == {"pass"}
    assert sum(verdict.word == "faster" for verdict in verdicts) >= 180
    assert not any(verdict.word == "faster" for verdict in trials(200, slowdown=0.01))


def test_an_order_that_favours_one_side_cancels_where_it_is_balanced() -> None:
    """Visits that come second take 3 % longer: with a balanced order no verdict changes."""
    verdicts = trials(200, later=0.03)
    assert sum(verdict.name == "pass" and not verdict.word for verdict in verdicts) >= 190


def test_an_order_that_favours_one_side_fails_the_control_where_it_is_not_balanced() -> None:
    """In a fixed order the same is seen by the control: the comparison is invalid, and says no word."""
    verdicts = trials(100, later=0.03, balanced=False)
    assert sum(verdict.name == "invalid" for verdict in verdicts) >= 95
    assert not any(verdict.word for verdict in verdicts if verdict.name == "invalid")


def shown(change: float, *, at: tuple[float, ...] | None = None, control: float = 0.0) -> list[Shown]:
    """Return 32 launches that scatter a little around these changes."""
    values = at or (change,) * 3
    noise = 0.002 * np.linspace(-1, 1, 32)
    logs = np.zeros(3)
    return [
        Shown(change + e, np.array(values) + e, control + e, logs, logs)
        for e in noise[np.argsort(np.sin(noise * 1e4))]
    ]


def judged(launches: list[Shown]) -> Verdict:
    """Return the verdict at a margin of 2 %."""
    return judge_changes(launches, POINTS.recalls, margin=MARGIN)


@pytest.mark.parametrize(
    ("change", "name", "word", "exit_code"),
    [
        (0.0, "pass", "", 0),
        (-0.005, "pass", "", 0),
        (-0.015, "pass", "slower", 0),
        (-0.021, "regression", "slower", 1),
        (0.005, "pass", "", 0),
        (0.02, "pass", "faster", 0),
    ],
)
def test_verdicts_and_words_are_earned(change: float, name: str, word: str, exit_code: int) -> None:
    """A regression needs the margin, a word needs 1 %; a slowdown within the margin passes."""
    verdict = judged(shown(change))
    assert (verdict.name, verdict.word, verdict.exit_code) == (name, word, exit_code)


def test_at_one_recall_twice_the_margin_is_a_regression() -> None:
    """A slowdown by 5 % at recall 0.99 is one, if not on average as well; 3 % is none."""
    verdict = judged(shown(0.0, at=(0.02, 0.02, -0.05)))
    assert verdict.name == "regression"
    assert "0.99" in verdict.reason
    assert judged(shown(0.0, at=(0.02, 0.02, -0.03))).name == "pass"


def test_launches_that_cannot_tell_are_inconclusive_and_ask_for_more() -> None:
    """An interval over the margin is neither pass nor regression; only the last look ends it."""
    wide = [replace(one, change=one.change * 20, at=one.at * 20) for one in shown(-0.0008)]
    early, late = judged(wide[:8]), judged(wide)
    assert (early.name, early.decided, early.exit_code) == ("inconclusive", False, 3)
    assert (late.name, late.decided) == ("inconclusive", True)


def test_a_control_that_fails_makes_it_invalid() -> None:
    """Where BASE differs from itself by 1 % nothing is said but that; 0.3 % can hide nothing."""
    verdict = judged(shown(0.03, control=0.01))
    assert (verdict.name, verdict.word, verdict.exit_code) == ("invalid", "", 4)
    assert judged(shown(0.03, control=0.003)).word == "faster"


def test_between_looks_nothing_is_decided() -> None:
    """After 9 launches the verdict is not final, though after 8 it was."""
    assert judged(shown(0.0)[:8]).decided
    assert not judged(shown(0.0)[:9]).decided


def test_the_smallest_effect_is_the_margin_or_what_noise_hides() -> None:
    """Quiet launches would see a slowdown by the margin; noisy ones one as large as half their interval."""
    quiet = judged(shown(0.0))
    noisy = judged([replace(one, change=one.change * 40) for one in shown(0.0)])
    assert quiet.smallest_effect == pytest.approx(MARGIN)
    assert noisy.change is not None
    assert noisy.smallest_effect == pytest.approx(1 - np.exp(-noisy.change.half_width))


def test_launches_that_do_not_count_are_counted() -> None:
    """A launch whose quads were all disturbed adds nothing to the estimate, and is told."""
    made = Machine(3).launches()
    launches = [next(made) for _ in range(9)]
    for quad in launches[4].quads:
        quad.disturbed = True
    verdict = judge(launches, (POINTS,), clock="cpu", margin=MARGIN)
    assert verdict.void == 1
    assert verdict.change is not None
    assert verdict.change.launches == 8
