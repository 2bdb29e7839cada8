"""The timed loops call the library once per query, in order, and return what it answered."""

import gc
import time

import numpy as np

from ann_bench.worker.timed import WARM_UP_QUERIES, Counters, run_batch, run_single, warm_up


def test_each_query_is_asked_once_and_in_order() -> None:
    """The answers stand in the order of the queries, one latency each."""
    asked = []

    def query(row: int, k: int) -> list[int]:
        asked.append(row)
        return [row] * k

    answers, latencies = run_single(query, [3, 1, 2], 2)
    assert asked == [3, 1, 2]
    assert answers == [[3, 3], [1, 1], [2, 2]]
    assert latencies.dtype == np.int64
    assert (latencies > 0).all()


def test_a_latency_holds_its_own_query_alone() -> None:
    """A slow query shows in its latency and in no other."""
    _, latencies = run_single(lambda row, _k: time.sleep(row), [0, 0.05, 0], 1)
    assert int(np.argmax(latencies)) == 1
    assert latencies[1] >= 50_000_000


def test_a_batch_is_one_call() -> None:
    """The wall time is that of the one call."""
    answers, wall_ns = run_batch(lambda vectors, _k: [len(vectors)], [1, 2, 3], 1)
    assert answers == [3]
    assert wall_ns > 0


def test_warm_up_stops_after_its_queries() -> None:
    """Fast queries are run a hundred times, again and again over the same vectors."""
    asked: list[int] = []
    assert warm_up(asked.append, [1, 2, 3]) > 0
    assert asked == ([1, 2, 3] * 34)[:WARM_UP_QUERIES]


def test_the_garbage_collector_is_off_while_counting() -> None:
    """Nothing is collected between two queries, and the collector is on again afterwards."""
    with Counters() as counters:
        assert not gc.isenabled()
    assert gc.isenabled()
    assert counters.figures["wall_ns"] >= 0
    assert counters.figures["children"] == 0
