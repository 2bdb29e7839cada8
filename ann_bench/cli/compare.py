"""`ann-bench compare`: what changed between two folders of results."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ann_bench.cli.arguments import integer, share
from ann_bench.text import printable

if TYPE_CHECKING:
    from ann_bench.compare.matching import Side

HELP = "what changed between two folders of results, and whether that is a regression"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `compare`."""
    parser.description = (
        "Compare the results in NEW with those in BASE, setting by setting. Recall, distance computations "
        "and memory are gated: worse by more than their margin is a regression. Time is shown, never gated: "
        "two runs at different times cannot tell a change of the code from one of the machine."
    )
    parser.epilog = """\
exit status:
  0 pass   1 regression   2 usage   4 nothing that can be compared
  5 NEW failed at a setting that BASE measured

examples:
  ann-bench compare results-main results
  ann-bench compare results-main results --format markdown
  ann-bench compare results results --base-label before --new-label after"""
    for name, which in (("base", "what it is held against"), ("new", "what changed")):
        parser.add_argument(name, type=Path, metavar=name.upper(), help=f"results folder: {which}")
    what = parser.add_argument_group("what to compare")
    what.add_argument(
        "--dataset",
        action="append",
        default=[],
        metavar="NAME",
        help="only this dataset, * and ? allowed; may be repeated",
    )
    what.add_argument(
        "--algorithm",
        action="append",
        default=[],
        metavar="GLOB",
        help="only these algorithms; may be repeated",
    )
    what.add_argument(
        "-k", "--count", type=integer(1), metavar="K", help="only what was asked for K neighbours"
    )
    what.add_argument("--batch", action="store_true", help="only what was measured with --batch")
    for side in ("base", "new"):
        what.add_argument(
            f"--{side}-label",
            metavar="TEXT",
            help=f'of {side.upper()} only what run.py gave this --label; "" for none',
        )
    how = parser.add_argument_group("how to judge")
    how.add_argument(
        "--margin",
        type=share,
        default="2%",
        metavar="SHARE",
        help="growth that is tolerated; of what is read off a running process never less than 5%% "
        "(default: 2%%)",
    )
    how.add_argument(
        "--recall-margin",
        type=share,
        default="0.005",
        metavar="LOSS",
        help="loss of recall that is tolerated (default: %(default)s)",
    )
    how.add_argument(
        "--recall",
        type=share,
        nargs="+",
        default=[0.9, 0.95, 0.99],
        metavar="RECALL",
        help="recalls at which distance computations and speed are compared (default: 0.9 0.95 0.99)",
    )
    parser.add_argument(
        "--format",
        choices=("text", "markdown", "json"),
        default="text",
        help="markdown for a pull request, json with every figure (default: %(default)s)",
    )


def main(args: argparse.Namespace) -> int:
    """Print what changed and return the exit code that goes with it."""
    from rich.console import Console

    from ann_bench.cli.compare_text import as_markdown, show
    from ann_bench.compare.findings import Margins, as_plain
    from ann_bench.compare.stored import compare

    comparison = compare(
        _side(args, args.base, args.base_label),
        _side(args, args.new, args.new_label),
        margins=Margins(ratio=args.margin, recall=args.recall_margin),
        targets=sorted(set(args.recall)),
    )
    if args.format == "json":
        print(json.dumps(as_plain(comparison), indent=2, allow_nan=False))
    elif args.format == "markdown":
        print(as_markdown(comparison), end="")
    else:
        show(comparison, Console(highlight=False))
    return comparison.exit_code


def _side(args: argparse.Namespace, folder: Path, label: str | None) -> "Side":
    """Return what is to be compared of a folder; raise `UsageError` if it holds none of it."""
    from ann_bench import results
    from ann_bench.compare.matching import Side
    from ann_bench.errors import UsageError

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give one that `run.py --results DIR` filled")
    records = results.scan(folder, on_skip=lambda line: print(printable(line), file=sys.stderr))
    if not records:
        raise UsageError(f"{folder}: holds no measurements; give a folder that `run.py --results DIR` filled")
    chosen = results.select(
        records,
        datasets=args.dataset,
        algorithms=args.algorithm,
        k=args.count,
        mode="batch" if args.batch else None,
        label=label,
    )
    if not chosen:
        raise UsageError(
            f"{folder}: none of its {len(records)} measurements is of what was asked for; "
            f"`ann-bench results list --results {folder}` shows them"
        )
    return Side(str(folder) if label is None else f"{folder} [{label}]", chosen)
