"""How recall changed between stored measurements of the same settings, query by query.

A t interval over the queries tells what other queries of this kind would have shown, not what another build
of the index would: that is left to the margin. The mean over all settings has a 95 % interval of its own;
those of the single settings hold jointly (Bonferroni's bound). In simulations of indexes built anew, 21
settings and 1,000 queries, one would else look worse by 0.005 in 30 % of the comparisons instead of 2 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from ann_bench import results
from ann_bench.compare.findings import Parameters, RecallChange
from ann_bench.compare.matching import Pair
from ann_bench.datasets import load_dataset
from ann_bench.errors import DatasetError, InvalidComparisonError, ResultsError, UsageError
from ann_bench.metrics import Counts, Sample, Truth, right_answers
from ann_bench.results import Record

Floats = npt.NDArray[np.float64]
_ALPHA = 0.05


def find_truth(record: Record) -> Truth | None:
    """Return the exact answers to all queries of a record's dataset; None if it is not on this machine."""
    data, queries = record["dataset"], record["identity"].get("queries")
    rows, available = data["n"], data.get("rows_available") or data["n"]
    try:
        dataset = load_dataset(
            data["name"],
            k=record["k"],
            queries=queries if queries and queries < data["queries_available"] else None,
            subset=rows if rows < available else None,
            offline=True,
        )
    except (DatasetError, UsageError):
        return None
    return Truth.of(dataset) if dataset.sha256 == data["sha256"] else None


def recall_changes(
    pairs: Sequence[Pair], truth: Truth | None, margin: float
) -> tuple[list[RecallChange], list[str]]:
    """Return how recall changed, on average over the settings and then at each, and what is to be said of it.

    Parameters
    ----------
    pairs
        Settings on the dataset that `truth` belongs to.
    truth
        Exact answers to all queries; without them the stored recall is compared, and there is no interval.
    margin
        The loss that is tolerated.

    Raises
    ------
    InvalidComparisonError
        If the stored answers of a measurement cannot be read.
    """
    if truth is None:
        return _stored(pairs, margin)
    answered = [(pair, both) for pair in pairs if (both := _both_answers(pair, truth))]
    base, new = np.full((2, len(answered), len(truth.neighbors)), np.nan)
    for row, (_, sides) in enumerate(answered):
        for recall, answers in zip((base, new), sides, strict=True):
            # So that the mean over the queries is the recall also where fewer than k can be found.
            recall[row, answers.queries] = answers.right / answers.attainable.mean()
    lost = len(pairs) - len(answered)
    remarks = [f"recall: {lost} of {len(pairs)} settings have no query in common"] if lost else []
    return judge([pair.setting for pair, _ in answered], base, new, margin), remarks


def judge(settings: Sequence[Parameters], base: Floats, new: Floats, margin: float) -> list[RecallChange]:
    """Return how recall changed on average over the settings, then at each; nothing without settings.

    Parameters
    ----------
    settings
        Build and query parameters.
    base, new
        Recall of each setting at each query, shape (settings, queries); NaN where that was not asked.
    margin
        The loss that is tolerated.
    """
    if not settings:
        return []
    changes = []
    for setting, ours, theirs in zip(settings, base, new, strict=True):
        sides = float(np.nanmean(ours)), float(np.nanmean(theirs))
        changes.append(_change(setting, sides, theirs - ours, _ALPHA / len(settings), margin))
    of_query = new - base
    mean = np.nanmean(of_query[:, ~np.isnan(of_query).all(axis=0)], axis=0)
    return [_change(None, _means(changes), mean, _ALPHA, margin), *changes]


@dataclass(frozen=True)
class _Answers:
    """The stored answers of one measurement: the queries, and how many are right out of how many."""

    queries: npt.NDArray[np.int64]
    right: Counts
    attainable: Counts

    def at(self, positions: npt.NDArray[np.intp]) -> "_Answers":
        """Return only those to some of the queries."""
        return _Answers(self.queries[positions], self.right[positions], self.attainable[positions])


def _both_answers(pair: Pair, truth: Truth) -> tuple[_Answers, _Answers] | None:
    """Return both sides' answers to the queries that both were asked; None if there is nothing to find."""
    ours, theirs = _answers(pair.base, truth), _answers(pair.new, truth)
    _, first, second = np.intersect1d(ours.queries, theirs.queries, assume_unique=True, return_indices=True)
    return (ours.at(first), theirs.at(second)) if ours.attainable[first].any() else None


def _answers(record: Record, truth: Truth) -> _Answers:
    path = Path(record["path"])
    try:
        arrays = results.read(path).arrays
        asked = arrays.get("query_index", np.arange(len(arrays["neighbors"])))
        part = Truth(truth.neighbors[asked], truth.distances[asked], truth.scale[asked], truth.n_train)
        return _Answers(asked, *right_answers(Sample(record, arrays, part)))
    except (ResultsError, KeyError, IndexError, ValueError) as error:
        raise InvalidComparisonError(
            f"{path}: its answers cannot be read ({error}); measure again"
        ) from error


def _change(
    setting: Parameters | None, sides: tuple[float, float], of_query: Floats, alpha: float, margin: float
) -> RecallChange:
    """Return the change with the t interval of the mean of `of_query`, NaN where a query was not asked."""
    of_query = of_query[~np.isnan(of_query)]
    mean, queries = float(of_query.mean()), len(of_query)
    low = high = None
    if queries > 1:
        half = float(stdtrit(queries - 1, 1 - alpha / 2) * of_query.std(ddof=1) / np.sqrt(queries))
        low, high = mean - half, mean + half
    return RecallChange(setting, *sides, change=mean, low=low, high=high, queries=queries, margin=margin)


def _stored(pairs: Sequence[Pair], margin: float) -> tuple[list[RecallChange], list[str]]:
    """Return the changes of the stored recall, of settings that were asked the same queries."""
    told = [(pair.setting, both) for pair in pairs if pair.same_queries and (both := pair.metric("recall"))]
    changes = [_without_interval(setting, both, margin) for setting, both in told]
    if not changes:
        return [], []
    name = pairs[0].base["dataset"]["name"]
    return [_without_interval(None, _means(changes), margin), *changes], [
        f"recall: as stored, without an interval, since the dataset {name} is not at hand; "
        "ANN_BENCH_DATA names folders to look in"
    ]


def _without_interval(setting: Parameters | None, sides: tuple[float, float], margin: float) -> RecallChange:
    return RecallChange(
        setting, *sides, change=sides[1] - sides[0], low=None, high=None, queries=0, margin=margin
    )


def _means(changes: Sequence[RecallChange]) -> tuple[float, float]:
    return float(np.mean([c.base for c in changes])), float(np.mean([c.new for c in changes]))
