"""Every metric: one function each, with its unit and its direction, computed from one measurement.

The functions take a `Sample` (record, arrays and ground truth of one measurement) and return a number, or
None where the measurement cannot tell: `METRICS` lists them, `compute` calls them all.

An answer counts only once per query, and only if its id names a row of the dataset. A share is a share of
what could have been found: min(k, true neighbours that exist).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from ann_bench.distances import rounding_scale

if TYPE_CHECKING:
    from ann_bench.datasets import Dataset

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Value = float | None

# Rounding moves a float64 distance by about 1e-16 of the numbers it is made of: a true neighbour survives it.
RELATIVE_TOLERANCE = 1e-6
SCALE_TOLERANCE = 1e-12

# A percentile needs about ten samples beyond it to mean anything.
_SAMPLES_FOR_P99 = 1_000
_SAMPLES_FOR_P999 = 10_000
_LAUNCHES_FOR_INTERVAL = 3


@dataclass(frozen=True)
class Truth:
    """The exact answers: `neighbors` int32 (q, K) and `distances` float64 (q, K), ascending.

    K is at least min(k, n_train). `scale` (q,) is the size of the numbers that a query's distances are made
    of (`distances.rounding_scale`).
    """

    neighbors: npt.NDArray[np.int32]
    distances: Floats
    scale: Floats
    n_train: int

    @classmethod
    def of(cls, dataset: "Dataset") -> "Truth":
        """Return the exact answers of a dataset to all its queries."""
        scale = rounding_scale(dataset.distance, dataset.test, dataset.train)
        return cls(dataset.neighbors, dataset.distances, scale, dataset.n)

    def part(self, queries: npt.NDArray[np.int64]) -> "Truth":
        """Return the truth for these queries, in this order."""
        return Truth(self.neighbors[queries], self.distances[queries], self.scale[queries], self.n_train)


@dataclass(frozen=True)
class Sample:
    """One measurement as the metrics see it; what several of them need is computed once."""

    record: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]
    truth: Truth

    def has(self, what: str) -> bool:
        """Return whether there are "answers", "latencies", "rounds"; "costs" are always there, maybe null."""
        arrays = {
            "answers": ("neighbors",),
            "latencies": ("latencies_ns",),
            "rounds": ("latencies_ns", "round_wall_ns"),
        }
        return what == "costs" or any(name in self.arrays and self.arrays[name].size for name in arrays[what])

    @cached_property
    def n_queries(self) -> int:
        """Distinct queries in a round."""
        return int(self.record["dataset"]["queries"])

    @cached_property
    def ids(self) -> npt.NDArray[np.int32]:
        """Answers, shape (q, at most k)."""
        return self.arrays["neighbors"][:, : self.record["k"]]

    @cached_property
    def distances(self) -> Floats:
        """Distances of the answers, +inf where an answer is missing, repeated or out of range."""
        distances = self.arrays["distances"][:, : self.record["k"]].astype(np.float64)
        countable = countable_answers(self.ids, self.truth.n_train) & np.isfinite(distances)
        return np.where(countable, distances, np.inf)

    @cached_property
    def exact(self) -> tuple[npt.NDArray[np.int32], Floats, npt.NDArray[np.int64]]:
        """The true neighbours and their distances, shape (q, at most k), and per query how many exist."""
        k, (rows, columns) = self.record["k"], self.truth.neighbors.shape
        if columns < min(k, self.truth.n_train) or rows < len(self.ids):
            wanted = f"{len(self.ids)} queries at k = {k}"
            raise ValueError(f"truth of shape ({rows}, {columns}) is too small for {wanted}")
        neighbors = self.truth.neighbors[: len(self.ids), :k]
        distances = self.truth.distances[: len(self.ids), :k]
        exists = (neighbors >= 0) & np.isfinite(distances)
        return np.where(exists, neighbors, -1), np.where(exists, distances, np.inf), exists.sum(axis=1)

    @cached_property
    def kth(self) -> Floats:
        """Distance of the last true neighbour per query, shape (q,); 0 if there is none."""
        _, distances, attainable = self.exact
        last = np.maximum(attainable - 1, 0)[:, None]
        return np.where(attainable > 0, np.take_along_axis(distances, last, axis=1)[:, 0], 0.0)

    @cached_property
    def latencies_us(self) -> Floats:
        """Service times in microseconds, shape (rounds, q)."""
        return self.arrays["latencies_ns"].astype(np.float64) / 1e3

    @cached_property
    def round_s(self) -> Floats:
        """Seconds per round, shape (rounds,): the sum of the latencies, or the wall time of the pass."""
        if self.has("latencies"):
            return np.asarray(self.latencies_us.sum(axis=1) / 1e6)
        return self.arrays["round_wall_ns"].astype(np.float64) / 1e9


@dataclass(frozen=True)
class Metric:
    """A metric's name, how to show it, which way is better, and the function that computes it."""

    name: str
    label: str
    unit: str
    higher_is_better: bool
    description: str
    of: Callable[[Sample], Value]


