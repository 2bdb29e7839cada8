"""Metrics: by hand on tiny cases, against naive loops on random ones, their interval by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ann_bench.metrics import METRICS, Truth, compute, countable_answers, t_interval
from tests.measurements import make_dataset


def make_truth(distances, neighbors=None, *, scale=1.0, n_train=100):
    """Return the truth with these exact distances, its ids 0, 1, 2, … in every row unless given."""
    distances = np.array(distances, dtype=float)
    if neighbors is None:
        neighbors = np.tile(np.arange(distances.shape[1]), (len(distances), 1))
    scales = np.full(len(distances), float(scale))
    return Truth(np.array(neighbors, dtype=np.int32), distances, scales, n_train)


def measure(truth, *, ids=None, distances=None, k=None, costs=None, launches=None, **arrays):
    """Return the metrics of answers and times that are given as plain lists."""
    if ids is not None:
        arrays |= {
            "neighbors": np.array(ids, dtype=np.int32),
            "distances": np.array(distances, dtype=np.float32),
        }
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    n_queries = len(truth.neighbors)
    if "latencies_ns" in arrays:
        n_queries = arrays["latencies_ns"].shape[1]
    record = {
        "k": k or (arrays["neighbors"].shape[1] if ids is not None else 1),
        "dataset": {"queries": n_queries},
        "launch_of_round": launches or [0] * 100,
        "costs": costs or {},
    }
    return compute(record, arrays, truth)


RECALLS = ("recall", "id_recall", "ann_benchmarks_recall", "epsilon_recall_0.01", "epsilon_recall_0.1")


def test_perfect_answers_are_perfect():
    """All neighbours found, in any order: every recall is 1, the distance ratio is 1, k answers came."""
    truth = make_truth([[1, 2, 3], [4, 5, 6]])
    values = measure(truth, ids=[[2, 0, 1], [0, 1, 2]], distances=[[3, 1, 2], [4, 5, 6]])
    assert {name: values[name] for name in RECALLS} == dict.fromkeys(RECALLS, 1.0)
    assert (values["distance_ratio"], values["candidates"]) == (1.0, 3.0)


def test_recall_by_hand():
    """Of four true neighbours three were found: recall 3/4, and the wrong answer adds its distance."""
    values = measure(make_truth([[1, 2], [1, 2]]), ids=[[0, 1], [0, 9]], distances=[[1, 2], [1, 8]])
    assert {name: values[name] for name in RECALLS} == dict.fromkeys(RECALLS, 0.75)
    assert values["distance_ratio"] == pytest.approx((1 + 2 + 1 + 8) / (1 + 2 + 1 + 2))


def test_a_tie_counts_in_recall_and_not_in_id_recall():
    """Another row at the distance of the k-th neighbour is as good an answer, but not the same id."""
    values = measure(make_truth([[1, 2]]), ids=[[0, 77]], distances=[[1, 2]])
    assert (values["recall"], values["id_recall"]) == (1.0, 0.5)


@pytest.mark.parametrize(("beyond", "right"), [(0.0, 1.0), (5e-7, 1.0), (3e-6, 0.0), (5e-4, 0.0)])
def test_recall_allows_a_millionth_and_no_more(beyond, right):
    """An answer may lie 1e-6 of the k-th distance beyond it; ann-benchmarks' own recall allows 1e-3."""
    values = measure(make_truth([[1.0]]), ids=[[5]], distances=[[1.0 + beyond]])
    assert (values["recall"], values["ann_benchmarks_recall"]) == (right, 1.0)


def test_recall_allows_rounding_of_the_scale():
    """At distance 0 the tolerance is 1e-12 of the numbers that the distance is made of."""
    for distance, right in ((9e-9, 1.0), (2e-8, 0.0)):
        assert measure(make_truth([[0.0]], scale=1e4), ids=[[5]], distances=[[distance]])["recall"] == right


def test_the_absolute_tolerance_accepts_wrong_neighbours_on_small_distances():
    """Where all distances are below 1e-3, ann-benchmarks' recall is 1 for any answer; ours is not."""
    values = measure(make_truth([[1e-5, 2e-5]]), ids=[[50, 51]], distances=[[9e-4, 9e-4]])
    assert (values["ann_benchmarks_recall"], values["recall"]) == (1.0, 0.0)


def test_epsilon_recalls_by_hand():
    """Answers at 1.005, 1.05 and 1.5 of the third distance: within 1 % is one, within 10 % two."""
    values = measure(make_truth([[1, 2, 4]]), ids=[[7, 8, 9]], distances=[[4.02, 4.2, 6]])
    assert values["recall"] == 0
    assert values["epsilon_recall_0.01"] == pytest.approx(1 / 3)
    assert values["epsilon_recall_0.1"] == pytest.approx(2 / 3)


