"""The trend: what is comparable, and where the level shifted (by seeded simulation)."""

import numpy as np
import pytest

from ann_bench.trend import find_shifts, make_series, noise
from tests.entries import make_entry, make_history, make_state, noisy


def series_of(qps, **changes):
    """Return the one series of a history."""
    (series,) = make_series(make_history(qps, **changes), 0.95)
    return series


def test_a_step_of_5_percent_in_noise_of_1_percent_is_found_in_its_place():
    """In 98 or more of 100 seeds it is the one shift, in 90 or more at the very run, never over 2 off."""
    found = [find_shifts(noisy([100.0] * 25 + [105.0] * 15, seed=seed)) for seed in range(100)]
    single = [shifts[0] for shifts in found if len(shifts) == 1]
    assert len(single) >= 98
    assert all(abs(place - 25) <= 2 for place in single)
    assert single.count(25) >= 90


def test_noise_has_no_shifts():
    """In 95 or more of 100 seeds none is told among 40 points, nor among 6 or 12."""
    for count in (6, 12, 40):
        assert sum(not find_shifts(noisy([100.0] * count, seed=seed)) for seed in range(100)) >= 95


def test_one_bad_run_is_no_level():
    """A run 20 % slower makes no more shifts than noise does, wherever it is, the newest included."""
    for place in (0, 1, 14, 28, 29):
        levels = [100.0] * 30
        levels[place] = 80.0
        assert sum(not find_shifts(noisy(levels, seed=seed)) for seed in range(100)) >= 95


@pytest.mark.parametrize(("new", "shifts"), [(1, []), (2, []), (3, [27]), (4, [26])])
def test_a_level_counts_from_its_third_run_on(new, shifts):
    """Of one or two new runs nothing is told, rather than the wrong place."""
    assert find_shifts(noisy([100.0] * (30 - new) + [108.0] * new, seed=2)) == shifts


def test_several_shifts_are_found():
    """Up, down and up again."""
    levels = [100.0] * 10 + [110.0] * 8 + [100.0] * 9 + [120.0] * 10
    assert find_shifts(noisy(levels, seed=3)) == [10, 18, 27]


def test_runs_that_are_equal_have_no_shift_but_a_step_has():
    """Without any noise a rounding error is no shift, and 5 % are."""
    assert find_shifts([100.0, 100.0, 100.0, 100.001, 100.001, 100.001, 100.001]) == []
    assert find_shifts([100.0] * 4 + [105.0] * 4) == [4]


def test_fewer_than_six_points_have_no_shift():
    """However far apart they are."""
    assert find_shifts([1.0, 1.0, 9.0, 9.0, 9.0]) == []
    assert find_shifts([1.0, 1.0, 1.0, 9.0, 9.0, 9.0]) == [3]
    assert find_shifts([]) == []


def test_noise_is_that_of_runs_whatever_the_shifts():
    """The estimate stays near 1 % over a step of 50 %."""
    estimates = [noise(noisy([100.0] * 20 + [150.0] * 20, seed=seed)) for seed in range(50)]
    assert np.mean(estimates) == pytest.approx(0.01, rel=0.1)


def test_a_shift_tells_states_and_the_ratio_of_the_levels():
    """The last run before it, the first after it, and geometric means of what lies between."""
    series = series_of([100.0, 102.0, 101.0, 100.0, 111.0, 110.0, 112.0, 111.0])
    (shift,) = series.shifts
    assert (shift.at, shift.before.name, shift.after.name) == (4, "1.3.0", "1.4.0")
    assert shift.ratio == pytest.approx(
        np.exp(np.mean(np.log([111, 110, 112, 111])) - np.mean(np.log([100, 102, 101, 100])))
    )
    assert [(level.first, level.stop) for level in series.levels] == [(0, 4), (4, 8)]


def test_the_smallest_ratio_is_about_what_a_simulation_finds():
    """A half-way step of that size is found about every other time, one twice as large nearly always."""
    quiet = series_of(noisy([100.0] * 40, seed=7))
    step = quiet.smallest_ratio - 1

    def found(size):
        halves = [100.0] * 20 + [100.0 * (1 + size)] * 20
        return sum(bool(find_shifts(noisy(halves, noise=quiet.noise, seed=seed))) for seed in range(100))

    assert 20 <= found(step) <= 80
    assert found(2 * step) >= 95
    assert found(step / 4) <= 10


@pytest.mark.parametrize(
    "change",
    [
        {"cpu": "Another CPU"},
        {"k": 100},
        {"mode": "batch"},
        {"threads": 2},
        {"dataset": make_entry().dataset.model_copy(update={"sha256": "00" * 32})},
        {"kind": "comparison", "verdict": "pass"},
        {"algorithms": {"hnswlib": make_state(settings="another grid")}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_does_not_compare_is_never_in_one_series(change):
    """Another machine, k, mode, number of threads, dataset content, kind of run or grid makes its own."""
    series = make_series([*make_history([1.0, 2.0]), make_entry(**change)], 0.95)
    assert sorted(len(one.points) for one in series) == [1, 2]


def test_runs_are_in_the_order_of_time_whatever_that_of_the_file():
    """Two histories that were put together give one trend; zones of time count."""
    first, second, third = make_history([1.0, 2.0, 3.0])
    early = third.model_copy(update={"when": "2026-10-01T11:00:00+02:00"})
    (series,) = make_series([second, first, early], 0.95)
    assert [point.speed.qps for point in series.points] == [3.0, 1.0, 2.0]


def test_a_run_that_tells_an_earlier_ones_numbers_counts_once():
    """A run that found all measured already is no evidence of a steady level, nor one back at old results."""
    times = ["2026-10-01T00:00:00+00:00", "2026-10-02T00:00:00+00:00"]
    entries = [
        make_entry({"hnswlib": make_state(10.0 + which, measured=times[which])}, days=day)
        for day, which in enumerate([0, 0, 1, 0, 1])
    ]
    (series,) = make_series(entries, 0.95)
    assert [point.speed.qps for point in series.points] == [10.0, 11.0]


def test_runs_below_the_recall_are_counted_and_left_out():
    """A null is no speed of zero."""
    series = series_of([1.0, None, 2.0])
    assert [point.speed.qps for point in series.points] == [1.0, 2.0]
    assert series.unreached == 1
    assert series_of([None]).levels == ()


def test_names_tell_builds_and_labels_apart():
    """A commit of the engine is short; a digest is told where one version had several, a label always."""
    engine = {"library": "ann_bench", "library_version": "0.1.0"}
    entries = [
        make_entry({"a": make_state(state="0123456789ab+", **engine), "b": make_state()}, days=0),
        make_entry({"a": make_state(state="fedcba987654", **engine), "b": make_state()}, days=1, label="x"),
        make_entry({"b": make_state(library_digest="cd" * 32), "c": make_state(state="20260101")}, days=2),
    ]
    names = {s.algorithm: [p.name for p in s.points] for s in make_series(entries, 0.95)}
    assert names == {
        "a": ["0123456+", "fedcba9 “x”"],
        "b": ["1.0.0 (ababab)", "1.0.0 (ababab) “x”", "1.0.0 (cdcdcd)"],
        "c": ["20260101"],
    }
