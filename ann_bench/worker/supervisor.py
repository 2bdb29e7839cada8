"""Stands between the harness and one worker, and leaves nothing behind: `supervisor.py SPEC_JSON`.

It is the child subreaper of whatever the worker starts, dies with the harness (its control pipe closes, and
on Linux the kernel signals it), keeps the first and last 512 KiB of what the worker prints, and reports on
its standard output, in one JSON line, how the worker ended. It needs the standard library alone, so that it
starts in milliseconds.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any

KEEP_BYTES = 512 * 1024
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_DRAIN_S = 0.3
_KILL_S = 10.0


class Log:
    """The first and the last `KEEP_BYTES` of a stream of any length, on disk as two files."""

    def __init__(self, folder: str) -> None:
        self.head = open(os.path.join(folder, "log.head"), "wb", buffering=0)
        self.tail_path = os.path.join(folder, "log.tail")
        self.room = KEEP_BYTES
        self.tail: collections.deque[bytes] = collections.deque()
        self.tail_bytes = 0
        self.total_path = os.path.join(folder, "log.bytes")
        self.total = 0
        self.dirty = False

    def add(self, data: bytes) -> None:
        """Take in what was read."""
        self.total += len(data)
        if self.room:
            with contextlib.suppress(OSError):  # a full disk costs log lines, nothing else
                self.head.write(data[: self.room])
        rest = data[self.room :]
        self.room -= min(self.room, len(data))
        if rest:
            self.tail.append(rest)
            self.tail_bytes += len(rest)
            while self.tail_bytes - len(self.tail[0]) >= KEEP_BYTES:
                self.tail_bytes -= len(self.tail.popleft())
        self.dirty = True

    def flush(self) -> None:
        """Bring the files up to date."""
        if not self.dirty:
            return
        self.dirty = False
        with contextlib.suppress(OSError):
            if self.tail:
                with open(self.tail_path, "wb") as file:
                    file.write(b"".join(self.tail)[-KEEP_BYTES:])
            with open(self.total_path, "w") as file:
                file.write(str(self.total))


def _prctl(option: int, value: int) -> None:
    try:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
    except (OSError, AttributeError):
        pass  # not Linux: the control pipe alone must do


def _descendants() -> list[int]:
    """Return the ids of all processes below this one."""
    children: dict[int, list[int]] = collections.defaultdict(list)
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name) as file:
                    text = file.read()
            except OSError:
                continue
            children[int(text.rpartition(")")[2].split()[1])].append(int(name))
    found: list[int] = []
    todo = [os.getpid()]
    while todo:
        below = children[todo.pop()]
        found += below
        todo += below
    return found


def _kill_descendants(worker: subprocess.Popen[bytes]) -> None:
    """Kill and reap until no child is left; orphans of the killed become ours and follow.

    All are stopped before any is killed, so that none can fork while the others die.
    """
    deadline = time.monotonic() + _KILL_S
    while time.monotonic() < deadline:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        try:
            below = _descendants()
        except OSError:  # no /proc: the worker's process group is all that can be told
            below = []
            with contextlib.suppress(OSError):
                os.killpg(worker.pid, signal.SIGKILL)
        for order in (signal.SIGSTOP, signal.SIGKILL):
            for pid in below:
                with contextlib.suppress(OSError):
                    os.kill(pid, order)
        time.sleep(0.002)


def _exit_status(worker: subprocess.Popen[bytes]) -> int | None:
    """Return the worker's return code once it has ended; other dead children are reaped on the way."""
    while worker.returncode is None:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return -signal.SIGKILL
        if pid == 0:
            return None
        if pid == worker.pid:
            worker.returncode = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
    return worker.returncode


def main(spec: dict[str, Any]) -> None:
    """Run the worker that `spec` describes until it ends or the harness lets go."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    wake_read, wake_write = os.pipe()
    for fd in (wake_read, wake_write):
        os.set_blocking(fd, False)
    signal.set_wakeup_fd(wake_write)
    stop: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    if os.getppid() != spec["parent"]:
        return  # the harness died before the kernel was told to signal us

    log = Log(spec["log_folder"])
    log_read, log_write = os.pipe()

    def in_the_worker() -> None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, spec["cpus"])
        if spec["cgroup_procs"]:
            with contextlib.suppress(OSError), open(spec["cgroup_procs"], "w") as file:
                file.write("0")

    worker = subprocess.Popen(
        spec["command"],
        env=spec["environment"],
        cwd=spec["folder"],
        stdin=subprocess.DEVNULL,
        stdout=log_write,
        stderr=log_write,
        pass_fds=spec["worker_fds"],
        start_new_session=True,
        preexec_fn=in_the_worker,
    )
    os.close(log_write)
    for fd in spec["worker_fds"]:
        os.close(fd)

    try:
        _watch(worker, log, log_read, wake_read, stop)
    finally:
        _kill_descendants(worker)
        log.flush()
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps({"code": worker.returncode}) + "\n")
        sys.stdout.flush()


def _watch(
    worker: subprocess.Popen[bytes], log: Log, log_read: int, wake_read: int, stop: list[bool]
) -> None:
    """Keep the log until the worker ends, the harness lets go, or a signal says so."""
    control = sys.stdin.fileno()
    poll = select.poll()
    for fd in (log_read, control, wake_read):
        poll.register(fd, select.POLLIN | select.POLLHUP)
    ended_at: float | None = None
    log_open = True
    while not stop:
        for fd, _event in poll.poll(100 if log.dirty or ended_at else 2000):
            if fd == log_read:
                data = os.read(log_read, 1 << 20)
                if data:
                    log.add(data)
                else:
                    poll.unregister(log_read)
                    log_open = False
            elif fd == control:
                stop.append(True)  # the harness closed it: it wants an end, or it is dead
            else:
                os.read(wake_read, 4096)
        if not log_open or not _readable(log_read):
            log.flush()
        if ended_at is None and _exit_status(worker) is not None:
            ended_at = time.monotonic()
        # Wait a moment for what the worker printed last; a child of its may hold the pipe open for ever.
        if ended_at is not None and (
            not log_open or not _readable(log_read) or time.monotonic() - ended_at > _DRAIN_S
        ):
            break


def _readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