METRICS: dict[str, Metric] = {}


def compute(
    record: dict[str, Any], arrays: dict[str, npt.NDArray[Any]], truth: Truth
) -> dict[str, float | str | None]:
    """Return the value of every metric of one measurement, None where it cannot tell.

    `qps_interval` says what the interval of qps is made from: "launches", "within launch", or None.

    Parameters
    ----------
    record
        The measurement's record; `k`, `dataset.queries`, `launch_of_round`, `rounds` and `costs` are read.
    arrays
        The measurement's arrays; empty if the setting failed.
    truth
        Exact answers to at least the queries that were asked.
    """
    sample = Sample(record, arrays, truth)
    values: dict[str, float | str | None] = {name: metric.of(sample) for name, metric in METRICS.items()}
    values["qps_interval"] = _interval(sample)[2] if sample.has("rounds") else None
    return values


def countable_answers(ids: npt.NDArray[np.integer], n_train: int) -> npt.NDArray[np.bool_]:
    """Return which answers may count, shape (q, k): in range, and the first of their id in the row."""
    countable = (ids >= 0) & (ids < n_train)
    ordered = np.sort(ids, axis=1)
    rows = np.flatnonzero(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1))
    order = np.argsort(ids[rows], axis=1, kind="stable")
    ordered = np.take_along_axis(ids[rows], order, axis=1)
    first = np.ones(order.shape, dtype=bool)
    np.put_along_axis(first, order[:, 1:], ordered[:, 1:] != ordered[:, :-1], axis=1)
    countable[rows] &= first
    return countable


def t_interval(
    round_s: Floats, launch_of_round: npt.NDArray[np.integer]
) -> tuple[float | None, float | None, str | None]:
    """Return a 95 % interval of the round time in seconds, and what its units are.

    A t interval on the logarithm of the round time. Rounds of one launch share its luck with memory layout,
    so the launches are the units (each by its mean) where there are at least three. With fewer the rounds
    are, and the interval says nothing about the next launch: "within launch". One round has no interval.
    """
    logs = np.log(round_s)
    launches = np.unique(launch_of_round)
    basis = "within launch"
    if len(launches) >= _LAUNCHES_FOR_INTERVAL:
        logs = np.array([logs[launch_of_round == launch].mean() for launch in launches])
        basis = "launches"
    if len(logs) < 2:
        return None, None, None
    half = stdtrit(len(logs) - 1, 0.975) * logs.std(ddof=1) / np.sqrt(len(logs))
    return float(np.exp(logs.mean() - half)), float(np.exp(logs.mean() + half)), basis


def _interval(sample: Sample) -> tuple[float | None, float | None, str | None]:
    launches = np.asarray(sample.record["launch_of_round"][: len(sample.round_s)])
    return t_interval(sample.round_s, launches)


def _metric(
    name: str, label: str, unit: str = "", *, needs: str, higher_is_better: bool = False
) -> Callable[[Callable[[Sample], Value]], Callable[[Sample], Value]]:
    """Enter a function into METRICS, None where the sample lacks what it `needs`.

    The first line of its docstring describes the metric.
    """

    def enter(function: Callable[[Sample], Value]) -> Callable[[Sample], Value]:
        @wraps(function)
        def metric(sample: Sample) -> Value:
            return function(sample) if sample.has(needs) else None

        description = (function.__doc__ or "").splitlines()[0]
        METRICS[name] = Metric(name, label, unit, higher_is_better, description, metric)
        return metric

    return enter


def _share_within(
    sample: Sample, limit: npt.NDArray[np.floating], distances: npt.NDArray[np.floating]
) -> Value:
    """Return the share of attainable answers whose distance is at most `limit` (q,)."""
    return _share(*_right_within(sample, limit, distances))


def _right_within(
    sample: Sample, limit: npt.NDArray[np.floating], distances: npt.NDArray[np.floating]
) -> tuple[Counts, Counts]:
    """Return per query the answers whose distance is at most `limit`, and how many could have been."""
    _, _, attainable = sample.exact
    return np.minimum((distances <= limit[:, None]).sum(axis=1), attainable), attainable


def _share(right: Counts, attainable: Counts) -> Value:
    return float(right.sum() / attainable.sum()) if attainable.any() else None


