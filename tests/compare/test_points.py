"""The points at which two sides are compared."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ann_bench.compare.points import Points, Searched, choose
from ann_bench.errors import InvalidComparisonError
from ann_bench.frontier import nines

ANSWERS = 10_000
TARGETS = (0.9, 0.95, 0.99)


def side(*recalls: float, factor: float = 1.0) -> list[Searched]:
    """Return settings on one curve, log(time) linear in the nines; `factor` times as slow."""
    logs = 9 + 1.5 * nines(recalls, ANSWERS)
    return [
        Searched({"ef": number}, recall, float(factor * np.exp(log)))
        for number, (recall, log) in enumerate(zip(recalls, logs, strict=True))
    ]


def changes(points: Points) -> np.ndarray:
    """Return window and recalls of what the settings' own times show."""
    base, new = (np.log([s.ns_per_query for s in settings]) for settings in (points.base, points.new))
    window, at = points.changes(base - new, base)
    return np.array([window, *at])


recalls = st.lists(st.integers(5, 995), min_size=3, max_size=9, unique=True).map(
    lambda found: [0.80, *(0.8 + value * 0.195 / 1000 for value in sorted(found)), 0.996]
)


@given(recalls, recalls, st.floats(0.3, 3.0))
def test_a_side_that_is_faster_everywhere_is_faster_by_just_that(
    base: list[float], new: list[float], factor: float
) -> None:
    """Whatever settings the sides have, at equal recall the change is that between their curves."""
    points = choose(side(*base), side(*new, factor=1 / factor), TARGETS, answers=ANSWERS)
    assert changes(points) == pytest.approx(np.log(factor), abs=1e-9)


@given(recalls)
def test_like_is_compared_with_like(found: list[float]) -> None:
    """Sides with the same settings and recalls are compared at the same settings, pair by pair."""
    points = choose(side(*found), side(*found, factor=1.7), TARGETS, answers=ANSWERS)
    assert [one.query for one in points.base] == [other.query for other in points.new]


def test_the_points_enclose_the_targets_and_are_few() -> None:
    """For each target the two neighbours, each pair once."""
    points = choose(*[side(0.7, 0.85, 0.91, 0.94, 0.96, 0.98, 0.995, 0.999)] * 2, TARGETS, answers=ANSWERS)
    assert [setting.recall for setting in points.base] == [0.85, 0.91, 0.94, 0.96, 0.98, 0.995]
    assert points.targets == TARGETS
    assert points.window == (0.9, 0.99)


def test_the_window_is_what_both_enclose() -> None:
    """A target that one side does not reach is left out, and the window ends where the side does."""
    points = choose(side(0.85, 0.93, 0.97), side(0.88, 0.95, 0.999), TARGETS, answers=ANSWERS)
    assert points.targets == (0.9, 0.95)
    assert points.window == (0.9, 0.97)


@pytest.mark.parametrize(
    ("base", "new"),
    [((0.5, 0.85), (0.5, 0.999)), ((0.5, 0.91), (0.5, 0.999)), ((0.95, 0.96), (0.96, 0.97))],
)
def test_too_little_in_common_is_no_comparison(base: tuple[float, ...], new: tuple[float, ...]) -> None:
    """Less than 0.02 of recall that both enclose is refused, with what each reaches and what to do."""
    with pytest.raises(InvalidComparisonError, match=r"BASE reaches .* NEW reaches .*--recall") as caught:
        choose(side(*base), side(*new), TARGETS, answers=ANSWERS)
    assert caught.value.exit_code == 4


def test_one_target_is_a_window_of_its_own() -> None:
    """With one recall asked for the change is the one there."""
    points = choose(side(0.9, 0.99), side(0.9, 0.99, factor=0.5), (0.95,), answers=ANSWERS)
    assert points.window == (0.95, 0.95)
    assert changes(points) == pytest.approx(np.log(2))


def test_exact_searches_are_compared_at_their_one_setting() -> None:
    """Sides with one setting and one recall have one point, and no window is asked of them."""
    points = choose(side(1.0), side(1.0, factor=2), TARGETS, answers=ANSWERS)
    assert points.recalls == (1.0,)
    assert changes(points) == pytest.approx(-np.log(2))


def test_a_recall_that_only_base_reaches_is_missed() -> None:
    """What NEW does not reach is told; what no setting of NEW is below is no loss."""
    points = choose(side(0.85, 0.95, 0.995), side(0.85, 0.95, 0.98), TARGETS, answers=ANSWERS)
    assert (points.targets, points.missed) == ((0.9, 0.95), (0.99,))
    points = choose(side(0.85, 0.95, 0.995), side(0.93, 0.97, 0.995), TARGETS, answers=ANSWERS)
    assert (points.targets, points.missed) == ((0.95, 0.99), ())


