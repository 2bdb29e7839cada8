"""The engine against other libraries at equal recall, both sides alternating.

`python native/bench/against.py` prints, for each data set, the ratios that the engine is judged by, with
their bars. README.md beside this file says how they are measured.
"""

import argparse
import itertools
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ann_bench import config
from ann_bench.config import Algorithm
from ann_bench.environments import describe as environment
from ann_bench.errors import AnnBenchError
from ann_bench.machine import machine_facts
from ann_bench.runner.launch import WorkerFailure
from grids import DATASETS, GRIDS, OURS, QUICK, QUICK_DATASET, SEED, Grid, add_set, recalls, resolved
from indexes import Index, Workplace, default_cache
from pairs import time_pairs
from questions import Questions, ask
from sweep import Choice, Point, choose, sweep
from table import lines

Found = Sequence[tuple[Index, list[Point]]]


def compare(args: argparse.Namespace, questions: Questions, k: int) -> Iterator[dict[str, Any]]:
    """Yield the comparisons on one data set for one k, as `table.lines` reads them."""
    algorithms = config.load_algorithms()
    with Workplace(questions, args.cache, args.cpu, _tell) as place:
        wanted = {
            opponent: tuple(args.recall or recalls(opponent, questions.name)) for opponent in args.opponent
        }
        hindered = {name: _hindrance(place, algorithms[name], batch=args.batch) for name in wanted}
        able = [name for name in wanted if not hindered[name]]
        every = sorted({recall for name in able for recall in wanted[name]})
        ours = _sweep(args, place, algorithms[OURS], every, k) if able else []
        for opponent in wanted:
            algorithm = algorithms[opponent]
            theirs = _sweep(args, place, algorithm, wanted[opponent], k) if opponent in able else []
            for recall in wanted[opponent]:
                comparison: dict[str, Any] = {
                    "dataset": questions.name, "distance": questions.distance, "rows": len(questions.train),
                    "dimension": questions.train.shape[1], "queries": len(questions.test), "k": k,
                    "batch": args.batch, "opponent": opponent, "recall": recall,
                }  # fmt: skip
                if opponent in able:
                    yield comparison | _compared(args, place, ours, theirs, comparison)
                else:
                    yield comparison | {"reason": hindered[opponent]}


def _hindrance(place: Workplace, algorithm: Algorithm, *, batch: bool) -> str:
    """Return why an algorithm cannot be compared; nothing if it can."""
    if place.questions.distance not in algorithm.distances:
        return f"it does not know the distance {place.questions.distance}"
    state = environment(algorithm.environment)
    if state.state != "ready" or not batch:
        return state.reason
    with place.worker(algorithm, {}, k=1, batch=batch) as worker:
        return "" if "query_batch" in worker.can else "it takes one query a call"


def _sweep(
    args: argparse.Namespace, place: Workplace, algorithm: Algorithm, wanted: Sequence[float], k: int
) -> Found:
    grid = _grid(args, algorithm.name)
    return sweep(place, algorithm, grid, wanted, k=k, batch=args.batch, fresh=args.fresh)


def _grid(args: argparse.Namespace, name: str) -> Grid:
    """Return the library's grid with what --quick and --set change."""
    grid = GRIDS[name]
    changes: dict[str, Any] = dict(QUICK[name]) if args.quick else {}
    if name == OURS:
        changes |= args.set
    return replace(
        grid,
        build={key: changes.get(key, values) for key, values in grid.build.items()},
        query={key: changes.get(key, values) for key, values in grid.query.items()},
    )


def _compared(
    args: argparse.Namespace, place: Workplace, ours: Found, theirs: Found, comparison: Mapping[str, Any]
) -> dict[str, Any]:
    """Return both sides' choices at the recall, and what timing them in turn gave."""
    recall, k, answers = comparison["recall"], comparison["k"], comparison["queries"] * comparison["k"]
    (mine, my_us), (other, their_us) = (choose(found, recall, answers) for found in (ours, theirs))
    if mine is None or other is None:
        side = "the engine's" if mine is None else "their"
        return {"reason": f"none of {side} settings reaches this recall"}
    _tell(f"timing {comparison['opponent']} at recall {recall:g}, k = {k}")
    return {
        "ours": _described(mine, my_us),
        "theirs": _described(other, their_us),
        "equal_trees": _equal_trees((ours, mine), (theirs, other)),
        "timed": time_pairs(
            place, (mine, other), k=k, batch=args.batch, launches=args.launches, quads=args.rounds, seed=SEED
        ),
    }


