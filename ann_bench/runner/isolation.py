"""What keeps runs apart, and the harness off the cores that it measures on."""

import contextlib
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from ann_bench.paths import cache_dir
from ann_bench.runner.lane import Observer
from ann_bench.runner.watch import Watch


def run_all(tasks: Sequence[Callable[[], None]], watch: Watch) -> None:
    """Run every task in a thread of its own; raise what one of them raised, or a KeyboardInterrupt.

    The watched workers are stopped then, which ends the other tasks; the caller gives Ctrl-C its handler
    back. Futures are waited for, not threads: a `Thread.join` that is interrupted takes the thread for ended.
    """
    with ThreadPoolExecutor(len(tasks), thread_name_prefix="lane") as pool:
        running: list[Future[None]] = []
        try:
            running += [pool.submit(task) for task in tasks]
            for task in as_completed(running):
                task.result()
        except BaseException:
            # Another Ctrl-C could not make this quicker; it could only tear the pool's own clean-up.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            watch.stop_all()
            wait(running)
            raise


def free_memory() -> int:
    """Return the bytes that can still be used: the machine's, or what a container leaves of its limit."""
    free = psutil.virtual_memory().available
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):
            free = min(free, int(Path(limit).read_text()) - int(Path(used).read_text()))
    return max(0, free)


@contextlib.contextmanager
def alone(observer: Observer) -> Iterator[None]:
    """Say so if another run measures on this machine at the same time."""
    lock = FileLock(cache_dir() / "measuring.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        observer.message("another run is measuring on this machine: the two disturb each other")
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def kept_off(cpus: Sequence[int]) -> Iterator[None]:
    """Keep all threads of the harness off the workers' cores where it has any others."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    _move_threads(before - set(cpus) or before)
    try:
        yield
    finally:
        _move_threads(before)


def _move_threads(cpus: set[int]) -> None:
    for thread in psutil.Process().threads():
        with contextlib.suppress(OSError):  # it ended meanwhile
            os.sched_setaffinity(thread.id, cpus)


@contextlib.contextmanager
def run_folder() -> Iterator[Path]:
    """Make a folder for one run, locked while it lasts, removed after it; what dead runs left goes first."""
    root = cache_dir() / "runs"
    root.mkdir(parents=True, exist_ok=True)
    for old in root.glob("run-*.lock"):
        with contextlib.suppress(Timeout, OSError), FileLock(old, timeout=0):
            shutil.rmtree(old.with_suffix(""), ignore_errors=True)
            old.unlink(missing_ok=True)
    folder = root / f"run-{os.getpid()}-{secrets.token_hex(4)}"
    lock = folder.with_suffix(".lock")
    with FileLock(lock):  # before the folder, so that nobody takes it for a dead run's
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
