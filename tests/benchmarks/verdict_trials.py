"""Trials of the verdict on a real machine: the engine against itself, and slowed by a known share.

    python -m tests.benchmarks.verdict_trials [--against-itself 20] [--slower 3 10] [--slower 5 10] [--results
    DIR]

Each trial is a whole comparison with a seed of its own, while another process keeps a core beside the
workers' busy. A trial that is done is not done again: run it as often as there is time, it goes on where it
was, and ends with what all trials so far came to.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ann_bench import config
from ann_bench.compare.estimate import Estimate
from ann_bench.compare.session import run_comparison
from ann_bench.compare.sides import Side, Workshop
from ann_bench.compare.store import read
from ann_bench.compare.survey import Asked
from ann_bench.datasets import load_dataset
from ann_bench.machine import allowed_cpus
from ann_bench.supervised import Commands

DATASET = "glove-100-angular-25k"
ALGORITHM = "engine-forest"
TARGETS = (0.9, 0.95, 0.99)


def main() -> None:
    """Run the trials that are not done yet, and print what all came to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against-itself", type=int, default=20, metavar="N", help="default: 20")
    parser.add_argument(
        "--slower", nargs=2, action="append", metavar=("PERCENT", "N"), help="default: 3 10, and 5 10"
    )
    parser.add_argument("--results", type=Path, default=Path("results/trials"), metavar="DIR")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no other trial after so long")
    args = parser.parse_args()
    slower = [(int(percent), int(count)) for percent, count in args.slower or (("3", "10"), ("5", "10"))]
    wanted = [(0, args.against_itself), *slower]
    args.results.mkdir(parents=True, exist_ok=True)
    done = args.results / "trials.jsonl"
    deadline = time.monotonic() + 60 * args.minutes
    workshop = Workshop(
        config.load_algorithms()[ALGORITHM],
        (),
        Commands(allowed_cpus()),
        lambda line: print(line, flush=True),
    )
    base = workshop.new()
    with busy_core():
        # By turns, so that a stop half-way leaves some of each.
        for number in range(max(count for _, count in wanted)):
            for percent, count in wanted:
                if number < count and (percent, number) not in finished(done) and time.monotonic() < deadline:
                    new = workshop.new({"SKBUILD_CMAKE_DEFINE": f"ANN_BENCH_SLOWDOWN_PERCENT={percent}"})
                    trial(base, new if percent else base, percent, number, args.results, done)
    summarise(done)


def trial(base: Side, new: Side, percent: int, number: int, results: Path, done: Path) -> None:
    """Run one comparison and add a line about it."""
    asked = Asked(
        dataset=load_dataset(DATASET, k=10),
        k=10,
        cpu=allowed_cpus()[-1],
        preset="quick",
        targets=TARGETS,
        margin=0.02,
        builds=1,
        seed=1000 * percent + number,
        most_launches=32,
        clock=None,
        timeout_s=None,
        memory_limit_bytes=None,
    )
    began = time.monotonic()
    outcome = run_comparison(
        asked, base, new, results, report=lambda _line: None, launched=lambda _launch, _verdict: None
    )
    if outcome.interrupted or outcome.recorded is None:
        raise KeyboardInterrupt
    verdict = outcome.recorded.verdict()
    line = {
        "percent": percent,
        "number": number,
        "verdict": verdict.name,
        "word": verdict.word,
        "ratio": _ratio(verdict.change, "change"),
        "interval": [_ratio(verdict.change, end) for end in ("low", "high")],
        "control": _ratio(verdict.control, "change"),
        "launches": len(outcome.recorded.launches),
        "seconds": round(time.monotonic() - began, 1),
        "file": outcome.recorded.path.name,
    }
    with done.open("a") as file:
        print(json.dumps(line), file=file)
    print(json.dumps(line), flush=True)


def _ratio(found: Estimate | None, end: str) -> float | None:
    return None if found is None else round(float(np.exp(getattr(found, end))), 5)


def finished(done: Path) -> set[tuple[int, int]]:
    """Return the trials that are done, by percent and number."""
    lines = done.read_text().splitlines() if done.exists() else []
    return {(found["percent"], found["number"]) for found in map(json.loads, lines)}


def summarise(done: Path) -> None:
    """Print, for each slowdown, verdicts, words, estimates, launches and seconds."""
    trials = [json.loads(line) for line in done.read_text().splitlines()]
    for percent in sorted({trial["percent"] for trial in trials}):
        mine = [trial for trial in trials if trial["percent"] == percent]
        # Also what the stored launches give with the code as it is now.
        verdicts = [read(done.parent / "comparisons" / trial["file"]).verdict() for trial in mine]
        names = [verdict.name for verdict in verdicts]
        words = [verdict.word for verdict in verdicts]
        ratios = [np.exp(verdict.change.change) for verdict in verdicts if verdict.change]
        seconds = [trial["seconds"] for trial in mine]
        print(f"slower by {percent} %: {len(mine)} trials")
        print("  verdicts: " + ", ".join(f"{names.count(name)} {name}" for name in sorted(set(names))))
        print(f"  called faster {words.count('faster')}, slower {words.count('slower')}")
        print(f"  ratio {np.median(ratios):.4f} ({min(ratios):.4f} to {max(ratios):.4f})")
        print(f"  launches {[trial['launches'] for trial in mine]}")
        print(f"  seconds {np.median(seconds):.0f}, at most {max(seconds):.0f}")


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """Keep a core beside the workers' busy with memory traffic, where there is one."""
    cpus = allowed_cpus()
    process = multiprocessing.get_context("fork").Process(target=_load, args=(cpus[0],), daemon=True)
    if len(cpus) > 1:
        process.start()
    try:
        yield
    finally:
        if process.pid is not None:
            process.terminate()
            process.join()


def _load(cpu: int) -> None:
    os.sched_setaffinity(0, {cpu})
    values = np.random.default_rng(0).random(1 << 22)
    while True:
        values = np.sort(values) * 1.0001
        values[::7] = values[::7][::-1].copy()


if __name__ == "__main__":
    main()