def test_negative_distances_widen_the_right_way():
    """Distances of `dot` are negative: 10 % of -10 reaches to -9, and a worse answer has an error above 1."""
    values = measure(make_truth([[-10.0]]), ids=[[5]], distances=[[-9.5]])
    assert (values["recall"], values["epsilon_recall_0.01"], values["epsilon_recall_0.1"]) == (0, 0, 1)
    assert values["distance_ratio"] == pytest.approx(1.05)


@pytest.mark.parametrize(
    ("ids", "distances", "right"),
    [
        ([0, 0, 0], [1, 1, 1], 1 / 3),
        ([0, 1, -1], [1, 2, np.inf], 2 / 3),
        ([0, 1, 100], [1, 2, 0], 2 / 3),
        ([-5, -1, -1], [0, 0, 0], 0),
        ([-1, -1, -1], [np.inf] * 3, 0),
        ([0, 1, 2], [1, 2, np.nan], 2 / 3),
    ],
)
def test_what_is_no_answer_scores_nothing(ids, distances, right):
    """Repeated ids count once; ids out of range, missing answers and NaN never, whatever their distance."""
    values = measure(make_truth([[1, 2, 3]]), ids=[ids], distances=[distances])
    for name in set(RECALLS) - {"id_recall"}:
        assert values[name] == pytest.approx(right), name
    assert values["id_recall"] == pytest.approx(right if not np.isnan(distances).any() else 1.0)


def test_the_denominator_is_what_could_be_found():
    """With 2 rows and k = 3 both found is recall 1; rows of the truth padded with -1 do not count either."""
    few = make_truth([[1, 2]], n_train=2)
    assert measure(few, ids=[[1, 0, -1]], distances=[[2, 1, np.inf]])["recall"] == 1.0
    padded = make_truth([[1, np.inf], [1, 2]], [[0, -1], [0, 1]], n_train=5)
    values = measure(padded, ids=[[0, -1], [0, 3]], distances=[[1, np.inf], [1, 9]])
    assert (values["recall"], values["id_recall"]) == (2 / 3, 2 / 3)


def test_no_answers_at_all():
    """When nothing came back recall is 0 and the distance ratio says nothing."""
    values = measure(make_truth([[1, 2]]), ids=[[-1, -1]], distances=[[np.inf, np.inf]])
    assert (values["recall"], values["candidates"], values["distance_ratio"]) == (0, 0, None)


def test_distance_ratio_at_distance_zero():
    """Exact duplicates of the query: found is 1, not found has no ratio."""
    assert measure(make_truth([[0.0]]), ids=[[0]], distances=[[0]])["distance_ratio"] == 1.0
    assert measure(make_truth([[0.0]]), ids=[[5]], distances=[[3]])["distance_ratio"] is None


def test_truth_may_be_larger_and_not_smaller():
    """A truth for more queries or neighbours serves; one for fewer is refused with the numbers."""
    truth = make_truth([[1, 2, 3], [1, 2, 3]])
    assert measure(truth, ids=[[1, 0]], distances=[[2, 1]])["recall"] == 1.0
    with pytest.raises(ValueError, match=r"truth of shape \(2, 3\) is too small for 2 queries at k = 4"):
        measure(truth, ids=[[0] * 4] * 2, distances=[[1] * 4] * 2)


def naive(truth, ids, distances, limit):
    """Count right answers one by one; return (recall by distance, recall by id)."""
    by_distance = by_id = possible = 0
    for query, row in enumerate(ids):
        attainable = min(len(row), len(truth.neighbors[query]))
        possible += attainable
        kth = truth.distances[query][attainable - 1]
        seen = set()
        for identity, distance in zip(row.tolist(), distances[query].tolist(), strict=True):
            if identity in seen or not 0 <= identity < truth.n_train:
                continue
            seen.add(identity)
            by_distance += distance <= limit(kth, truth.scale[query])
            by_id += identity in truth.neighbors[query][:attainable].tolist()
    return by_distance / possible, by_id / possible


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_queries=st.integers(1, 8),
    k=st.integers(1, 6),
    n_train=st.integers(6, 12),
    negative=st.booleans(),
)
def test_recall_agrees_with_a_naive_loop(seed, n_queries, k, n_train, negative):
    """On small random cases full of ties, repeats and impossible ids the fast counts equal the slow ones."""
    random = np.random.default_rng(seed)
    every = random.integers(0, 5, (n_queries, n_train)) / 4.0 - (2 if negative else 0)
    order = np.argsort(every, axis=1, kind="stable")
    truth = Truth(
        order.astype(np.int32), np.take_along_axis(every, order, axis=1), np.ones(n_queries), n_train
    )
    ids = random.integers(-2, n_train + 2, (n_queries, k)).astype(np.int32)
    inside = (ids >= 0) & (ids < n_train)
    distances = np.where(inside, np.take_along_axis(every, np.where(inside, ids, 0), axis=1), np.inf)
    values = measure(truth, ids=ids, distances=distances)
    expected = naive(truth, ids, distances, lambda kth, scale: kth + 1e-6 * abs(kth) + 1e-12 * scale)
    assert (values["recall"], values["id_recall"]) == pytest.approx(expected)
    wide, _ = naive(truth, ids, distances, lambda kth, _: kth + 0.1 * abs(kth))
    assert values["epsilon_recall_0.1"] == pytest.approx(wide)
    assert (
        values["id_recall"]
        <= values["recall"]
        <= values["epsilon_recall_0.01"]
        <= values["epsilon_recall_0.1"]
    )


