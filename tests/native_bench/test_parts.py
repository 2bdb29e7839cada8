"""What the benchmark of native/bench is made of: the choice of settings, ratios, bars, questions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pairs import coverage, ratio, times_us
from questions import ask
from sweep import Point, choose
from table import Ratio

ANSWERS = 10_000


@dataclass(frozen=True)
class Costs:
    """Stands for an index: what `choose` looks at."""

    build: dict[str, int]
    facts: dict[str, int]


def index(n_trees: int, *, us: float) -> tuple[Any, list[Point]]:
    """Return an index, larger with more trees; a query takes `us` at recall 0.9, ten times that at 0.99."""
    points = [Point({"search_k": 1}, 0.9, us), Point({"search_k": 2}, 0.99, 10 * us)]
    return Costs({"n_trees": n_trees}, {"bytes": n_trees}), points


def test_the_fastest_index_is_taken_or_a_smaller_one_nearly_as_fast() -> None:
    """Within 5 % of the fastest the smallest is chosen, beyond that the fastest."""
    near, _ = choose([index(100, us=100), index(50, us=104), index(20, us=106)], 0.95, ANSWERS)
    far, _ = choose([index(100, us=100), index(50, us=106)], 0.95, ANSWERS)
    assert near is not None
    assert far is not None
    assert near.index.build == {"n_trees": 50}
    assert far.index.build == {"n_trees": 100}


def test_a_recall_between_two_settings_is_interpolated_in_nines() -> None:
    """0.95 lies 0.30 of the way from 0.9 to 0.99; log time goes linearly along."""
    choice, us = choose([index(50, us=100)], 0.95, ANSWERS)
    assert choice is not None
    assert [point.recall for point in choice.enclosing] == [0.9, 0.99]
    assert choice.weight == pytest.approx(np.log10(2), abs=1e-6)
    assert choice.us == us["n_trees 50"] == pytest.approx(200, rel=1e-6)


def test_a_recall_that_every_setting_exceeds_takes_the_cheapest() -> None:
    """Below the lowest recall the lowest setting stands for it; above the highest nothing does."""
    choice, _ = choose([index(50, us=100)], 0.5, ANSWERS)
    assert choice is not None
    assert [point.recall for point in choice.enclosing] == [0.9, 0.9]
    assert choose([index(50, us=100)], 0.995, ANSWERS) == (None, {})


def visit(side: int, low: float, high: float) -> dict[str, Any]:
    """Return a visit."""
    return {"side": side, "cpu_us": [low, high], "wall_us": [low, high]}


def test_a_drift_that_hits_both_sides_leaves_the_ratio_alone() -> None:
    """Theirs takes four times ours at the recall, whatever a steady drift does within a quad, or a launch."""
    launches = []
    for speed in (1.0, 3.0, 0.5, 1.2, 0.9, 1.1):
        drift = speed * np.exp([0.0, 0.1, 0.2, 0.3])
        quad = [visit(side, *drift[i] * np.array(pair)) for i, (side, pair) in enumerate(
            [(0, [10, 40]), (1, [80, 80]), (1, [80, 80]), (0, [10, 40])])]  # fmt: skip
        launches.append([quad])
    assert ratio(launches, (0.5, 0.5)) == pytest.approx((4, 4, 4))
    ours_us, theirs_us = times_us(launches, (0.5, 0.5))
    assert theirs_us / ours_us == pytest.approx(4, rel=0.2)


def test_the_interval_covers_as_often_as_it_says() -> None:
    """Of simulated runs with eight launches, the interval holds the truth as often as `coverage` tells."""
    random = np.random.default_rng(1)
    held = 0
    for _ in range(2000):
        theirs = np.exp(random.normal(size=8))
        _, low, high = ratio([[[visit(0, 1, 1), visit(1, us, us)]] for us in theirs], (0, 0))
        held += low <= 1 <= high
    assert coverage(8) >= 0.95
    assert held / 2000 == pytest.approx(coverage(8), abs=0.015)


@pytest.mark.parametrize(
    ("ends", "at_least", "met"),
    [((5.1, 5.3), True, "yes"), ((4.9, 5.3), True, "unsure"), ((1, 2), True, "NO"), ((1, 2), False, "yes")],
)
def test_a_bar_is_met_where_the_whole_interval_is_beyond_it(
    ends: tuple[float, float], at_least: bool, met: str
) -> None:
    """An interval that holds the bar decides nothing."""
    assert Ratio("qps", sum(ends) / 2, "", bar=5, at_least=at_least, interval=ends).met == met


def test_gowalla_is_asked_for_its_inner_product(tmp_path: Path) -> None:
    """Its 65th column is left out, and the answers are those of the inner product of the others."""
    random = np.random.default_rng(3)
    train = random.normal(size=(300, 64)).astype(np.float32)
    test = random.normal(size=(40, 64)).astype(np.float32)
    lengths = np.square(train).sum(axis=1)
    last = np.sqrt(lengths.max() - lengths).astype(np.float32)
    best = np.argsort(-(test.astype(np.float64) @ train.T), axis=1)[:, :20]
    with h5py.File(tmp_path / "gowalla-64-dot.hdf5", "w") as file:
        file["train"] = np.column_stack([train, last])
        file["test"] = np.pad(test, ((0, 0), (0, 1)))
        file["neighbors"] = best.astype(np.int32)
        file["distances"] = np.zeros(best.shape, dtype=np.float32)
        file.attrs["distance"] = "angular"
    questions = ask(str(tmp_path / "gowalla-64-dot.hdf5"), k=10, queries=30, seed=1)
    assert (questions.distance, questions.train.shape[1], len(questions.test)) == ("dot", 64, 30)
    assert np.array_equal(questions.train, train)
    products = questions.test.astype(np.float64) @ questions.train.T.astype(np.float64)
    exact = np.argsort(-products, axis=1)[:, :10].astype(np.int32)
    assert questions.recall(exact, 10) == 1.0
    assert questions.recall(exact[:, ::-1] + 1, 10) < 0.5
