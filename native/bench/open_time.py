"""How fast a saved index opens, and whether processes share it: `python native/bench/open_time.py`.

Counted from `import ann_bench.engine` done, with the file in the page cache: `Forest.open`, and that with
the first query; each in a fresh process, the median over many. Then ten processes open the index and search,
and the kernel tells (smaps) what each holds of the file: Rss counts a shared page for everyone, Pss divides
it, so that the sum of Pss is what the ten take together.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ann_bench import config
from ann_bench.errors import AnnBenchError
from grids import GRIDS, OURS, SEED, add_set
from indexes import Index, Workplace, default_cache, describe
from questions import ask

_OPENS = """
import json, sys, time
import numpy as np
from ann_bench.engine import Forest
query = np.load(sys.argv[2])[0]
began = time.perf_counter_ns()
forest = Forest.open(sys.argv[1])
opened = time.perf_counter_ns()
forest.query(query, 10)
print(json.dumps([opened - began, time.perf_counter_ns() - began]))
"""
_HOLDS = """
import sys
import numpy as np
from ann_bench.engine import Forest
forest = Forest.open(sys.argv[1])
forest.query(np.load(sys.argv[2]), 10)
print("ready", flush=True)
sys.stdin.read()
"""
_OPEN_MS, _FIRST_QUERY_MS = 1.0, 5.0
_K = 10


def open_times(index: Path, queries: Path, processes: int) -> np.ndarray:
    """Return milliseconds, shape (processes, 2): of `Forest.open`, and of that with the first query."""
    with index.open("rb") as file:
        while file.read(1 << 24):
            pass  # now it is in the page cache
    command = [sys.executable, "-I", "-c", _OPENS, str(index), str(queries)]
    told = [subprocess.run(command, check=True, capture_output=True).stdout for _ in range(processes)]
    return np.array([json.loads(line) for line in told]) / 1e6


def shared_bytes(index: Path, queries: Path, processes: int) -> tuple[int, int]:
    """Return the sums over `processes` of Rss and Pss of the mapped file, in bytes, while all hold it."""
    command = [sys.executable, "-I", "-c", _HOLDS, str(index), str(queries)]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(processes)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            if child.stdout.readline() != b"ready\n":
                raise RuntimeError("a process could not open and search the index; its error stands above")
        held = [_mapped(child.pid, index) for child in children]
    finally:
        for child in children:
            child.communicate()
    return sum(rss for rss, _ in held), sum(pss for _, pss in held)


def _mapped(pid: int, index: Path) -> tuple[int, int]:
    """Return the bytes of Rss and Pss that a process has of a file."""
    totals = {"Rss:": 0, "Pss:": 0}
    inside = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):  # the head of a mapping: addresses, rights, ..., path
            inside = line.endswith(str(index))
        elif inside and words[0] in totals:
            totals[words[0]] += int(words[1]) * 1024
    return totals["Rss:"], totals["Pss:"]


def report(index: Index, vectors: np.ndarray, processes: int, sharers: int) -> None:
    """Measure and print."""
    path = index.folder / "index"
    with tempfile.TemporaryDirectory() as folder:
        queries = Path(folder) / "queries.npy"
        np.save(queries, vectors)
        milliseconds = open_times(path, queries, processes)
        rss, pss = shared_bytes(path, queries, sharers)
    size = path.stat().st_size
    print(f"{describe(index.build)}; {size / 1e6:,.1f} MB; {processes} fresh processes")
    figures = zip(("open", "open and first query"), milliseconds.T, (_OPEN_MS, _FIRST_QUERY_MS), strict=True)
    for name, values, bar in figures:
        median, low, high = np.percentile(values, [50, 5, 95])
        met = "yes" if median < bar else "NO"
        print(f"{name:<24} {median:7.3f} ms (5 to 95 %: {low:.3f} to {high:.3f})   < {bar:g} ms  {met}")
    met = "yes" if rss and pss <= size * 1.01 else "NO"
    together = f"{pss / 1e6:,.1f} MB of the file together, {rss / 1e6:,.1f} MB counted one by one"
    print(f"{f'{sharers} processes hold':<24} {together}   one copy  {met}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the index if need be, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--dataset", default="sift-photo-128-euclidean-250k", help="data set (default: %(default)s)"
    )
    parser.add_argument("--processes", type=int, default=50, help="fresh processes (default: %(default)s)")
    parser.add_argument("--sharers", type=int, default=10, help="that share it (default: %(default)s)")
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), help="folder of indexes (default: %(default)s)"
    )
    add_set(parser)
    args = parser.parse_args(arguments)
    try:
        questions = ask(args.dataset, k=_K, queries=200, seed=SEED)
        with Workplace(questions, args.cache, max(os.sched_getaffinity(0)), print) as place:
            changed = {**GRIDS[OURS].build, **dict(args.set)}
            build = {name: changed[name][0] for name in GRIDS[OURS].build}
            index = place.index(config.load_algorithms()[OURS], build)
            report(index, questions.test, args.processes, args.sharers)
    except AnnBenchError as error:
        sys.exit(f"open_time.py: {error}")


if __name__ == "__main__":
    main()
