"""Frontiers by hand and against the definition; interpolation on them and its edges."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ann_bench.frontier import interpolate, nearest, nines, pareto

RECALL = [0.5, 0.9, 0.99, 0.95, 0.8]
QPS = [1000.0, 400.0, 100.0, 50.0, 300.0]


def test_a_frontier_by_hand():
    """Settings that another beats in both are left out; the rest comes from low recall to high."""
    assert pareto(RECALL, QPS, y_higher=True) == [0, 1, 2]


def test_directions_turn_the_frontier_round():
    """With latency smaller is better, with qps larger; in both the frontier is the same settings."""
    latency = [1 / value for value in QPS]
    assert pareto(RECALL, latency, y_higher=False) == pareto(RECALL, QPS, y_higher=True)
    assert pareto([-value for value in RECALL], QPS, x_higher=False, y_higher=True) == [0, 1, 2]


def test_equal_points_stand_once_and_missing_ones_never():
    """Of equal points the first is kept; None, NaN and infinity are on no frontier."""
    assert pareto([0.9, 0.9, 0.9], [5, 7, 7], y_higher=True) == [1]
    assert pareto([None, math.nan, 0.9, 0.9], [9, 9, math.inf, 1], y_higher=True) == [3]
    assert pareto([], [], y_higher=True) == []


coordinate = st.one_of(st.none(), st.integers(0, 5).map(float))


@given(
    points=st.lists(st.tuples(coordinate, coordinate), max_size=12),
    x_higher=st.booleans(),
    y_higher=st.booleans(),
)
def test_a_frontier_is_what_no_point_beats(points, x_higher, y_higher):
    """Checked pair by pair: on the frontier stands exactly what nothing beats, once, in the order of x."""
    signs = (1 if x_higher else -1, 1 if y_higher else -1)
    valid = {(signs[0] * x, signs[1] * y) for x, y in points if x is not None and y is not None}
    unbeaten = {p for p in valid if not any(q != p and q[0] >= p[0] and q[1] >= p[1] for q in valid)}
    x, y = [p[0] for p in points], [p[1] for p in points]
    chosen = pareto(x, y, x_higher=x_higher, y_higher=y_higher)
    found = [(signs[0] * x[index], signs[1] * y[index]) for index in chosen]
    assert sorted(unbeaten) == found


def test_interpolation_is_linear_in_log_qps_over_nines():
    """Half-way between recall 0.9 and 0.99 in nines the rate is the geometric mean."""
    middle = 1 - 10**-1.5
    assert interpolate(RECALL, QPS, middle, answers=10_000) == pytest.approx(math.sqrt(400 * 100))
    assert interpolate(RECALL, QPS, 0.9, answers=10_000) == pytest.approx(400)
    assert interpolate(RECALL, QPS, 0.99, answers=10_000) == pytest.approx(100)


def test_interpolation_does_not_care_for_order_or_points_off_the_frontier():
    """Shuffled, and without the beaten settings, the answer is the same."""
    expected = interpolate(RECALL, QPS, 0.93, answers=10_000)
    assert interpolate([0.99, 0.5, 0.9], [100, 1000, 400], 0.93, answers=10_000) == pytest.approx(expected)


def test_above_the_highest_recall_there_is_no_answer():
    """A recall that no setting reached is not extrapolated."""
    assert interpolate(RECALL, QPS, 0.995, answers=10_000) is None
    assert nearest(RECALL, QPS, 0.995, answers=10_000) is None
    assert interpolate([], [], 0.5, answers=10) is None
    assert interpolate([None], [3.0], 0.5, answers=10) is None


def test_below_the_lowest_recall_the_fastest_setting_answers():
    """Its recall is at least the one asked for, and nothing faster was measured."""
    assert interpolate(RECALL, QPS, 0.1, answers=10_000) == pytest.approx(1000)
    assert nearest(RECALL, QPS, 0.1, answers=10_000) == 0


def test_recall_1_counts_as_half_an_answer_wrong():
    """Recall 1 of 50 answers is 2 nines and no more; targets up to 1 itself can be asked for."""
    assert nines(1.0, 50) == pytest.approx(2.0)
    assert nines([0.9, 0.99], 10_000) == pytest.approx([1.0, 2.0])
    recall, qps = [0.9, 1.0], [400.0, 100.0]
    assert interpolate(recall, qps, 1 - 10**-1.5, answers=50) == pytest.approx(200)
    assert interpolate(recall, qps, 1.0, answers=50) == pytest.approx(100)
    assert interpolate([0.9, 0.99], qps, 1.0, answers=50) is None


def test_smaller_can_be_better():
    """For latencies and sizes the frontier and the interpolation turn round."""
    latency = [1e6 / value for value in QPS]
    value = interpolate(RECALL, latency, 1 - 10**-1.5, answers=10_000, higher_is_better=False)
    assert value == pytest.approx(1e6 / 200)


def test_the_ends_of_an_interval_are_read_along_the_values_that_they_belong_to():
    """`along` says whose frontier is followed; where one of its settings has no end there is none."""
    low = [900.0, 10.0, 90.0, 45.0, 290.0]
    assert interpolate(RECALL, low, 0.9, answers=10_000, along=QPS) == pytest.approx(10)
    assert interpolate(RECALL, low, 0.9, answers=10_000) > 90
    assert interpolate(RECALL, [900.0, None, 90.0, 45.0, 290.0], 0.9, answers=10_000, along=QPS) is None


def test_the_nearest_setting_is_on_the_frontier_and_near_in_nines():
    """Index of the frontier's setting nearest to the target; a beaten one is never named."""
    assert nearest(RECALL, QPS, 0.95, answers=10_000) == 1
    assert nearest(RECALL, QPS, 0.97, answers=10_000) == 2


def test_values_without_a_logarithm_are_left_out():
    """Zero, negative and missing rates cannot stand on a logarithmic axis."""
    assert interpolate([0.9, 0.95, 0.99], [100.0, 0.0, None], 0.5, answers=10) == pytest.approx(100)
    assert interpolate([0.9, 0.99], [100.0, -5.0], 0.95, answers=1000) is None
