"""The estimate of a change and its interval."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ann_bench.compare.estimate import ALPHA, LOOKS, SPENT, alpha_of, estimate, p_slower

changes = st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=20, unique=True)


def test_the_looks_spend_alpha_and_no_more() -> None:
    """What the looks spend adds up to 5 %, and the first can be paid with 8 launches."""
    assert sum(SPENT) == pytest.approx(ALPHA)
    assert SPENT[0] >= 2 / 2 ** LOOKS[0]
    assert [alpha_of(n) for n in (2, 8, 9, 16, 31, 32, 40)] == [SPENT[look] for look in (0, 0, 0, 1, 1, 2, 2)]


@given(changes, st.floats(-0.3, 0.3))
def test_an_estimate_lies_in_its_interval_and_moves_with_the_changes(values: list[float], by: float) -> None:
    """The interval holds the estimate; a constant added to all changes moves all three by it."""
    before, after = estimate(values), estimate([value + by for value in values])
    assert before.low <= before.change <= before.high
    for end in ("low", "change", "high"):
        assert getattr(after, end) == pytest.approx(getattr(before, end) + by, abs=1e-12)


@given(changes)
def test_the_sides_are_alike(values: list[float]) -> None:
    """With the sides exchanged the estimate and its interval are mirrored."""
    one, other = estimate(values), estimate([-value for value in values])
    assert (one.low, one.change, one.high) == pytest.approx((-other.high, -other.change, -other.low))


@pytest.mark.parametrize("n", [3, 6, 8])
def test_the_interval_holds_the_truth_as_often_as_it_says(n: int) -> None:
    """Over all signs of the distances from the truth, the share of intervals that miss it is exact."""
    distances = np.random.default_rng(n).random(n) + 0.01
    missed = 0
    for signs in itertools.product((-1, 1), repeat=n):
        found = estimate(distances * signs, 0.2)
        missed += not found.low <= 0 <= found.high
    assert 1 - missed / 2**n == pytest.approx(found.confidence)
    assert found.confidence >= 0.8 or n == 3


def test_few_launches_give_the_interval_that_they_can() -> None:
    """Three launches cannot pay for 99 %: the interval is all that they span, and says what that is worth."""
    found = estimate([0.1, 0.2, 0.4], 0.01)
    assert (found.low, found.high, found.confidence) == (0.1, 0.4, 0.75)


@given(changes)
def test_the_p_value_is_that_of_the_signed_rank_test(values: list[float]) -> None:
    """It agrees with SciPy's exact test."""
    sizes = {abs(value) for value in values}
    if len(sizes) == len(values) and 0 not in sizes:
        expected = stats.wilcoxon(values, alternative="less", method="exact").pvalue
        assert p_slower(values) == pytest.approx(expected)
