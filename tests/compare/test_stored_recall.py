"""The judgement of recall, by simulation."""

import numpy as np
import pytest
from scipy.special import ndtri

from ann_bench.compare.stored_recall import judge

QUERIES, K, MARGIN = 1_000, 10, 0.005
RECALLS = (0.5, 0.8, 0.95, 0.99)
SETTINGS = [{"M": m, "recall": recall} for m in range(3) for recall in RECALLS]


def built(random: np.random.Generator, hard: np.ndarray, loss: float) -> np.ndarray:
    """Return the recall of each setting at each query, of three indexes built with a luck of their own.

    The queries differ in how `hard` they are, (q, 1); what a setting finds, a more thorough one finds too.
    """
    rows = []
    for _ in range(3):
        luck = (hard + random.normal(size=(QUERIES, K))) / np.sqrt(2)
        rows += [(luck < ndtri(recall - loss)).mean(axis=1) for recall in RECALLS]
    return np.array(rows)


def regressions(loss: float, runs: int) -> float:
    """Return in which share of simulated comparisons anything is worse."""
    random = np.random.default_rng(7)
    found = 0
    for _ in range(runs):
        hard = random.normal(size=(QUERIES, 1))
        changes = judge(SETTINGS, built(random, hard, 0.0), built(random, hard, loss), MARGIN)
        found += any(change.decision == "worse" for change in changes)
    return found / runs


@pytest.mark.parametrize(("loss", "least", "most"), [(0.0, 0.0, 0.05), (0.01, 0.99, 1.0)])
def test_indexes_built_anew_pass_and_a_loss_of_one_percent_fails(loss, least, most):
    """Luck of the build alone fails in less than 5 % of comparisons, twice the margin in 99 % or more."""
    assert least <= regressions(loss, runs=150) <= most


def test_the_mean_of_all_settings_is_covered_by_its_interval():
    """The 95 % interval of the mean holds the true change in about 95 % of comparisons."""
    random = np.random.default_rng(8)
    covered = 0
    for _ in range(200):
        hard = random.normal(size=(QUERIES, 1))
        mean, *_ = judge(SETTINGS, built(random, hard, 0.0), built(random, hard, 0.01), MARGIN)
        covered += mean.low <= -0.01 <= mean.high
    assert 0.91 <= covered / 200 <= 0.99
