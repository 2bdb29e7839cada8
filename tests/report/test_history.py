"""What the figure of a trend holds: points, intervals, levels, shifts, names that do not touch."""

import itertools

import numpy as np
import pytest

from ann_bench.report.history import draw, facts
from ann_bench.report.style import drawing
from ann_bench.trend import make_series
from tests.entries import make_entry, make_history, make_state, noisy
from tests.report.test_figure import overlaps, texts

STEP = noisy([10_000.0] * 12 + [10_900.0] * 10 + [10_300.0] * 8, seed=3)


def figure(entries):
    """Return the figure of all series of a history at recall 0.95."""
    return draw(make_series(entries, 0.95))


def many(count, runs=12):
    """Return a history of several algorithms."""
    return [entry for i in range(count) for entry in make_history(noisy([100.0] * runs, seed=i), f"a{i:02}")]


def segments(axes):
    """Return the drawn segments of intervals and of levels as arrays of ends."""
    intervals, *levels = axes.collections
    return intervals.get_segments(), [level.get_segments()[0] for level in levels]


def test_each_run_is_a_point_with_its_interval():
    """Points stand in the order of time at their qps; bars span low to high."""
    (axes,) = figure(make_history(STEP)).axes
    points = axes.get_lines()[0]
    assert list(points.get_xdata()) == list(range(30))
    assert np.allclose(points.get_ydata(), STEP)
    bars, _ = segments(axes)
    assert np.allclose([bar[:, 1] for bar in bars], [(qps * 0.98, qps * 1.02) for qps in STEP])


def test_levels_and_shifts_are_marked():
    """A line at the mean of each level, an upright one between the runs of each shift, its ratio above."""
    (axes,) = figure(make_history(STEP)).axes
    _, levels = segments(axes)
    means = [np.exp(np.mean(np.log(part))) for part in (STEP[:12], STEP[12:22], STEP[22:])]
    assert np.allclose([level[0, 1] for level in levels], means)
    assert [line.get_xdata()[0] for line in axes.get_lines()[1:]] == [11.5, 21.5]
    ratios = [means[1] / means[0], means[2] / means[1]]
    assert [text.get_text()[1:] for text in axes.texts] == [f"{ratio:.3f}" for ratio in ratios]


def test_runs_are_named_by_their_states():
    """Every run where there is room; of many the edges of levels are named at least."""
    (axes,) = figure(make_history(STEP)).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == [f"1.{i}.0" for i in range(30)]
    (axes,) = figure(make_history(noisy([100.0] * 150 + [120.0] * 151))).axes
    named = [label.get_text() for label in axes.get_xticklabels()]
    assert {"1.0.0", "1.150.0", "1.300.0"} <= set(named)
    assert 20 < len(named) < 100


def test_a_single_run_is_drawn_with_room_around_it():
    """One point with its interval in the middle, and no level; the head says why no shifts are told."""
    drawn = figure([make_entry()])
    (axes,) = drawn.axes
    bars, levels = segments(axes)
    assert len(bars) == 1
    assert levels == []
    low, high = axes.get_ylim()
    assert low < 9_800 < 10_200 < high
    assert any("1 run, 2026-10-01 · shifts are looked for from 6 runs on" in text for text in texts(drawn))


def test_a_series_has_a_panel_of_its_own_and_what_they_share_stands_above():
    """Two machines are two panels with their names; dataset and k are told once."""
    drawn = figure([*make_history([1.0, 2.0]), *make_history([3.0], cpu="Another CPU")])
    assert len(drawn.axes) == 2
    assert sum("glove-4-angular · k = 10" in text for text in texts(drawn)) == 1
    assert sum(text.startswith("Another CPU") for text in texts(drawn)) == 1


def test_series_that_would_read_the_same_are_told_apart():
    """Two grids of one preset get the start of their hashes; others do not."""
    states = [make_state(settings=digits * 6) for digits in ("ab", "cd")]
    series = make_series([make_entry({"hnswlib": state}) for state in states], 0.95)
    assert [told[-1] for told in facts(series)] == ["settings ababab", "settings cdcdcd"]
    assert not any("settings" in fact for told in facts(series[:1]) for fact in told)


def test_wide_intervals_do_not_press_the_others_flat():
    """The axis goes by most of the intervals, and not far beyond the points; it holds all of these."""
    entries = make_history([100.0, 101.0] * 10)
    wide = make_state().qps_at["0.95"].model_copy(update={"qps": 100.0, "low": 1.0, "high": 900.0})
    odd = make_entry({"hnswlib": make_state(qps_at={"0.95": wide})}, days=30)
    low, high = figure([*entries, odd]).axes[0].get_ylim()
    assert 80 < low < 100
    assert 101 < high < 120
    low, high = figure([odd]).axes[0].get_ylim()
    assert 70 < low < 100 < high < 130


def test_the_ratios_of_near_shifts_stand_side_by_side():
    """Where the marks are closer than their ratios are wide, at either end too, these move apart."""
    levels = [100.0] * 3 + [130.0] * 3 + [160.0] * 80 + [190.0] * 3 + [220.0] * 3
    drawn = figure(make_history(noisy(levels)))
    assert overlaps(drawn) == []
    marks = [text.get_window_extent() for text in drawn.axes[0].texts]
    assert len(marks) == 4
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(marks))


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_nothing_touches_and_nothing_leaves_the_figure(count):
    """Names, ticks, heads and marks of shifts keep apart, in one column and in two."""
    drawn = figure([*many(count), *make_history(STEP, "hnswlib", label="a label that goes on and on")])
    assert overlaps(drawn) == []
    with drawing():
        renderer = drawn.canvas.get_renderer()
        marks = [text.get_window_extent(renderer) for axes in drawn.axes for text in axes.texts]
        heads = [text.get_window_extent(renderer) for text in drawn.texts]
    assert len(marks) == 2
    assert not any(mark.overlaps(other) for mark in marks for other in (*heads, *marks) if other is not mark)


def test_more_series_than_fit_are_counted():
    """24 panels are drawn, and a line says how many series have none, those without points among them."""
    drawn = figure([*many(26, runs=1), make_entry({"never": make_state(None)})])
    assert len(drawn.axes) == 24
    assert any(text.startswith("3 more series not drawn") for text in texts(drawn))