def _rounding(sample: Sample, relative: float) -> Floats:
    """Return per query how far beyond the k-th distance an answer may lie."""
    return relative * np.abs(sample.kth) + SCALE_TOLERANCE * sample.truth.scale[: len(sample.kth)]


@_metric("recall", "Recall", needs="answers", higher_is_better=True)
def recall(sample: Sample) -> Value:
    """Share of the k true neighbours that were found, ties counted.

    An answer is right if its distance is within the k-th exact distance, give or take 1e-6 of it and 1e-12 of
    the scale: what rounding can do.
    """
    return _share(*right_answers(sample))


def right_answers(sample: Sample) -> tuple[Counts, Counts]:
    """Return per query, shape (q,), how many answers `recall` counts as right, and out of how many."""
    return _right_within(sample, sample.kth + _rounding(sample, RELATIVE_TOLERANCE), sample.distances)


@_metric("id_recall", "Id recall", needs="answers", higher_is_better=True)
def id_recall(sample: Sample) -> Value:
    """Share of the k true neighbours whose ids were found; another row at the same distance is wrong."""
    neighbors, _, attainable = sample.exact
    answers = np.where(countable_answers(sample.ids, sample.truth.n_train), sample.ids, -1)
    # Both sides name an id once at most, so an id that follows itself in the sorted union is a hit.
    both = np.sort(np.concatenate([neighbors, answers], axis=1), axis=1)
    hits = (both[:, 1:] == both[:, :-1]) & (both[:, 1:] >= 0)
    return float(hits.sum() / attainable.sum()) if attainable.any() else None


@_metric("ann_benchmarks_recall", "Recall (ann-benchmarks)", needs="answers", higher_is_better=True)
def ann_benchmarks_recall(sample: Sample) -> Value:
    """Share of the k true neighbours that answers within the k-th distance plus 0.001 can stand for.

    Distances are compared in float32. The threshold is that of ann-benchmarks, and on tight data it accepts
    wrong neighbours: for comparison with published curves only. Theirs counts an id as often as it is given,
    and divides by k; ours counts it once, and divides by what there is to find, min(k, rows).
    """
    with np.errstate(over="ignore"):
        limit = sample.kth.astype(np.float32) + np.float32(1e-3)
        return _share_within(sample, limit, sample.distances.astype(np.float32))


@_metric("epsilon_recall_0.01", "Epsilon recall (0.01)", needs="answers", higher_is_better=True)
def epsilon_recall_001(sample: Sample) -> Value:
    """Share of answers at most 1 % farther away than the k-th exact neighbour."""
    return _epsilon_recall(sample, 0.01)


@_metric("epsilon_recall_0.1", "Epsilon recall (0.1)", needs="answers", higher_is_better=True)
def epsilon_recall_01(sample: Sample) -> Value:
    """Share of answers at most 10 % farther away than the k-th exact neighbour."""
    return _epsilon_recall(sample, 0.1)


def _epsilon_recall(sample: Sample, epsilon: float) -> Value:
    # epsilon times |d|, not (1 + epsilon) times d: distances of `dot` are negative.
    return _share_within(sample, sample.kth + _rounding(sample, epsilon), sample.distances)


@_metric("distance_ratio", "Distance ratio", needs="answers")
def distance_ratio(sample: Sample) -> Value:
    """Distances found over those of as many true neighbours; 1 is perfect, missing answers are left out.

    1 + sum(found - true) / sum(|true|) over all queries, where a query that gave m answers is held against
    its m nearest: the plain ratio of the sums where no distance is negative, and for `dot` still 1 or more.
    """
    _, exact, attainable = sample.exact
    found = np.isfinite(sample.distances)
    held_against = np.arange(exact.shape[1]) < np.minimum(found.sum(axis=1), attainable)[:, None]
    true = exact[held_against]
    excess = sample.distances[found].sum() - true.sum()
    size = np.abs(true).sum()
    if not found.any() or not np.isfinite(excess):
        return None
    if size == 0:
        return 1.0 if excess == 0 else None
    return float(1.0 + excess / size)


@_metric("candidates", "Answers per query", needs="answers", higher_is_better=True)
def candidates(sample: Sample) -> Value:
    """Mean number of answers that came back per query, right or wrong."""
    return float((sample.ids >= 0).sum(axis=1).mean())


@_metric("qps", "Queries per second", "1/s", needs="rounds", higher_is_better=True)
def qps(sample: Sample) -> Value:
    """Rate of queries answered: their number over the median round time."""
    return float(sample.n_queries / np.median(sample.round_s))