def _described(choice: Choice, us: Mapping[str, float]) -> dict[str, Any]:
    return {
        "build": choice.index.build,
        "facts": choice.index.facts,
        "enclosing": [asdict(point) for point in choice.enclosing],
        "weight": choice.weight,
        "sweep_us": us,
    }


def _equal_trees(ours: tuple[Found, Choice], theirs: tuple[Found, Choice]) -> dict[str, Any] | None:
    """Return the costs of an index of each side with the same number of trees, near what was chosen."""
    for n_trees in (side[1].index.build.get("n_trees") for side in (theirs, ours)):
        same = [
            next((index.facts for index, _ in found if index.build.get("n_trees") == n_trees), None)
            for found, _ in (ours, theirs)
        ]
        if n_trees is not None and None not in same:
            return {"n_trees": n_trees, "ours": same[0], "theirs": same[1]}
    return None


def build_all(args: argparse.Namespace, questions: Questions) -> None:
    """Build every index that a comparison would need, and search none."""
    algorithms = config.load_algorithms()
    with Workplace(questions, args.cache, args.cpu, _tell) as place:
        for name in dict.fromkeys([*args.opponent, OURS]):
            if reason := _hindrance(place, algorithms[name], batch=False):
                _tell(f"{name}: not built: {reason}")
                continue
            grid = _grid(args, name)
            for values, k in itertools.product(itertools.product(*grid.build.values()), args.k):
                place.index(algorithms[name], resolved(grid.build, values, k))


def _tell(text: str) -> None:
    print(f"  {text} ...", file=sys.stderr, flush=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's arguments."""
    opponents = [name for name in GRIDS if name != OURS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dataset", nargs="+", help="data sets (default: all that bars are set on)")
    parser.add_argument(
        "--opponent", nargs="+", choices=list(GRIDS), default=opponents,
        help=f"whom to compare with (default: {' '.join(opponents)}); {OURS} itself shows what chance does",
    )  # fmt: skip
    parser.add_argument("--recall", nargs="+", type=float, help="recalls to compare at (default: the bars')")
    parser.add_argument("--k", nargs="+", type=int, default=[10], help="neighbours to ask for (default: 10)")
    parser.add_argument("--queries", type=int, help="queries, drawn at random (default: 2000)")
    parser.add_argument("--launches", type=int, help="fresh processes of each side (default: 6)")
    parser.add_argument("--rounds", type=int, help="ABBA quads in a launch (default: 3)")
    parser.add_argument("--batch", action="store_true", help="all queries in one call, still in one thread")
    parser.add_argument(
        "--quick", action="store_true", help="minutes: one small data set, few settings, few launches"
    )
    add_set(parser)
    parser.add_argument("--fresh", action="store_true", help="sweep again what an earlier run has swept")
    parser.add_argument("--build-only", action="store_true", help="build the indexes and stop")
    parser.add_argument(
        "--cpu", type=int, default=max(os.sched_getaffinity(0)), help="core (default: the last)"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=default_cache(),
        help="folder that keeps indexes (default: %(default)s)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write all that was measured; table.py reads it"
    )
    args = parser.parse_args(arguments)
    args.set = dict(args.set)
    args.dataset = args.dataset or ([QUICK_DATASET] if args.quick else list(DATASETS))
    args.queries = args.queries or (500 if args.quick else 2000)
    args.launches = args.launches or (2 if args.quick else 6)
    args.rounds = args.rounds or (2 if args.quick else 3)
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare and print."""
    args = parse(arguments)
    measured: list[dict[str, Any]] = []
    try:
        for name in args.dataset:
            questions = ask(name, k=max(args.k), queries=args.queries, seed=SEED)
            if args.build_only:
                build_all(args, questions)
                continue
            for k in args.k:
                comparisons = list(compare(args, questions, k))
                print("\n".join(lines(comparisons)), flush=True)
                measured += comparisons
                if args.json:
                    found = {"machine": machine_facts([args.cpu]), "comparisons": measured}
                    args.json.write_text(json.dumps(found, indent=1))
    except (AnnBenchError, WorkerFailure) as error:
        sys.exit(f"against.py: {error}")


if __name__ == "__main__":
    main()
