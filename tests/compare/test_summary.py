"""The line that a comparison adds to the history."""

from itertools import islice
from math import exp
from pathlib import Path
from typing import Any

import pytest

from ann_bench import history
from ann_bench.compare.store import Recorded
from ann_bench.compare.summary import history_entry
from ann_bench.history import Entry
from tests.compare.plans import make_plan, make_side
from tests.compare.simulated import Machine


def recorded(count: int = 8, *, slowdown: float = 0.0, **plan: Any) -> Recorded:
    """Return a comparison with so many launches."""
    launches = list(islice(Machine(5, slowdown=slowdown).launches(), count))
    return Recorded(make_plan(**plan), launches, Path("comparison.jsonl"))


def test_a_comparison_is_a_line_of_the_history(tmp_path: Path) -> None:
    """What was compared, and the verdict with its interval, are read again from the history."""
    comparison = recorded(slowdown=0.05)
    entry = history_entry(comparison)
    history.append(tmp_path, entry)
    (found,) = history.read(tmp_path, on_skip=pytest.fail)
    assert found == entry
    assert (entry.kind, entry.verdict, entry.preset) == ("comparison", "regression", "default")
    change = comparison.verdict().change
    assert change is not None
    assert (entry.change, entry.interval) == (exp(change.change), [exp(change.low), exp(change.high)])
    assert entry.change < 1
    state = entry.algorithms["engine-forest"]
    assert (state.state, state.library_digest) == ("commit of NEW", "digest of NEW")


def test_speeds_are_those_of_new_at_each_recall() -> None:
    """A tenth slower shows in the queries per second of NEW, within intervals."""
    (fast,), (slow,) = (
        history_entry(recorded(16, slowdown=slowdown)).algorithms.values() for slowdown in (0.0, 0.1)
    )
    assert list(fast.qps_at) == ["0.9", "0.95", "0.99"]
    for recall, between in {"0.9": (30e3, 40e3), "0.95": (40e3, 60e3), "0.99": (60e3, 150e3)}.items():
        speed = fast.qps_at[recall]
        assert speed is not None
        assert speed.low is not None
        assert speed.high is not None
        assert speed.low < speed.qps < speed.high
        assert 1e9 / between[1] < speed.high
        assert speed.low < 1e9 / between[0]
        slower = slow.qps_at[recall]
        assert slower is not None
        assert speed.qps / slower.qps == pytest.approx(1.1, rel=0.02)


@pytest.mark.parametrize("count", [0, 1])
def test_without_launches_there_are_no_numbers(count: int) -> None:
    """An interrupted comparison has no speeds and no change, and is a valid entry all the same."""
    entry = history_entry(recorded(count))
    assert (entry.verdict, entry.change, entry.interval) == ("inconclusive", None, None)
    assert set(entry.algorithms["engine-forest"].qps_at.values()) == {None}


def settings(entry: Entry) -> str:
    """Return what stands for the settings of an entry."""
    (state,) = entry.algorithms.values()
    return state.settings


def test_speeds_of_other_settings_are_told_apart() -> None:
    """Another clock, preset, index or protocol is not the same series; another seed or side is."""
    usual = settings(history_entry(recorded(0)))
    same = {"seed": 2, "margin": 0.05, "sides": {"base": make_side("other"), "new": make_side("later")}}
    assert settings(history_entry(recorded(0, **same))) == usual
    other = make_side("NEW") | {"build": {"n_trees": 20}}
    for change in (
        {"clock": "wall"},
        {"preset": "quick"},
        {"builds": 2},
        {"targets": [0.9]},
        {"protocol": {"block_ns": 1}},
        {"sides": {"base": make_side("BASE"), "new": other}},
    ):
        assert settings(history_entry(recorded(0, **change))) != usual
