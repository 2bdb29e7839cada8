"""One launch: a supervised worker process, from its start to its end, seen from the harness."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ann_bench.paths import PACKAGE
from ann_bench.runner.cgroup import MemoryGroup
from ann_bench.supervised import SUPERVISOR, Stopped, printed, read_bytes

# What libraries read to learn how many threads to start; each gets the number that the harness decided on.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "NUMBA_NUM_THREADS",
    "TBB_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
_ENDS_WITHIN_S = 3.0
_CLOSES_WITHIN_S = 10.0
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "ANN_BENCH_ISA")


class WorkerFailure(Exception):  # noqa: N818 - an outcome that is recorded, not an error of ours
    """A worker could not do what it was asked for."""

    def __init__(self, kind: str, stage: str, text: str, *, alive: bool, traceback: str = "") -> None:
        super().__init__(text)
        self.kind = kind
        self.stage = stage
        self.text = text
        self.traceback = traceback
        self.alive = alive
        """Whether the worker can be asked for something else."""


@dataclass(frozen=True)
class Order:
    """What a worker is to run: interpreter, wrapper, vectors, limits."""

    python: Path
    wrapper_path: Path
    wrapper_class: str
    distance: str
    train: Path
    queries: Path
    build_parameters: Mapping[str, Any]
    k: int
    batch: bool
    threads: int
    seed: int
    cpus: Sequence[int]
    memory_limit_bytes: int | None


class Worker:
    """A running worker. Every method raises `WorkerFailure` when the library or its process fails.

    Parameters
    ----------
    order
        What to run.
    folder
        An empty folder of its own; the worker's HOME, temporary and working directories are made in it.
    """

    def __init__(self, order: Order, folder: Path) -> None:
        self.order = order
        self.folder = folder
        self.can: frozenset[str] = frozenset()
        self.build_info: dict[str, Any] = {}
        self.peak_bytes = 0
        self._over_limit: str | None = None
        self._lock = threading.Lock()
        self._stopped = False
        self._number = 0
        self._private = [folder / name for name in ("home", "tmp", "work")]
        for path in (*self._private, folder / "out"):
            path.mkdir(parents=True)
        limit = order.memory_limit_bytes
        self._group = (
            MemoryGroup.make(f"ann-bench-{os.getpid()}-{folder.parent.name}-{folder.name}", limit)
            if limit
            else None
        )
        request_read, self._request_fd = os.pipe()
        self._reply_fd, reply_write = os.pipe()
        command = [
            str(order.python),
            "-I",
            str(PACKAGE / "worker" / "main.py"),
            str(request_read),
            str(reply_write),
        ]
        spec = {
            "parent": os.getpid(),
            "command": command,
            "environment": self._environment(),
            "folder": str(self._private[2]),
            "cpus": list(order.cpus),
            "cgroup_procs": str(self._group.procs) if self._group else None,
            "log_folder": str(folder),
            "worker_fds": [request_read, reply_write],
        }
        with (folder / "supervisor.err").open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(SUPERVISOR), json.dumps(spec)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=[request_read, reply_write],
                start_new_session=True,
            )
        os.close(request_read)
        os.close(reply_write)

    def _environment(self) -> dict[str, str]:
        home, tmp, _ = self._private
        variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        variables.update(dict.fromkeys(THREAD_VARIABLES, str(self.order.threads)))
        variables.update(
            HOME=str(home), TMPDIR=str(tmp), TEMP=str(tmp), TMP=str(tmp), XDG_CACHE_HOME=str(home)
        )
        return variables

    def hello(self, timeout_s: float) -> dict[str, Any]:
        """Load wrapper and vectors; return the worker's versions.

        `WorkerFailure` where batches are asked for and the wrapper has no `query_batch`.
        """
        order = self.order
        reply = self.request(
            "hello",
            "start",
            timeout_s,
            wrapper_path=str(order.wrapper_path),
            wrapper_class=order.wrapper_class,
            folders=[str(path) for path in self._private],
            train=str(order.train),
            queries=str(order.queries),
            k=order.k,
            batch=order.batch,
            out=str(self.folder / "out"),
            distance=order.distance,
            build_parameters=dict(order.build_parameters),
            threads=order.threads,
            seed=order.seed,
        )
        self.can = frozenset(reply["can"])
        self.build_info = reply["build_info"]
        if order.batch and "query_batch" not in self.can:
            text = "the wrapper has no query_batch, which --batch needs"
            raise WorkerFailure("start", "start", text, alive=True)
        return reply

    def request(self, op: str, stage: str, timeout_s: float, **fields: Any) -> dict[str, Any]:
        """Send one request and wait for its reply, at most `timeout_s` seconds."""
        self._number += 1
        try:
            os.write(
                self._request_fd, json.dumps({"op": op, "number": self._number, **fields}).encode() + b"\n"
            )
        except OSError:
            self._raise_ended(stage)
        line = self._read_line(stage, timeout_s)
        reply = _parsed(line)
        if reply is None or reply["number"] != self._number:
            self.close()
            text = "something else than the worker wrote into the harness's pipe"
            raise WorkerFailure("wrong-answer", stage, text, alive=False)
        if not reply["ok"]:
            trace = reply.get("traceback", "")
            raise WorkerFailure(reply["kind"], stage, reply["text"], alive=True, traceback=trace)
        return reply

    def _read_line(self, stage: str, timeout_s: float) -> bytes:
        """Return the next line from the worker; `WorkerFailure` if it ends or says nothing for too long."""
        assert self.process.stdout is not None
        ended = self.process.stdout.fileno()
        deadline = time.monotonic() + timeout_s
        line = b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            # The supervisor's pipe too: a child of the worker may hold the worker's own pipe open for ever.
            ready = _readable([self._reply_fd, ended], left)
            if not ready and left <= 0:
                self.close()
                raise WorkerFailure("timeout", stage, f"did not finish within {timeout_s:g} s", alive=False)
            data = os.read(self._reply_fd, 1 << 16) if self._reply_fd in ready else b""
            line += data
            if ready and not data:
                self._raise_ended(stage)
        return line

    def _raise_ended(self, stage: str) -> NoReturn:
        """Say how the worker ended."""
        assert self.process.stdout is not None
        if not _readable([self.process.stdout.fileno()], _ENDS_WITHIN_S):
            self.close()
            raise WorkerFailure("exited", stage, "closed its pipe to the harness", alive=False)
        output = self.process.stdout.read()
        self.process.wait()
        if self._group and self._group.killed():
            limit = (self.order.memory_limit_bytes or 0) / 2**20
            self._over_limit = f"the kernel ended it; the limit is {limit:,.0f} MiB"
        stopped = self._stopped
        self._release()
        if self._over_limit:
            raise WorkerFailure("memory", stage, self._over_limit, alive=False)
        if stopped:
            raise Stopped
        code = json.loads(output)["code"] if output else None
        if code is None:
            said = read_bytes(self.folder / "supervisor.err").decode(errors="replace")[-300:].strip()
            raise WorkerFailure("exited", stage, f"its supervisor ended without a word: {said}", alive=False)
        if code < 0:
            raise WorkerFailure(
                "signal", stage, f"the process was ended by {_signal_name(-code)}", alive=False
            )
        raise WorkerFailure("exited", stage, f"the process ended itself with exit status {code}", alive=False)

    def over_limit(self, text: str) -> None:
        """End the worker, from the watching thread, because of its memory."""
        self._over_limit = text
        self._let_go()

    def stop(self) -> None:
        """End the worker because the sweep ends; may be called from any thread."""
        self._stopped = True
        self._let_go()

    def _let_go(self) -> None:
        """Let go of the supervisor, which kills everything below it."""
        with self._lock:
            if self.process.stdin and not self.process.stdin.closed:
                self.process.stdin.close()

    def close(self) -> None:
        """End the worker and wait until nothing of it is left."""
        self._let_go()
        self.process.wait()
        self._release()

    def say_goodbye(self) -> None:
        """Let the library close its index before the worker is ended."""
        with contextlib.suppress(WorkerFailure):
            self.request("close", "close", _CLOSES_WITHIN_S)

    def _release(self) -> None:
        """Close what is open and remove the worker's private folders; its log stays."""
        with self._lock:
            for fd in (self._request_fd, self._reply_fd):
                if fd >= 0:
                    os.close(fd)
            self._request_fd = self._reply_fd = -1
            for stream in (self.process.stdin, self.process.stdout):
                if stream:
                    stream.close()
        if self._group:
            self._group.remove()
        for path in (*self._private, self.folder / "out"):
            shutil.rmtree(path, ignore_errors=True)

    def log(self) -> str:
        """Return what the worker printed so far: the first and the last 512 KiB."""
        return printed(self.folder)

    def log_bytes(self) -> int:
        """Return how many bytes the worker printed so far."""
        return int(read_bytes(self.folder / "log.bytes") or 0)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return the reply that a line holds, or None if it is none."""
    with contextlib.suppress(ValueError):
        reply = json.loads(line)
        if isinstance(reply, dict) and {"ok", "number"} <= reply.keys():
            return reply
    return None


def _readable(fds: Sequence[int], timeout_s: float) -> list[int]:
    """Return which of the descriptors can be read, or have ended, within the time."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN | select.POLLHUP)
    return [fd for fd, _ in poll.poll(max(0.0, timeout_s) * 1e3)]


def _signal_name(number: int) -> str:
    import signal

    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