@settings(max_examples=60)
@given(rows=st.lists(st.lists(st.integers(-3, 7), min_size=4, max_size=4), min_size=1, max_size=6))
def test_countable_answers_are_the_first_of_each_valid_id(rows):
    """An answer counts if it is in range and no earlier answer of its row is equal."""
    expected = [
        [0 <= value < 5 and value not in row[:position] for position, value in enumerate(row)] for row in rows
    ]
    assert countable_answers(np.array(rows), 5).tolist() == expected


TRUTH = make_truth([[1.0]])


def test_rates_and_latencies_by_hand():
    """Three rounds of two queries: qps from the median round, best from the fastest, means per round."""
    values = measure(TRUTH, latencies_ns=[[1000, 3000], [2000, 4000], [5000, 5000]])
    assert values["qps"] == pytest.approx(2 / 6e-6)
    assert values["qps_best"] == pytest.approx(2 / 4e-6)
    assert values["latency_mean_us"] == pytest.approx(3.0)
    assert values["latency_p50_us"] == pytest.approx(3.0)
    assert values["latency_p95_us"] == pytest.approx(3.9)


def test_batch_mode_has_rates_and_no_latencies():
    """The wall time of a pass gives qps; a latency of a query is never made up from it."""
    truth = make_truth([[1.0]] * 50)
    values = measure(truth, round_wall_ns=[2_000_000, 1_000_000, 4_000_000])
    assert (values["qps"], values["qps_best"]) == (pytest.approx(25_000), pytest.approx(50_000))
    assert [name for name in values if name.startswith("latency") and values[name] is not None] == []


@pytest.mark.parametrize(
    ("n_queries", "known"), [(999, []), (1000, ["p99"]), (9999, ["p99"]), (10000, ["p99", "p999"])]
)
def test_percentiles_need_samples(n_queries, known):
    """p99 is refused under 1,000 distinct queries and p99.9 under 10,000, however many rounds there are."""
    latencies = np.tile(np.arange(1, n_queries + 1) * 1000, (12, 1))
    values = measure(TRUTH, latencies_ns=latencies)
    assert [name for name in ("p99", "p999") if values[f"latency_{name}_us"] is not None] == known
    if known:
        assert values["latency_p99_us"] == pytest.approx(0.99 * n_queries, rel=1e-3)


def test_percentiles_are_medians_over_rounds():
    """One round in which everything was slow does not move a percentile: rounds are not pooled."""
    latencies = np.full((5, 1000), 10_000)
    latencies[4] = 900_000
    values = measure(TRUTH, latencies_ns=latencies)
    assert values["latency_p99_us"] == values["latency_p50_us"] == 10.0


def test_the_units_of_the_interval_are_launches_where_there_are_three():
    """Three launches: their means are the units. Two: the rounds are, and it says so. One round: none."""
    latencies = np.array([[1000], [1100], [2000], [2100], [3000], [3100]])
    by_launch = measure(TRUTH, latencies_ns=latencies, launches=[0, 0, 1, 1, 2, 2])
    within = measure(TRUTH, latencies_ns=latencies, launches=[0, 0, 0, 1, 1, 1])
    single = measure(TRUTH, latencies_ns=latencies[:1], launches=[0])
    assert by_launch["qps_interval"] == "launches"
    assert within["qps_interval"] == "within launch"
    assert [single[name] for name in ("qps_interval", "qps_low", "qps_high")] == [None, None, None]
    assert (
        by_launch["qps_low"] < within["qps_low"] < within["qps"] < within["qps_high"] < by_launch["qps_high"]
    )


def test_the_interval_by_hand():
    """Log round times 0, 1, 2 in three launches: 1 plus or minus t(2) = 4.302653 times 1/sqrt(3)."""
    low, high, basis = t_interval(np.exp([0.0, 1.0, 2.0]), np.array([0, 1, 2]))
    assert basis == "launches"
    assert math.log(low) == pytest.approx(1 - 4.302653 / math.sqrt(3), rel=1e-6)
    assert math.log(high) == pytest.approx(1 + 4.302653 / math.sqrt(3), rel=1e-6)