@_metric("qps_low", "Queries per second, lower bound", "1/s", needs="rounds", higher_is_better=True)
def qps_low(sample: Sample) -> Value:
    """Lower end of the 95 % interval of qps (see `t_interval`), widened to hold qps itself."""
    longest = _interval(sample)[1]
    return None if longest is None else sample.n_queries / max(longest, float(np.median(sample.round_s)))


@_metric("qps_high", "Queries per second, upper bound", "1/s", needs="rounds", higher_is_better=True)
def qps_high(sample: Sample) -> Value:
    """Upper end of the 95 % interval of qps (see `t_interval`), widened to hold qps itself."""
    shortest = _interval(sample)[0]
    return None if shortest is None else sample.n_queries / min(shortest, float(np.median(sample.round_s)))


@_metric("qps_best", "Queries per second, best round", "1/s", needs="rounds", higher_is_better=True)
def qps_best(sample: Sample) -> Value:
    """Best round's queries per second: what published curves show, and noisier than the median."""
    return float(sample.n_queries / sample.round_s.min())


def _percentile(sample: Sample, percent: float, samples: int = 1) -> Value:
    """Return the median over rounds of a percentile over distinct queries; None with too few queries."""
    if sample.latencies_us.shape[1] < samples:
        return None
    return float(np.median(np.percentile(sample.latencies_us, percent, axis=1)))


@_metric("latency_p50_us", "Service time, median", "µs", needs="latencies")
def latency_p50_us(sample: Sample) -> Value:
    """Median service time of a query, queries asked one after another."""
    return _percentile(sample, 50)


@_metric("latency_p95_us", "Service time, 95th percentile", "µs", needs="latencies")
def latency_p95_us(sample: Sample) -> Value:
    """95th percentile of the service time."""
    return _percentile(sample, 95)


@_metric("latency_p99_us", "Service time, 99th percentile", "µs", needs="latencies")
def latency_p99_us(sample: Sample) -> Value:
    """99th percentile of the service time; needs 1,000 distinct queries."""
    return _percentile(sample, 99, _SAMPLES_FOR_P99)


@_metric("latency_p999_us", "Service time, 99.9th percentile", "µs", needs="latencies")
def latency_p999_us(sample: Sample) -> Value:
    """99.9th percentile of the service time; needs 10,000 distinct queries."""
    return _percentile(sample, 99.9, _SAMPLES_FOR_P999)


@_metric("latency_mean_us", "Service time, mean", "µs", needs="latencies")
def latency_mean_us(sample: Sample) -> Value:
    """Mean service time of a query, the median over rounds."""
    return float(np.median(sample.latencies_us.mean(axis=1)))


def _cost(sample: Sample, name: str, divisor: float = 1.0) -> Value:
    value = sample.record["costs"].get(name)
    return None if value is None else float(value / divisor)


@_metric("build_s", "Build time", "s", needs="costs")
def build_s(sample: Sample) -> Value:
    """Wall time of building the index."""
    return _cost(sample, "build_wall_ns", 1e9)


@_metric("build_cpu_s", "Build CPU time", "s", needs="costs")
def build_cpu_s(sample: Sample) -> Value:
    """CPU time of building the index, all threads together."""
    return _cost(sample, "build_cpu_ns", 1e9)


@_metric("load_s", "Load time", "s", needs="costs")
def load_s(sample: Sample) -> Value:
    """Wall time of loading the saved index."""
    return _cost(sample, "load_wall_ns", 1e9)


@_metric("index_bytes", "Index size, saved", "B", needs="costs")
def index_bytes(sample: Sample) -> Value:
    """Size of the index as saved."""
    return _cost(sample, "index_bytes_saved")


@_metric("index_bytes_resident", "Index size, resident", "B", needs="costs")
def index_bytes_resident(sample: Sample) -> Value:
    """Growth of resident memory by building the index."""
    return _cost(sample, "index_bytes_resident")


@_metric("build_peak_bytes", "Peak memory of the build", "B", needs="costs")
def build_peak_bytes(sample: Sample) -> Value:
    """Peak resident memory of the worker and its children while building."""
    return _cost(sample, "build_peak_bytes")


@_metric("search_peak_bytes", "Peak memory of the search", "B", needs="costs")
def search_peak_bytes(sample: Sample) -> Value:
    """Peak resident memory of the worker and its children while searching."""
    return _cost(sample, "search_peak_bytes")


@_metric("distance_computations", "Distance computations per query", needs="costs")
def distance_computations(sample: Sample) -> Value:
    """Distances that a query made the library compute, where it tells."""
    return _cost(sample, "distance_computations", sample.n_queries)
