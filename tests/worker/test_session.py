"""Visits: blocks of queries that are timed beside those of other workers."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ann_bench.worker.session import Session

QUERIES = 5
WRAPPER = """
import gc
from ann_bench.worker.wrapper import Wrapper

class Noting(Wrapper):
    def build(self, train, distance, threads):
        self.calls = []
    def set_query(self, threads, **parameters):
        self.calls.append(("set_query", threads, parameters))
    def query(self, vector, k):
        self.calls.append((int(vector[0]), k, gc.isenabled()))
        return "no ids"
    def query_batch(self, vectors, k):
        self.calls.append(([int(number) for number in vectors[:, 0]], k, gc.isenabled()))

class Counting(Noting):
    def distance_computations(self):
        return 10 * len(self.calls)
"""


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Return a session whose wrapper notes what it is asked; the query of number i is i everywhere."""
    return begin(tmp_path, "Noting")


def begin(folder: Path, wrapper_class: str, *, batch: bool = False) -> Session:
    """Return a session with that wrapper, its index built."""
    wrapper = folder / "noting.py"
    wrapper.write_text(WRAPPER, encoding="utf-8")
    train, queries = folder / "train.npy", folder / "queries.npy"
    np.save(train, np.zeros((3, 2), dtype=np.float32))
    np.save(queries, np.repeat(np.arange(QUERIES, dtype=np.float32)[:, None], 2, axis=1))
    session = Session()
    session.hello(
        {
            "wrapper_path": str(wrapper),
            "wrapper_class": wrapper_class,
            "folders": [],
            "train": str(train),
            "queries": str(queries),
            "k": 3,
            "batch": batch,
            "out": str(folder / "out"),
            "distance": "euclidean",
            "build_parameters": {},
            "threads": 1,
            "seed": 1,
        }
    )
    session.build({})
    return session


def visit(session: Session, **changes: Any) -> tuple[dict[str, Any], list[Any]]:
    """Return the reply to a visit, and what the library was asked for."""
    request = {"threads": 1, "parameters": {"ef": 7}, "first": 1, "count": 3, "unrecorded_ns": 0} | changes
    session.wrapper.calls.clear()
    return session.visit(request), session.wrapper.calls


def asked(calls: list[Any], *, timed: bool) -> list[Any]:
    """Return the numbers of the queries that were timed, or were not: garbage is not collected in a block."""
    return [number for number, _, collecting in calls[1:] if collecting != timed]


def test_a_visit_sets_the_parameters_and_times_its_block_alone(session: Session) -> None:
    """First the query parameters, then the queries of the block in order, with the garbage collector off."""
    reply, calls = visit(session)
    assert calls[0] == ("set_query", 1, {"ef": 7})
    assert calls[1:] == [(1, 3, False), (2, 3, False), (3, 3, False)]
    assert gc.isenabled()
    assert reply["timed_ns"] > 0
    assert reply["counters"]["wall_ns"] >= reply["timed_ns"]
    assert reply.keys() == {"timed_ns", "counters"}


@pytest.mark.parametrize(("first", "count"), [(0, 3), (4, 3), (2, 12), (3, 1)])
def test_a_block_goes_over_the_last_query_to_the_first(session: Session, first: int, count: int) -> None:
    """A block of any length from any query on is asked, round and round."""
    _, calls = visit(session, first=first, count=count)
    assert asked(calls, timed=True) == [(first + i) % QUERIES for i in range(count)]


def test_queries_before_the_block_run_unrecorded_for_their_time(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caches are filled by the queries that stand before the block, and none of these is timed."""
    ticks = iter(range(0, 10**9, 10))
    monkeypatch.setattr("ann_bench.worker.timed.time.perf_counter_ns", lambda: next(ticks))
    _, calls = visit(session, first=1, count=2, unrecorded_ns=55)
    unrecorded = asked(calls, timed=False)
    assert len(unrecorded) >= 2
    assert unrecorded == [[4, 0][i % 2] for i in range(len(unrecorded))]
    assert asked(calls, timed=True) == [1, 2]


def test_distances_are_those_of_the_block_alone(tmp_path: Path) -> None:
    """Where the library counts distance computations, those of the unrecorded queries are not told."""
    reply, _ = visit(begin(tmp_path, "Counting"), count=4, unrecorded_ns=1_000_000)
    assert reply["distance_computations"] == 40


def test_a_block_of_batches_hands_over_the_same_queries_at_once_each_time(tmp_path: Path) -> None:
    """Calls have as many queries as asked for, `first` and `count` are of calls; a rest is left out."""
    session = begin(tmp_path, "Noting", batch=True)
    reply, calls = visit(session, first=1, count=3, queries_per_call=2)
    assert asked(calls, timed=True) == [[2, 3], [0, 1], [2, 3]]
    assert reply.keys() == {"timed_ns", "counters"}
    assert reply["counters"]["wall_ns"] >= reply["timed_ns"] > 0


def test_a_visit_leaves_no_files(session: Session, tmp_path: Path) -> None:
    """Answers of a visit are looked at by nobody and written nowhere."""
    before = sorted(tmp_path.iterdir())
    visit(session)
    assert sorted(tmp_path.iterdir()) == before
