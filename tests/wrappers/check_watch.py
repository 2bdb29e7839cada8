"""What `check_wrapper.py` watches while a library works: threads, memory, output. Python >= 3.7, NumPy."""

import ctypes
import gc
import os
import sys
import tempfile
import time

from ann_bench.worker.memory import resident_bytes

# Processor time that is enough to see a second thread in it; seconds for a library that uses none of it.
WATCHED_S = 0.05
MOST_WATCHED_S = 0.5
# Bytes that a process may grow by without forgetting to give them back: heaps break up, caches fill.
GROWTH = 4 << 20


def watch_threads(work, what, share=0.2):
    """Return what `work` returned; `AssertionError` where it, repeated for a while, keeps two threads busy.

    They are two where the less busy one takes more than `share` of the other's time, or both at once. That
    is looked at again before it is said: an idle pool of BLAS, started by whatever, spins for a while.
    """
    for _ in range(4):
        wall, cpu, own = time.perf_counter(), time.process_time(), time.thread_time()
        result = work()
        while time.process_time() < cpu + WATCHED_S and time.perf_counter() < wall + MOST_WATCHED_S:
            result = work()
        own, cpu = time.thread_time() - own, time.process_time() - cpu
        wall, others = time.perf_counter() - wall, cpu - own
        at_once = cpu > 1.2 * wall + 0.01
        # Where others use the processor, that tells nothing; but one thread is either this one or another. A
        # build may leave one part to a thread of its own.
        shared = what != "building" and min(own, others) > share * max(own, others) + 0.005
        if not (at_once or shared):
            return result
    text = f"{what} with one thread took {own:.3f} s of it, {others:.3f} s of others, in {wall:.3f} s"
    raise AssertionError(text)


def watch_memory(work, seconds, calls, windows=5):
    """Raise `AssertionError` where `work(i)`, for so many seconds or calls, goes on taking memory.

    What ends first ends it. The first fifth is to settle. Heaps that fill up slower than that are looked at
    again, `windows` times in all: what is never given back shows each time.
    """
    _repeat(work, seconds / 5, calls // 5)
    for _ in range(windows):
        before = _settled_bytes()
        made = _repeat(work, seconds * 4 / 5, calls * 4 // 5)
        after = _settled_bytes()
        if before is None or after - before <= GROWTH:
            return
    raise AssertionError(f"grew by {(after - before) / 2**20:.1f} MiB in {made} queries")


def _repeat(work, seconds, calls):
    end = time.perf_counter() + seconds
    made = 0
    while made < calls and time.perf_counter() < end:
        work(made)
        made += 1
    return made


def _settled_bytes():
    gc.collect()
    return resident_bytes()


class Printed:
    """What is written to the descriptors 1 and 2 inside it: `text`, kept meanwhile in a file in `folder`."""

    def __init__(self, folder):
        self._folder = folder

    def __enter__(self):
        """Put a file in their places."""
        _flush()
        self._file = tempfile.TemporaryFile(dir=self._folder)
        self._kept = [os.dup(fd) for fd in (1, 2)]
        for fd in (1, 2):
            os.dup2(self._file.fileno(), fd)
        return self

    def __exit__(self, *_exception):
        """Put them back, and write there what came."""
        _flush()
        for fd, kept in zip((1, 2), self._kept):
            os.dup2(kept, fd)
            os.close(kept)
        self._file.seek(0)
        self.text = self._file.read().decode("utf-8", "replace")
        self._file.close()
        sys.stderr.write(self.text)


def _flush():
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    ctypes.CDLL(None).fflush(None)
