"""Commands that leave nothing behind: each runs below the supervisor that workers run below.

Whatever a command started ends with it, with `Commands.stop`, and with this program, however that ends.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from ann_bench.paths import PACKAGE

SUPERVISOR = PACKAGE / "worker" / "supervisor.py"
_NOT_STARTED = 127


class Stopped(Exception):  # noqa: N818 - what was asked for, not an error
    """The program is to end, by Ctrl-C for one."""


class Commands:
    """Runs commands, from any number of threads, until it is stopped.

    Parameters
    ----------
    cpus
        The cores that all of them share.
    """

    def __init__(self, cpus: Sequence[int]) -> None:
        self.cpus = list(cpus)
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(self, command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> tuple[int, str]:
        """Run `command` in `folder`; return its exit status and what it printed, or raise `Stopped`."""
        with tempfile.TemporaryDirectory(prefix="ann-bench-") as logs:
            spec = {
                "parent": os.getpid(),
                "command": list(command),
                "environment": dict(environ),
                "folder": str(folder),
                "cpus": self.cpus,
                "cgroup_procs": None,
                "log_folder": logs,
                "worker_fds": [],
            }
            errors = Path(logs) / "supervisor.err"
            with self._lock, errors.open("wb") as file:
                self.check()
                supervisor = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(SUPERVISOR), json.dumps(spec)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=file,
                    start_new_session=True,  # Ctrl-C is for this program to deal with
                )
                self._running.add(supervisor)
            assert supervisor.stdout is not None
            report = supervisor.stdout.read()
            supervisor.wait()
            with self._lock:
                self._running.discard(supervisor)
                _close(supervisor)
                self.check()
            if not report:  # the command could not be started
                return _NOT_STARTED, errors.read_text(encoding="utf-8", errors="replace")
            code: int = json.loads(report)["code"]
            return code, printed(Path(logs))

    def check(self) -> None:
        """Raise `Stopped` if the commands were stopped."""
        if self._stopped:
            raise Stopped

    def stop(self) -> None:
        """End what runs, at once, and start nothing more."""
        with self._lock:
            self._stopped = True
            for supervisor in self._running:
                if supervisor.stdin:
                    supervisor.stdin.close()


def printed(log_folder: Path) -> str:
    """Return what a supervised process printed so far: the first and the last 512 KiB."""
    head, tail = (read_bytes(log_folder / name) for name in ("log.head", "log.tail"))
    total = int(read_bytes(log_folder / "log.bytes") or len(head))
    left_out = total - len(head) - len(tail)
    middle = f"\n[... {left_out:,} bytes left out ...]\n".encode() if left_out > 0 else b""
    return (head + middle + tail).decode("utf-8", errors="replace")


def read_bytes(path: Path) -> bytes:
    """Return what is in a file; nothing where there is none."""
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


def _close(supervisor: "subprocess.Popen[bytes]") -> None:
    for stream in (supervisor.stdin, supervisor.stdout):
        if stream:
            stream.close()
