"""`ann-bench history`: the trend of speed at a recall over the runs, and where it shifted."""

import argparse
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from ann_bench.cli.arguments import add_results
from ann_bench.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ann_bench.history import Entry
    from ann_bench.trend import Series

HELP = "the trend of speed at a recall over the runs, with its shifts"
_FIGURE = "history.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `ann-bench history`."""
    parser.description = (
        "Print and draw how many queries per second each algorithm answered at a recall, run by run, and "
        "mark where the level shifted. Each run of run.py adds a line to history.jsonl in the results "
        "folder. Runs on different processors, or of different settings, are never in one series."
    )
    parser.epilog = """\
A shift says that the level moved, not why: the machine may have changed as well as the code. Whether a commit
is faster is told by a comparison in one session: `python run.py --against COMMIT`.

examples:
  ann-bench history --algorithm engine-forest
  ann-bench history --dataset 'glove-*' --recall 0.99 -o trend.svg
  ann-bench history --json | jq '.series[].shifts'

exit status: 0 done; 1 there is no history yet; 2 usage"""
    parser.add_argument(
        "--dataset",
        action="append",
        default=[],
        metavar="GLOB",
        help="datasets by name, * and ? allowed; may be repeated (default: all)",
    )
    parser.add_argument(
        "--algorithm",
        action="append",
        default=[],
        metavar="GLOB",
        help="algorithms by name; likewise",
    )
    parser.add_argument(
        "--recall",
        type=float,
        default=0.95,
        metavar="R",
        help="0.9, 0.95 or 0.99 (default: %(default)s)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help=f"the figure: .png, .svg or .pdf (default: {_FIGURE} in the results folder)",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--text", action="store_true", help="print the tables and draw nothing")
    instead.add_argument("--json", action="store_true", help="print series and shifts for programs instead")
    add_results(parser)


def main(args: argparse.Namespace) -> int:
    """Print and draw the series that the arguments ask for; return the exit code."""
    from rich.console import Console

    from ann_bench.cli.history_display import as_json, print_series
    from ann_bench.errors import UsageError
    from ann_bench.history import TARGETS
    from ann_bench.report.figure import check_path, save
    from ann_bench.report.history import draw, facts

    if args.recall not in TARGETS:
        raise UsageError(f"--recall: got {args.recall:g}; the history keeps {', '.join(map(str, TARGETS))}")
    if args.output and (args.text or args.json):
        raise UsageError("-o: --text and --json draw nothing; leave out one of them")
    if args.output:
        check_path(args.output)
    series = _series(args)
    if args.json:
        print(as_json(series, args.recall))
        return 0
    console = Console(highlight=False)
    for one, told in zip(series, facts(series), strict=True):
        print_series(console, one, told)
        console.print()
    if not args.text and any(one.points for one in series):
        path = args.output or args.results / _FIGURE
        save(draw(series), path)
        print(path)
    return 0


def _series(args: argparse.Namespace) -> "list[Series]":
    """Return the series asked for; raise if there are none, saying what there is."""
    from ann_bench import history
    from ann_bench.errors import ResultsError, UsageError
    from ann_bench.trend import make_series

    path = args.results / history.FILE_NAME
    entries = history.read(args.results, on_skip=lambda line: print(printable(line), file=sys.stderr))
    if not entries:
        raise ResultsError(
            f"{path}: there is no history here yet; each run of run.py adds to "
            "it, --results names another folder"
        )
    chosen = [
        one
        for one in make_series(entries, args.recall)
        if _fits(one.newest.dataset.name, args.dataset) and _fits(one.algorithm, args.algorithm)
    ]
    if not chosen:
        raise UsageError(f"nothing in {path} fits; there is {_inventory(entries)}")
    return chosen


def _fits(name: str, globs: "Sequence[str]") -> bool:
    return not globs or any(fnmatchcase(name, glob) for glob in globs)


def _inventory(entries: "Sequence[Entry]") -> str:
    datasets = sorted({entry.dataset.name for entry in entries})
    algorithms = sorted({name for entry in entries for name in entry.algorithms})
    return f"of the datasets {', '.join(datasets)}; of the algorithms {', '.join(algorithms)}"
