"""One worker's life: requests in as JSON lines, the wrapper called, replies out as JSON lines.

Requests are `hello`, `build`, `save`, `load`, `set_query`, `run`, `stats`, `close`. A reply holds ``ok``;
where that is false, also ``kind`` (raised, wrong-answer, changed-input), ``text`` (one line) and, for
`raised`, ``traceback``. Arrays travel as ``.npy`` files in a folder that the harness owns.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
import time
import traceback
from typing import Any, TextIO

import numpy as np

from ann_bench.worker import memory
from ann_bench.worker.answers import WrongAnswerError, as_id_array
from ann_bench.worker.timed import Counters, run_batch, run_single, warm_up
from ann_bench.worker.wrapper import Wrapper

_OPTIONAL = ("query_batch", "save", "load", "size_bytes", "distance_computations")


class ChangedInputError(Exception):
    """The library wrote into vectors that belong to its caller."""


class Session:
    """The state between requests: the wrapper, the vectors, the folder for replies."""

    wrapper: Wrapper

    def hello(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load wrapper and vectors; tell versions and what the wrapper can do."""
        wrapper_class = _load_class(request["wrapper_path"], request["wrapper_class"])
        self.folders = request["folders"]
        self.train_path = request["train"]
        # Private copy-on-write pages: a library that writes into its caller's rows harms nobody and is seen.
        self.train = np.load(self.train_path, mmap_mode="c")
        self.queries = np.load(request["queries"])
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
            "python": platform.python_version(),
            "numpy": np.__version__,
            "can": [name for name in _OPTIONAL if getattr(wrapper_class, name) is not getattr(Wrapper, name)],
        }

    def build(self, request: dict[str, Any]) -> dict[str, Any]:
        """Build the index; tell its cost."""
        memory.touch(self.train)
        memory.reset_peak()
        before = memory.resident_bytes()
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        self.wrapper.build(
            self.train, self.wrapper.distance, self.wrapper.threads, **self.wrapper.build_parameters
        )
        wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
        self._check_rows()
        return {
            "wall_ns": wall,
            "cpu_ns": cpu,
            "resident_bytes": max(0, memory.resident_bytes() - before),
            "peak_bytes": memory.peak_bytes(),
        }

    def save(self, request: dict[str, Any]) -> dict[str, Any]:
        """Save the index to request["path"]; tell time and bytes."""
        wall = time.perf_counter_ns()
        self.wrapper.save(request["path"])
        return {"wall_ns": time.perf_counter_ns() - wall, "bytes": memory.bytes_on_disk(request["path"])}

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load the index from request["path"]; tell the time."""
        wall = time.perf_counter_ns()
        self.wrapper.load(request["path"])
        return {"wall_ns": time.perf_counter_ns() - wall}

    def set_query(self, request: dict[str, Any]) -> dict[str, Any]:
        """Set the query parameters and warm up; tell the nanoseconds a query took then."""
        memory.reset_peak()
        self.wrapper.set_query(request["threads"], **request["parameters"])
        if self.batch:
            first = self.queries[: min(len(self.queries), 100)]
            per_call = warm_up(lambda vectors: self.wrapper.query_batch(vectors, self.k), [first])
            return {"query_ns": per_call / float(len(first))}
        return {"query_ns": warm_up(lambda row: self.wrapper.query(row, self.k), self.rows)}

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run queries first..last once; write what came back to ``.npy`` files named in the reply."""
        first, last = request["first"], request["last"]
        before = self._distance_computations()
        with Counters() as counters:
            if self.batch:
                answers, wall_ns = run_batch(self.wrapper.query_batch, self.queries[first:last], self.k)
            else:
                answers, latencies = run_single(self.wrapper.query, self.rows[first:last], self.k)
        after = self._distance_computations()
        ids = as_id_array(answers, last - first, self.k)
        if not np.array_equal(self.queries, self.pristine):
            self.queries[:] = self.pristine
            raise ChangedInputError("the library changed the query vectors it was given")
        reply = {
            "counters": counters.figures,
            "ids": self._write("ids", ids),
            "peak_bytes": memory.peak_bytes(),
        }
        if self.batch:
            reply["timed_ns"] = wall_ns
        else:
            reply["timed_ns"] = int(latencies.sum())
            reply["latencies"] = self._write("latencies", latencies)
        if before is not None and after is not None:
            reply["distance_computations"] = after - before
        reply["missing_folders"] = [folder for folder in self.folders if not os.path.isdir(folder)]
        return reply

    def stats(self, request: dict[str, Any]) -> dict[str, Any]:
        """Tell what memory the worker holds, and the index's size where the library knows it."""
        return {
            "resident_bytes": memory.resident_bytes(),
            "peak_bytes": memory.peak_bytes(),
            "size_bytes": int(self.wrapper.size_bytes()) if self._has("size_bytes") else None,
        }

    def close(self, request: dict[str, Any]) -> dict[str, Any]:
        """Let the library go."""
        self.wrapper.close()
        return {}

    def _has(self, name: str) -> bool:
        return getattr(type(self.wrapper), name) is not getattr(Wrapper, name)

    def _distance_computations(self) -> int | None:
        return int(self.wrapper.distance_computations()) if self._has("distance_computations") else None

    def _write(self, name: str, array: np.ndarray) -> str:
        path = os.path.join(self.out, name + ".npy")
        np.save(path, array)
        return path

    def _check_rows(self) -> None:
        stored = np.load(self.train_path, mmap_mode="r")
        for first in range(0, len(stored), 65536):
            if not np.array_equal(stored[first : first + 65536], self.train[first : first + 65536]):
                raise ChangedInputError("the library changed the rows it was given to index")


def _load_class(path: str, name: str) -> type[Wrapper]:
    # A module name of our own: `annoy_.py` or an author's `annoy.py` must never stand in for the library.
    spec = importlib.util.spec_from_file_location("ann_bench_wrapper_under_test", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        found: type[Wrapper] = getattr(module, name)
    except AttributeError:
        raise AttributeError("%s has no class %s" % (path, name)) from None
    return found


def serve(requests: TextIO, replies: TextIO) -> None:
    """Answer requests until the pipe closes or `close` was asked for."""
    session = Session()
    worker = os.getpid()
    for line in requests:
        request = json.loads(line)
        reply = _answer(session, request)
        if os.getpid() != worker:  # a child that the library forked came back from its call
            os._exit(0)
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
        if request["op"] == "close":
            break


def _answer(session: Session, request: dict[str, Any]) -> dict[str, Any]:
    try:
        reply = getattr(session, request["op"])(request)
    except WrongAnswerError as error:
        return {"ok": False, "kind": "wrong-answer", "text": str(error)}
    except ChangedInputError as error:
        return {"ok": False, "kind": "changed-input", "text": str(error)}
    except Exception as error:
        return {"ok": False, "kind": "raised", "text": _one_line(error), "traceback": traceback.format_exc()}
    sys.stdout.flush()
    return dict(reply, ok=True)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return "%s: %s" % (type(error).__name__, text) if text else type(error).__name__
