"""Watches the resident memory of live workers, and ends those that outgrow their limit."""

import threading

import psutil

from ann_bench.runner.launch import Worker

_INTERVAL_S = 0.1


class Watch:
    """A thread that looks at every worker's process tree ten times a second.

    Resident bytes are counted, not address space, which breaks libraries that map files. Each worker's
    `peak_bytes` holds the largest sum seen; the caller resets it.
    """

    def __init__(self) -> None:
        self._workers: set[Worker] = set()
        self._lock = threading.Lock()
        self._refusing = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory watch", daemon=True)
        self._thread.start()

    def add(self, worker: Worker) -> None:
        """Watch `worker` until it is removed."""
        with self._lock:
            self._workers.add(worker)
            if self._refusing:
                worker.stop()

    def remove(self, worker: Worker) -> None:
        """Watch `worker` no longer."""
        with self._lock:
            self._workers.discard(worker)

    def stop_all(self) -> None:
        """End every watched worker, now, and every one that is still to be added."""
        with self._lock:
            self._refusing = True
            for worker in self._workers:
                worker.stop()

    def close_all(self) -> None:
        """End every watched worker and wait until nothing of them is left."""
        self.stop_all()
        with self._lock:
            workers, self._workers = self._workers, set()
        for worker in workers:
            worker.close()

    def close(self) -> None:
        """End the thread."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(_INTERVAL_S):
            with self._lock:
                workers = list(self._workers)
            for worker in workers:
                resident = tree_bytes(worker.process.pid)
                worker.peak_bytes = max(worker.peak_bytes, resident)
                limit = worker.order.memory_limit_bytes
                if limit is not None and resident > limit:
                    worker.over_limit(
                        f"used {resident / 2**20:,.0f} MiB; the limit is {limit / 2**20:,.0f} MiB"
                    )


def tree_bytes(supervisor_pid: int) -> int:
    """Return the resident bytes of all processes below the supervisor."""
    total = 0
    try:
        below = psutil.Process(supervisor_pid).children(recursive=True)
    except psutil.Error:
        return 0
    for process in below:
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total
