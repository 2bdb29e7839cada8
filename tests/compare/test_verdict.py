"""The verdict, on simulated machines whose truth is known."""

from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from ann_bench.compare.estimate import LOOKS
from ann_bench.compare.launch import Launch, Shown
from ann_bench.compare.points import Points
from ann_bench.compare.verdict import Verdict, judge, judge_changes, units
from tests.compare.simulated import MARGIN, POINTS, Machine, covered, trials, width


def test_an_unchanged_build_is_not_accused() -> None:
    """Of 1,000 comparisons of a build with itself fewer than 5 % end in anything but `pass`, or in a word."""
    verdicts = trials(1000)
    false = [verdict for verdict in verdicts if verdict.name == "regression" or verdict.word]
    assert len(false) < 50, Counter(verdict.name for verdict in verdicts)
    assert sum(verdict.name != "pass" for verdict in verdicts) < 50
    assert covered(verdicts, 0.0) >= 0.94
    assert width(verdicts) < 0.03


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


def judged(launches: list[Shown], at: Points = POINTS) -> Verdict:
    """Return the verdict at a margin of 2 %."""
    return judge_changes(launches, at, margin=MARGIN)


def some(count: int, **of_a_machine: float) -> list[Launch]:
    """Return the first launches of a machine."""
    return list(islice(Machine(3, **of_a_machine).launches(), count))


def test_fewer_launches_than_a_look_takes_tell_nothing() -> None:
    """However large the change, 7 launches are no verdict and no word; nor are 8 of which one is void."""
    launches = some(8, slowdown=0.2)
    for quad in launches[4].quads:
        quad.disturbed = True
    for made in (launches[:2], launches[1:], launches):
        verdict = judge(made, (POINTS,), clock="cpu", margin=MARGIN)
        assert (verdict.name, verdict.word, verdict.decided) == ("inconclusive", "", False)


@pytest.mark.parametrize(("made", "looked"), [(9, 8), (15, 8), (31, 16)])
def test_between_looks_the_last_look_counts(made: int, looked: int) -> None:
    """Stopping between looks is no look of its own: the launches since then are not read."""
    launches = some(made, slowdown=0.02)
    now, then = (judge(launches[:n], (POINTS,), clock="cpu", margin=MARGIN) for n in (made, looked))
    assert replace(now, decided=False) == replace(then, decided=False)
    assert not now.decided


def by_builds(seed: int, builds: int, luck: float) -> Verdict:
    """Return the verdict on sides that are alike, of which each pair of indexes has a luck of its own."""
    random = np.random.default_rng(seed)
    of_build = random.normal(0, luck, builds)
    made: list[int] = []
    launches: list[Shown] = []
    logs = np.zeros(3)
    for look in LOOKS:
        while len(launches) < look:
            made.append(len(made) % builds)
            change = of_build[made[-1]] + random.normal(0, 0.0075)
            control = random.normal(0, 0.005)
            launches.append(Shown(change, np.full(3, change), control, logs, logs))
        verdict = judge_changes(units(made, launches), POINTS, margin=MARGIN, launches=look)
        if verdict.decided:
            return verdict
    raise AssertionError


@pytest.mark.parametrize(("builds", "luck"), [(8, 0.02), (8, 0.035), (16, 0.035)])
def test_luck_with_indexes_is_no_change(builds: int, luck: float) -> None:
    """Where indexes differ by more than the margin, pairs of indexes are the unit, and none is accused."""
    verdicts = [by_builds(seed, builds, luck) for seed in range(400)]
    false = sum(verdict.name == "regression" or bool(verdict.word) for verdict in verdicts)
    assert false < 0.05 * 400
    assert covered(verdicts, 0.0) >= 0.94


def test_two_pairs_of_indexes_tell_nothing() -> None:
    """However many launches there are of them."""
    assert {by_builds(seed, 2, 0.035).name for seed in range(50)} <= {"inconclusive", "invalid"}
    assert not any(by_builds(seed, 2, 0.035).word for seed in range(50))


def test_one_index_of_each_side_leaves_room_for_luck() -> None:
    """A change within the luck of the draw is no verdict, and says what to do; one far beyond it is."""
    lucky = replace(POINTS, luck=(0.03,) * 4)
    verdict = judged(shown(-0.05), lucky)
    assert (verdict.name, verdict.word) == ("inconclusive", "")
    assert "--builds 16" in verdict.reason
    assert judged(shown(-0.05)).name == "regression"
    assert (judged(shown(-0.2), lucky).name, judged(shown(0.2), lucky).word) == ("regression", "faster")


def test_less_recall_than_before_does_not_pass() -> None:
    """Where NEW does not reach a recall that BASE reaches, the recalls that are left do not decide."""
    verdict = judged(shown(0.0), replace(POINTS, missed=(0.99,)))
    assert (verdict.name, verdict.exit_code) == ("invalid", 4)
    assert "0.99" in verdict.reason


def test_what_waits_does_not_pass_by_its_cpu_time() -> None:
    """NEW that takes no more CPU time but twice the wall time is not said to pass."""
    launches = some(8)
    for quad in (quad for launch in launches for quad in launch.quads if not quad.control):
        of_new = [(place in (1, 2)) != quad.swapped for place in range(4)]
        quad.wall_ns = [2 * ns if new else ns for ns, new in zip(quad.cpu_ns, of_new, strict=True)]
    verdict = judge(launches, (POINTS,), clock="cpu", margin=MARGIN)
    assert verdict.name == "inconclusive"
    assert "--clock wall" in verdict.reason
    assert judge(launches, (POINTS,), clock="wall", margin=MARGIN).name == "regression"


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


def test_the_smallest_effect_is_the_margin_or_what_noise_hides() -> None:
    """Quiet launches would see a slowdown by the margin; noisy ones one as large as half their interval."""
    quiet = judged(shown(0.0))
    noisy = judged([replace(one, change=one.change * 40) for one in shown(0.0)])
    assert quiet.smallest_effect == pytest.approx(MARGIN)
    assert noisy.change is not None
    assert noisy.smallest_effect == pytest.approx(1 - np.exp(-noisy.change.half_width))


def test_launches_that_do_not_count_are_counted() -> None:
    """A launch whose quads were all disturbed adds nothing to the estimate, and is told."""
    launches = some(9)
    for quad in launches[4].quads:
        quad.disturbed = True
    verdict = judge(launches, (POINTS,), clock="cpu", margin=MARGIN)
    assert verdict.void == 1
    assert verdict.change is not None
    assert verdict.change.launches == 8
