"""One worker's life: requests in as JSON lines, the wrapper called, replies out as JSON lines.

Requests are `hello`, `build`, `save`, `load`, `set_query`, `warm_up`, `run`, `visit`, `stats`, `close`. A
reply holds ``ok``; where that is false, also ``kind`` (raised, wrong-answer, changed-input), ``text`` (one
line) and, for `raised`, ``traceback``. Arrays travel as ``.npy`` files in a folder that the harness owns.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import json
import os
import platform
import sys
import time
import traceback
from typing import Any, Callable, TextIO

import numpy as np

from ann_bench.worker import memory
from ann_bench.worker.answers import WrongAnswerError, as_id_array
from ann_bench.worker.sets import load_rows, values
from ann_bench.worker.timed import Counters, run_batch, run_single, run_unrecorded, warm_up
from ann_bench.worker.wrapper import Wrapper

_OPTIONAL = ("query_batch", "save", "load", "size_bytes", "distance_computations", "build_info")
_COMPARED_BYTES = 1 << 20
_MOST_TEXT = 500
_MOST_TRACEBACK = 8000


class ChangedInputError(Exception):
    """The library wrote into vectors that belong to its caller."""


class Session:
    """The state between requests: the wrapper, the vectors, the folder for replies."""

    wrapper: Wrapper

    def __init__(self) -> None:
        self.pid = os.getpid()

    def hello(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load wrapper and vectors; tell versions, build flags and what the wrapper can do."""
        wrapper_class = _load_class(request["wrapper_path"], request["wrapper_class"])
        self.folders = request["folders"]
        self.train_path = request["train"]
        # Private copy-on-write pages: a library that writes into its caller's rows harms nobody and is seen.
        self.train = load_rows(self.train_path, mmap_mode="c")
        self.queries = load_rows(request["queries"])
        self.rows = list(self.queries)
        self.pristine = self.queries.copy()
        self.k = request["k"]
        self.batch = request["batch"]
        self.out = request["out"]
        wrapper = wrapper_class()
        wrapper.distance = request["distance"]
        wrapper.dimension = int(self.train.shape[1])
        wrapper.train = self.train
        wrapper.build_parameters = dict(request["build_parameters"])
        wrapper.threads = request["threads"]
        wrapper.seed = request["seed"]
        self.wrapper = wrapper
        return {
            "can": [name for name in _OPTIONAL if self._has(name)],
            "versions": {"python": platform.python_version(), "numpy": np.__version__},
            "build_info": wrapper.build_info() if self._has("build_info") else {},
        }

    def build(self, request: dict[str, Any]) -> dict[str, Any]:
        """Build the index; tell its cost."""
        memory.touch(values(self.train))
        memory.reset_peak()
        before = memory.resident_bytes()
        wrapper = self.wrapper
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        wrapper.build(self.train, wrapper.distance, wrapper.threads, **wrapper.build_parameters)
        wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
        self._end_children()
        after, peak = memory.resident_bytes(), memory.peak_bytes()
        self._check_rows()
        grown = None if before is None or after is None else max(0, after - before)
        return {"wall_ns": wall, "cpu_ns": cpu, "resident_bytes": grown, "peak_bytes": peak}

    def save(self, request: dict[str, Any]) -> dict[str, Any]:
        """Save the index to request["path"]; tell time and bytes."""
        wall = time.perf_counter_ns()
        self.wrapper.save(request["path"])
        wall = time.perf_counter_ns() - wall
        self._end_children()
        if not os.path.exists(request["path"]):
            raise FileNotFoundError("save() left nothing at the path it was given")
        return {"wall_ns": wall, "bytes": memory.bytes_on_disk(request["path"])}

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load the index from request["path"]; tell the time."""
        wall = time.perf_counter_ns()
        self.wrapper.load(request["path"])
        wall = time.perf_counter_ns() - wall
        self._end_children()
        return {"wall_ns": wall}

    def set_query(self, request: dict[str, Any]) -> dict[str, Any]:
        """Set the query parameters."""
        memory.reset_peak()
        self.wrapper.set_query(request["threads"], **request["parameters"])
        self._end_children()
        return {}

    def warm_up(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run some queries unrecorded; tell the nanoseconds that one took."""
        gc.collect()  # here, so that nothing stands between the warm-up and the timed loop
        if self.batch:
            first = self.queries[: min(len(self.queries), 100)]
            query_ns = warm_up(lambda vectors: self.wrapper.query_batch(vectors, self.k), [first]) / len(
                first
            )
        else:
            query_ns = warm_up(lambda row: self.wrapper.query(row, self.k), self.rows)
        self._end_children()
        return {"query_ns": query_ns}

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run queries first..last once; write what came back to ``.npy`` files named in the reply."""
        first, last = request["first"], request["last"]
        before = self._distance_computations()
        with Counters() as counters:
            if self.batch:
                answers, timed_ns = run_batch(self.wrapper.query_batch, self.queries[first:last], self.k)
            else:
                answers, latencies = run_single(self.wrapper.query, self.rows[first:last], self.k)
                timed_ns = int(latencies.sum())
        self._end_children()
        peak = memory.peak_bytes()
        after = self._distance_computations()
        ids = as_id_array(answers, last - first, self.k)
        if not np.array_equal(values(self.queries), values(self.pristine)):
            values(self.queries)[:] = values(self.pristine)
            raise ChangedInputError("the library changed the query vectors it was given")
        reply = {
            "timed_ns": timed_ns,
            "counters": counters.figures,
            "peak_bytes": peak,
            "ids": self._write("ids", ids),
            "missing_folders": [folder for folder in self.folders if not os.path.isdir(folder)],
        }
        if not self.batch:
            reply["latencies"] = self._write("latencies", latencies)
        if before is not None and after is not None:
            reply["distance_computations"] = after - before
        return reply

    def visit(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time a block of queries that other workers' blocks are held against; tell its cost alone.

        The query parameters are set, queries before the block run unrecorded for request["unrecorded_ns"]
        (the caches hold the data of whoever ran before), then request["count"] calls from number
        request["first"] on, over the last to the first again. A call has one query, or in batch mode
        request["queries_per_call"]; queries that fill no call are left out. What came back is looked at by
        `run`, not here.
        """
        self.wrapper.set_query(request["threads"], **request["parameters"])
        query: Callable[[Any, int], Any] = self.wrapper.query
        asked: list[Any] = self.rows
        if self.batch:
            size = request["queries_per_call"]
            starts = range(0, len(self.queries) - size + 1, size)
            query, asked = self.wrapper.query_batch, [self.queries[start : start + size] for start in starts]
        count, first = request["count"], request["first"]
        calls = [asked[number % len(asked)] for number in range(first - count, first + count)]
        run_unrecorded(query, calls[:count], self.k, request["unrecorded_ns"])
        before = self._distance_computations()
        with Counters() as counters:
            _, latencies = run_single(query, calls[count:], self.k)
        after = self._distance_computations()
        self._end_children()
        reply = {"timed_ns": int(latencies.sum()), "counters": counters.figures}
        if before is not None and after is not None:
            reply["distance_computations"] = after - before
        return reply

    def stats(self, request: dict[str, Any]) -> dict[str, Any]:
        """Tell the index's size where the library knows it."""
        size = self.wrapper.size_bytes() if self._has("size_bytes") else None
        return {"size_bytes": None if size is None else int(size)}

    def close(self, request: dict[str, Any]) -> dict[str, Any]:
        """Let the library go."""
        self.wrapper.close()
        return {}

    def _end_children(self) -> None:
        """End a child that the library forked and that came back from the library's call as if it were us."""
        if os.getpid() != self.pid:
            os._exit(0)

    def _has(self, name: str) -> bool:
        return getattr(type(self.wrapper), name) is not getattr(Wrapper, name)

    def _distance_computations(self) -> int | None:
        return int(self.wrapper.distance_computations()) if self._has("distance_computations") else None

    def _write(self, name: str, array: np.ndarray) -> str:
        os.makedirs(self.out, exist_ok=True)  # a library may have removed it
        path = os.path.join(self.out, name + ".npy")
        np.save(path, array)
        return path

    def _check_rows(self) -> None:
        """Compare the rows with the file, a little at a time: the memory of this is not the library's."""
        stored, held = np.load(self.train_path, mmap_mode="r"), values(self.train)
        step = max(1, _COMPARED_BYTES * len(stored) // max(1, stored.nbytes))
        for first in range(0, len(stored), step):
            if not np.array_equal(stored[first : first + step], held[first : first + step]):
                raise ChangedInputError("the library changed the rows it was given to index")


def _load_class(path: str, name: str) -> type[Wrapper]:
    # A module name of our own: `annoy_.py` or an author's `annoy.py` must never stand in for the library.
    spec = importlib.util.spec_from_file_location("ann_bench_wrapper_under_test", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        found = getattr(module, name)
    except AttributeError:
        raise AttributeError("%s has no class %s" % (path, name)) from None
    if not (isinstance(found, type) and issubclass(found, Wrapper)):
        raise TypeError("%s is no subclass of Wrapper (from ann_bench.worker.wrapper import Wrapper)" % name)
    return found


def serve(requests: TextIO, replies: TextIO) -> None:
    """Answer requests until the pipe closes or `close` was asked for."""
    session = Session()
    for line in requests:
        request = json.loads(line)
        reply = _answer(session, request)
        if os.getpid() != session.pid:  # a forked child came back by way of an exception
            os._exit(0)
        replies.write(json.dumps(dict(reply, number=request["number"])) + "\n")
        replies.flush()
        if request["op"] == "close":
            break


def _answer(session: Session, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return dict(getattr(session, request["op"])(request), ok=True)
    except WrongAnswerError as error:
        return {"ok": False, "kind": "wrong-answer", "text": str(error)}
    except ChangedInputError as error:
        return {"ok": False, "kind": "changed-input", "text": str(error)}
    except Exception as error:
        trace = traceback.format_exc()[-_MOST_TRACEBACK:]
        return {"ok": False, "kind": "raised", "text": _one_line(error), "traceback": _encodable(trace)}
    finally:
        _flush()


def _flush() -> None:
    """Bring out what the library printed, by Python or by C, so that it stands in the log at its time."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # the library closed it
    try:
        ctypes.CDLL(None).fflush(None)
    except (OSError, AttributeError):
        pass


def _one_line(error: Exception) -> str:
    text = " ".join(_encodable(str(error))[:_MOST_TEXT].split())
    return "%s: %s" % (type(error).__name__, text) if text else type(error).__name__


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
