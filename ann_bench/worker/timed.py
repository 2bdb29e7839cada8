"""The timed loops: between two clock reads stands the library's call, and nothing else."""

from __future__ import annotations

import gc
import os
import resource
import time
from typing import Any, Callable, Sequence

import numpy as np

from ann_bench.worker.instructions import Instructions

WARM_UP_QUERIES = 100
WARM_UP_NS = 200000000


def run_single(query: Callable[[Any, int], Any], rows: Sequence[Any], k: int) -> tuple[list[Any], np.ndarray]:
    """Return (answers, latencies_ns int64) of `query(row, k)`, row by row.

    The clock is read twice a query; its own cost, some 50 ns, is part of each latency and is what the
    do-nothing wrapper shows.
    """
    clock = time.perf_counter_ns
    answers: list[Any] = [None] * len(rows)
    starts = [0] * len(rows)
    ends = [0] * len(rows)
    for i, row in enumerate(rows):
        start = clock()
        answer = query(row, k)
        end = clock()
        starts[i] = start
        ends[i] = end
        answers[i] = answer
    return answers, np.array(ends, dtype=np.int64) - np.array(starts, dtype=np.int64)


def run_batch(query_batch: Callable[[Any, int], Any], vectors: Any, k: int) -> tuple[Any, int]:
    """Return (answers, wall_ns) of one call over all `vectors`."""
    start = time.perf_counter_ns()
    answers = query_batch(vectors, k)
    end = time.perf_counter_ns()
    return answers, end - start


def run_unrecorded(query: Callable[[Any, int], Any], rows: Sequence[Any], k: int, least_ns: int) -> None:
    """Run `query(row, k)` over and over the rows, until `least_ns` nanoseconds are over."""
    clock = time.perf_counter_ns
    began = clock()
    while clock() - began < least_ns:
        for row in rows:
            query(row, k)
            if clock() - began >= least_ns:
                break


def warm_up(call: Callable[[Any], Any], items: Sequence[Any]) -> int:
    """Run `call(item)` unrecorded, again and again, for 100 calls or 0.2 s; return the median nanoseconds."""
    clock = time.perf_counter_ns
    took: list[int] = []
    began = clock()
    while len(took) < WARM_UP_QUERIES and clock() - began < WARM_UP_NS:
        item = items[len(took) % len(items)]
        start = clock()
        call(item)
        took.append(clock() - start)
    return int(np.median(took))


class Counters:
    """What was counted between two moments: CPU time, context switches, page faults, instructions."""

    figures: dict[str, Any]
    _instructions = Instructions()

    def __enter__(self) -> Counters:
        """Start counting, with the garbage collector off."""
        gc.disable()
        self._usage = resource.getrusage(resource.RUSAGE_SELF)
        self._thread_ns = time.thread_time_ns()
        self._process_ns = time.process_time_ns()
        self._children_s = _children_seconds()
        self._retired = self._instructions.read()
        self._wall_ns = time.perf_counter_ns()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop counting; the figures are in `figures`."""
        wall = time.perf_counter_ns() - self._wall_ns
        process = time.process_time_ns() - self._process_ns
        thread = time.thread_time_ns() - self._thread_ns
        retired = self._instructions.read()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        gc.enable()
        self.figures = {
            "wall_ns": wall,
            "thread_cpu_ns": thread,
            "process_cpu_ns": process,
            "switches": [usage.ru_nvcsw - self._usage.ru_nvcsw, usage.ru_nivcsw - self._usage.ru_nivcsw],
            "faults": [usage.ru_minflt - self._usage.ru_minflt, usage.ru_majflt - self._usage.ru_majflt],
            "instructions": None if retired is None or self._retired is None else retired - self._retired,
            "children": _live_children(),
            "children_cpu_s": _children_seconds() - self._children_s,
        }


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _live_children() -> int:
    """Return how many child processes are alive (0 where /proc does not tell)."""
    count = 0
    try:
        for task in os.listdir("/proc/self/task"):
            with open("/proc/self/task/%s/children" % task) as file:
                count += len(file.read().split())
    except OSError:
        pass
    return count
