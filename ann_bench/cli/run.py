"""`run.py`: measure algorithms on a dataset."""

import argparse
import functools
import glob
import sys
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from ann_bench.cli import against
from ann_bench.cli.arguments import (
    add_definitions,
    add_results,
    byte_count,
    check_cpus,
    cpu_list,
    integer,
    seconds,
)

if TYPE_CHECKING:
    from ann_bench.config import Algorithm
    from ann_bench.datasets import Dataset
    from ann_bench.runner.plan import Plan, Request
    from ann_bench.runner.sweep import Outcome

HELP = "measure algorithms on a dataset"
DEFAULT_DATASET = "glove-100-angular-25k"


class _Once(argparse.Action):
    """Refuses a flag's second value, which would silently take the place of the first."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        _flag: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) != self.default:
            parser.error(f"{self.option_strings[0]}: got it twice; measure one dataset after the other")
        setattr(namespace, self.dest, values)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `run.py`; those that ann-benchmarks has mean the same here."""
    parser.description = (
        "Measure recall and speed of algorithms on a dataset. Every setting becomes one file in the "
        "results folder; what is measured already is not measured again."
    )
    parser.epilog = """\
examples:
  run.py                                       all that is installed, minutes
  run.py --algorithm 'faiss-*' --algorithm annoy --preset default
  run.py --dataset fashion-mnist-784-euclidean --dry-run
  run.py --batch                               one call, every core
  run.py --against main                        is the working tree slower?
  run.py --against annoy==1.17.2 --algorithm annoy

exit status: 0 all was measured; 1 something failed or could not be measured; 2 usage; 130 interrupted;
of a comparison: 0 pass; 1 regression; 2 usage; 3 inconclusive; 4 invalid; 5 a side would not build or run"""
    what = parser.add_argument_group("what to measure")
    what.add_argument(
        "--dataset",
        action=_Once,
        default=DEFAULT_DATASET,
        metavar="NAME",
        help="a dataset of the catalogue or an .hdf5 file (default: %(default)s)",
    )
    what.add_argument(
        "--algorithm",
        action="append",
        metavar="GLOB",
        help="algorithms by name, * and ? allowed; may be repeated (default: all that are installed)",
    )
    what.add_argument(
        "--preset",
        choices=("quick", "default", "full"),
        default="quick",
        help="how large the parameter grids are (default: %(default)s)",
    )
    what.add_argument(
        "-k",
        "--count",
        type=integer(1),
        default=10,
        metavar="K",
        help="neighbours to ask for (default: %(default)s)",
    )
    what.add_argument(
        "--batch",
        action="store_true",
        help="all queries in one call, on all cores of --cpus, instead of one by one on one core; "
        "a comparison has calls of 500 queries on one core",
    )
    what.add_argument(
        "--queries", type=integer(1), metavar="N", help="only N queries, spread evenly over all"
    )
    what.add_argument(
        "--subset", type=integer(1), metavar="N", help="only the first N rows; exact answers are recomputed"
    )
    what.add_argument(
        "--label",
        default="",
        metavar="TEXT",
        help="a name for this state of things; measured beside others, drawn with plot.py --series label",
    )
    what.add_argument(
        "--force", action="store_true", help="measure again what is measured already; the older files stay"
    )
    what.add_argument("--retry-failed", action="store_true", help="measure again what failed before")
    how = parser.add_argument_group("how to measure")
    how.add_argument(
        "--runs",
        type=integer(1),
        default=6,
        metavar="N",
        help="rounds: passes over the queries (default: %(default)s)",
    )
    how.add_argument(
        "--seed",
        type=integer(0),
        default=1,
        metavar="N",
        help="seed of builds and of the order of things (default: %(default)s)",
    )
    how.add_argument(
        "--timeout",
        type=seconds,
        metavar="TIME",
        help="end a build, or a round, after this long, such as 90s, 15m, 2h (default: the preset's limits)",
    )
    how.add_argument(
        "--cpus",
        type=cpu_list,
        metavar="LIST",
        help="cores that libraries may use, such as 1 or 0,2-4 (default: the last one; with --batch all)",
    )
    how.add_argument(
        "--parallelism",
        type=integer(1),
        default=1,
        metavar="N",
        help="measure N indexes at a time, each on its own core; they disturb each other (default: 1)",
    )
    how.add_argument(
        "--memory-limit",
        type=byte_count(2**26),
        metavar="SIZE",
        help="resident memory a worker may use, such as 4G (default: 80%% of what is free)",
    )
    where = parser.add_argument_group("where things are")
    add_results(where)
    add_definitions(where)
    where.add_argument("--offline", action="store_true", help="download and generate nothing")
    against.add_arguments(parser.add_argument_group("to compare two versions, or two algorithms, instead"))
    parser.add_argument(
        "--plot", action="store_true", help="draw the curves and print the table when done, as plot.py does"
    )
    instead = parser.add_argument_group("instead of measuring")
    instead.add_argument(
        "--dry-run", action="store_true", help="tell what would run, how many and how long, and stop"
    )
    instead.add_argument("--list-algorithms", action="store_true", help="list the algorithms' names and stop")