def test_settings_of_its_own_are_taken_where_they_are_quicker() -> None:
    """NEW is not held to the settings of BASE where others beat those by more than a look can err."""
    base = side(0.85, 0.92, 0.98, 0.995)
    slow = [replace(one, ns_per_query=20 * one.ns_per_query) for one in base]
    quick = [replace(one, query={"ef": 10 + one.query["ef"]}) for one in side(0.86, 0.93, 0.97, 0.996)]
    points = choose(base, [*slow, *quick], TARGETS, answers=ANSWERS)
    assert {one.query["ef"] for one in points.new} == {10, 11, 12, 13}
    assert changes(points) == pytest.approx(0.0, abs=1e-9)


def test_recalls_that_are_close_can_be_asked_for() -> None:
    """Between 0.99 and 0.999 there is a window, though they are less than 0.02 apart."""
    points = choose(side(0.98, 0.995, 0.9995), side(0.98, 0.995, 0.9995), (0.99, 0.999), answers=ANSWERS)
    assert points.targets == (0.99, 0.999)


def test_another_build_has_its_own_recalls() -> None:
    """A build that finds a little less is read off at its own recalls, with the same settings."""
    points = choose(side(0.85, 0.95, 0.995), side(0.85, 0.95, 0.995), TARGETS, answers=ANSWERS)
    moved = points.at_recalls(side(0.84, 0.94, 0.994), side(0.84, 0.94, 0.994))
    assert [setting.recall for setting in moved.base] == [
        {0.85: 0.84, 0.95: 0.94, 0.995: 0.994}[setting.recall] for setting in points.base
    ]
    assert moved.window == points.window


def test_room_takes_settings_that_enclose_the_window_by_that_much() -> None:
    """A neighbour that other queries may put inside the window is taken with the next; those inside stay."""
    recalls = (0.8, 0.898, 0.94, 0.96, 0.991, 0.995)
    near = choose(*[side(*recalls)] * 2, TARGETS, answers=ANSWERS)
    far = choose(*[side(*recalls)] * 2, TARGETS, answers=ANSWERS, room=(0.005, 0.002))
    assert [setting.recall for setting in near.base] == [0.898, 0.94, 0.96, 0.991]
    assert [setting.recall for setting in far.base] == list(recalls)
    assert (far.window, far.targets) == (near.window, near.targets)


def test_room_that_no_side_has_is_not_asked_for() -> None:
    """Where the settings end, so do the points."""
    sides = side(0.89, 0.93, 0.97), side(0.88, 0.95, 0.995)
    assert choose(*sides, TARGETS, answers=ANSWERS, room=(0.1, 0.1)) == choose(
        *sides, TARGETS, answers=ANSWERS
    )


def test_what_is_reported_is_what_the_other_queries_show() -> None:
    """Recalls, times and their number are the other look's; the rest stays where that encloses it, too."""
    points = choose(side(0.85, 0.95, 0.995), side(0.86, 0.97, 0.999), TARGETS, answers=ANSWERS)
    other = side(0.84, 0.94, 0.994, factor=2), side(0.85, 0.96, 0.998, factor=3)
    told = points.reported(*other, 50)
    assert told == replace(points, base=tuple(other[0]), new=tuple(other[1]), answers=50)


def test_a_recall_that_the_other_queries_do_not_enclose_is_not_reported() -> None:
    """The window ends where they end; what only NEW does not reach any more is missed."""
    points = choose(side(0.85, 0.95, 0.995), side(0.86, 0.97, 0.992), TARGETS, answers=ANSWERS)
    told = points.reported(side(0.92, 0.95, 0.995), side(0.86, 0.97, 0.98), 50)
    assert (told.window, told.targets, told.missed) == ((0.92, 0.98), (0.95,), (0.99,))


def test_other_queries_that_enclose_nothing_are_no_comparison() -> None:
    """The error tells what each side reaches there; nothing is read off beyond it."""
    points = choose(side(0.94, 0.96), side(0.94, 0.96), (0.95,), answers=ANSWERS)
    with pytest.raises(
        InvalidComparisonError, match=r"BASE reaches 0\.951 to 0\.961 .* asked for was 0\.95;"
    ):
        points.reported(side(0.951, 0.961), side(0.94, 0.96), 50)


def test_exact_searches_are_reported_at_the_recall_of_the_other_queries() -> None:
    """Their one recall moves with the queries."""
    points = choose(side(0.999), side(0.999), TARGETS, answers=ANSWERS)
    assert points.reported(side(1.0), side(1.0), 50).recalls == (1.0,)


def test_points_survive_being_written() -> None:
    """They come back from plain values as they were."""
    points = choose(side(0.85, 0.95, 0.995), side(0.86, 0.97, 0.999), TARGETS, answers=ANSWERS)
    assert Points.from_json(points.as_json()) == points
    assert replace(points, targets=(0.9,)) != points