def test_the_interval_always_holds_qps():
    """The rate is a median and the interval one of means: where they part the interval is widened."""
    for fast, median in ((8, 1000), (7, 1600)):
        rounds = np.array([[1000]] * fast + [[1600]] * (15 - fast))
        low, high, _ = t_interval(rounds[:, 0], np.zeros(15))
        assert not low <= median <= high
        values = measure(TRUTH, latencies_ns=rounds)
        assert values["qps_low"] <= values["qps"] <= values["qps_high"]


@pytest.mark.parametrize(("launches", "between"), [([0] * 6, 0.0), ([0, 0, 1, 1, 2, 2, 3, 3], 0.02)])
def test_the_interval_covers_the_truth_95_times_in_100(launches, between):
    """Simulated with log-normal rounds in launches that differ: the truth lies within in 95 of 100."""
    random, repeats = np.random.default_rng(11), 2000
    launches = np.array(launches)
    covered = 0
    for _ in range(repeats):
        offsets = random.normal(0, between, launches.max() + 1)[launches] if between else 0.0
        low, high, _ = t_interval(np.exp(offsets + random.normal(0, 0.01, len(launches))), launches)
        covered += low <= 1.0 <= high
    assert 0.935 <= covered / repeats <= 0.965


def test_rounds_as_units_would_not_cover_launches():
    """Where launches differ, an interval over rounds holds the truth far too rarely: hence the units."""
    random = np.random.default_rng(12)
    launches = np.repeat([0, 1, 2, 3], 5)
    covered = 0
    for _ in range(500):
        times = np.exp(random.normal(0, 0.02, 4)[launches] + random.normal(0, 0.01, 20))
        low, high, _ = t_interval(times, np.zeros(20, dtype=int))
        covered += low <= 1.0 <= high
    assert covered / 500 < 0.8


def test_costs_become_metrics_in_their_units():
    """Nanoseconds become seconds, totals become per query, and what is unknown stays unknown."""
    costs = {
        "build_wall_ns": 2_500_000_000,
        "build_cpu_ns": 5_000_000_000,
        "load_wall_ns": 1_000_000,
        "index_bytes_saved": 4096,
        "index_bytes_resident": None,
        "build_peak_bytes": 10**9,
        "search_peak_bytes": 10**8,
        "distance_computations": 600,
    }
    values = measure(TRUTH, costs=costs, latencies_ns=np.ones((2, 20)))
    assert (values["build_s"], values["build_cpu_s"], values["load_s"]) == (2.5, 5.0, 0.001)
    assert (values["index_bytes"], values["build_peak_bytes"], values["search_peak_bytes"]) == (
        4096,
        1e9,
        1e8,
    )
    assert values["distance_computations"] == 30.0
    assert values["index_bytes_resident"] is None


def test_a_failed_setting_has_its_costs_and_nothing_else():
    """Without arrays every metric of answers and times is None, none is 0."""
    values = measure(TRUTH, costs={"build_wall_ns": 10**9})
    assert {name: value for name, value in values.items() if value is not None} == {"build_s": 1.0}
    assert values.keys() == {*METRICS, "qps_interval"}


def test_every_metric_says_what_it_is_and_which_way_is_better():
    """Each metric has a label, a sentence and a direction; times and sizes are better small."""
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.label
        assert metric.description.endswith(".")
    higher = {name for name, metric in METRICS.items() if metric.higher_is_better}
    assert higher == {*RECALLS, "qps", "qps_low", "qps_high", "qps_best", "candidates"}


def test_stored_float32_distances_lose_no_recall():
    """Recall from a results file (float32) equals recall from the float64 distances, ties included."""
    random = np.random.default_rng(3)
    exact = np.sort(random.random((200, 10)) * 1e-3, axis=1)
    truth = make_truth(exact)
    ids = np.tile(np.arange(10), (200, 1))
    assert measure(truth, ids=ids, distances=exact.astype(np.float32))["recall"] == 1.0


def test_the_truth_of_a_dataset_is_all_its_answers():
    """Neighbours, distances, rows and the scale of rounding are those of the dataset."""
    dataset = make_dataset()
    truth = Truth.of(dataset)
    assert (truth.neighbors is dataset.neighbors, truth.distances is dataset.distances) == (True, True)
    assert truth.n_train == 100
    largest = np.linalg.norm(dataset.train.astype(float), axis=1).max()
    np.testing.assert_allclose(truth.scale, np.linalg.norm(dataset.test.astype(float), axis=1) + largest)