def main(args: argparse.Namespace) -> int:
    """Run the sweep that the arguments ask for; return the exit code."""
    from ann_bench import config
    from ann_bench.cli import sweep_text
    from ann_bench.cli.sweep_display import Display
    from ann_bench.errors import UsageError
    from ann_bench.runner.plan import make_plan
    from ann_bench.runner.sweep import run_sweep

    algorithms = config.load_algorithms(args.definitions)
    if args.list_algorithms:
        print("\n".join(sorted(algorithms)))
        return 0
    comparing = args.against is not None or args.versus is not None
    if comparing:
        against.check(args)
    elif args.build:
        raise UsageError(f"--build: got {args.build[0]!r}; it goes with --against or --versus")
    if comparing and not args.algorithm:
        chosen = against.default_algorithms(algorithms)
    else:
        chosen = list(config.select(algorithms, args.algorithm or ()).values())
    cpus = _cpus(args, all_cores=args.batch and not comparing)
    if comparing:
        with against.no_false_verdict():
            return against.main(args, _dataset(args), chosen, cpus[0])
    dataset = _dataset(args)
    request = _request(args, dataset, chosen, cpus)
    plan = make_plan(request)
    sweep_text.show_plan(request, plan)
    if args.dry_run:
        sweep_text.show_dry_run(request, plan)
        return 0
    wanted_but_left_out = _named(plan, args.algorithm)
    with Display(request, plan) as observer:
        outcome = run_sweep(request, plan, observer)
    sweep_text.show_outcome(request, plan, outcome, drawn=args.plot)
    _remember(request, plan, outcome)
    if outcome.interrupted:
        return 130
    if args.plot and any(record["status"] == "ok" for record in (*outcome.records, *plan.done)):
        _draw(request)
    unsound = any(
        record["status"] == "failed" or record["problems"] for record in (*outcome.records, *plan.done)
    )
    return 1 if unsound or wanted_but_left_out or not (outcome.records or plan.done) else 0


def _dataset(args: argparse.Namespace) -> "Dataset":
    from ann_bench.datasets import load_dataset
    from ann_bench.errors import UsageError

    dataset = load_dataset(
        args.dataset,
        k=args.count,
        queries=args.queries,
        subset=args.subset,
        offline=args.offline,
        progress=True,
        report=functools.partial(print, file=sys.stderr),
    )
    if args.count > dataset.n:
        raise UsageError(f"-k: got {args.count}; {dataset.name} has {dataset.n:,} rows")
    return dataset


def _request(
    args: argparse.Namespace, dataset: "Dataset", chosen: "list[Algorithm]", cpus: tuple[int, ...]
) -> "Request":
    from ann_bench.runner.plan import Request

    return Request(
        dataset=dataset,
        algorithms=chosen,
        results=args.results,
        preset=args.preset,
        k=args.count,
        batch=args.batch,
        rounds=args.runs,
        seed=args.seed,
        label=args.label,
        cpus=cpus,
        parallelism=args.parallelism,
        memory_limit_bytes=args.memory_limit,
        timeout_s=args.timeout,
        force=args.force,
        retry_failed=args.retry_failed,
        definitions=tuple(args.definitions),
    )


def _remember(request: "Request", plan: "Plan", outcome: "Outcome") -> None:
    """Add the run to the history; of an interrupted one the algorithms that it finished."""
    from ann_bench import history
    from ann_bench.errors import ResultsError
    from ann_bench.results import identity_hash
    from ann_bench.runner.record import harness_commit
    from ann_bench.text import printable

    if outcome.interrupted and not outcome.records:
        return
    measured = {record["identity_hash"] for record in outcome.records}
    unfinished = {
        job.algorithm.name
        for job in plan.jobs
        if any(identity_hash(setting.identity) not in measured for setting in job.settings)
    }
    records = [r for r in (*plan.done, *outcome.records) if r["algorithm"]["name"] not in unfinished]
    if not records:
        return
    try:
        entry = history.sweep_entry(records, preset=request.preset, commit=harness_commit())
        history.append(request.results, entry)
    except ResultsError as error:
        print(f"warning: {printable(error)}", file=sys.stderr)


def _draw(request: "Request") -> None:
    """Draw the dataset that was measured, as plot.py would."""
    from ann_bench.cli import plot

    parser = argparse.ArgumentParser()
    plot.add_arguments(parser)
    words = ["--count", str(request.k), "--results", str(request.results), *["--batch"][: request.batch]]
    args = parser.parse_args(words)
    args.dataset, args.sha256 = [glob.escape(request.dataset.name)], request.dataset.sha256
    plot.main(args)


def _cpus(args: argparse.Namespace, *, all_cores: bool) -> tuple[int, ...]:
    """Return the cores for workers: those asked for, else all, or the last: the harness has the first."""
    from ann_bench.errors import UsageError
    from ann_bench.machine import allowed_cpus

    here = allowed_cpus()
    if all_cores and args.parallelism > 1:
        raise UsageError(
            f"--parallelism: got {args.parallelism} with --batch, which uses all cores: leave out one of them"
        )
    if args.cpus is None:
        if args.parallelism > len(here):
            raise UsageError(
                f"--parallelism: got {args.parallelism}; this machine lets us use {len(here)} cores"
            )
        return tuple(here if all_cores else here[-args.parallelism :])
    check_cpus(args.cpus, here)
    if not all_cores and len(args.cpus) < args.parallelism:
        raise UsageError(
            f"--cpus: got {len(args.cpus)} cores; --parallelism {args.parallelism} needs as many"
        )
    return tuple(args.cpus)


def _named(plan: "Plan", patterns: list[str] | None) -> list[str]:
    """Return the names of algorithms that were asked for one by one and cannot be measured."""
    names = [pattern for pattern in patterns or () if not any(sign in pattern for sign in "*?[")]
    left_out = [left for left in plan.left_out if not left.unavailable]
    return [left.name for left in left_out if any(fnmatchcase(left.name, name) for name in names)]
