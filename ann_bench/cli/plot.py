"""`plot.py`: draw what was measured."""

import argparse
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ann_bench.cli.arguments import add_results, integer
from ann_bench.errors import ResultsError, UsageError
from ann_bench.text import printable

if TYPE_CHECKING:
    from ann_bench.report.charts import Chart

HELP = "draw what was measured, and print it as a table"

# What ann-benchmarks calls the metrics that we name otherwise. Its `queriessize`, index size over queries per
# second, is left out: it is no size of anything.
ALIASES = {
    "k-nn": "ann_benchmarks_recall",
    "epsilon": "epsilon_recall_0.01",
    "largeepsilon": "epsilon_recall_0.1",
    "rel": "distance_ratio",
    "p50": "latency_p50_us",
    "p95": "latency_p95_us",
    "p99": "latency_p99_us",
    "p999": "latency_p999_us",
    "build": "build_s",
    "indexsize": "index_bytes_resident",
    "distcomps": "distance_computations",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `plot.py`; those that ann-benchmarks has mean the same here."""
    parser.description = (
        "Draw the frontiers of what was measured, one figure per dataset, k and mode, and print a table of\n"
        "the speed at recall 0.8, 0.9, 0.95 and 0.99. Of a setting measured several times the newest counts."
    )
    parser.epilog = f"""\
metrics (-x, -y): recall, id_recall, qps, latency_p99_us, build_s, index_bytes and all else that `results
show` prints; ann-benchmarks' names are understood too: {", ".join(ALIASES)}.

scales (-X, -Y): auto stretches recall near 1 and takes logarithms of speeds, times and sizes; or linear, log,
symlog, logit, or aN with a number N: 1-(1-x)^(1/N).

examples:
  plot.py                                       a picture per dataset
  plot.py --dataset glove-100-angular-25k -o glove.pdf -o glove.png
  plot.py --algorithm 'faiss-*' -y latency_p99_us --raw
  plot.py --series label                        what `run.py --label` named"""
    what = parser.add_argument_group("what to draw")
    what.add_argument(
        "--dataset",
        action="append",
        metavar="GLOB",
        help="datasets by name, * and ? allowed; may be repeated (default: all in the results)",
    )
    what.add_argument(
        "-k",
        "--count",
        type=integer(1),
        metavar="K",
        help="only what was asked for K neighbours (default: each k its own figure)",
    )
    what.add_argument("--subset", type=integer(1), metavar="N", help="only what was measured on N rows")
    what.add_argument("--queries", type=integer(1), metavar="N", help="only what was measured with N queries")
    what.add_argument(
        "--batch",
        action="store_true",
        help="what was measured with --batch (default: single queries where --dataset or -o is given and "
        "there are any, else each mode its own figure)",
    )
    what.add_argument(
        "--algorithm", action="append", metavar="GLOB", help="only these algorithms; may be repeated"
    )
    what.add_argument(
        "--except",
        dest="without",
        action="append",
        default=[],
        metavar="GLOB",
        help="not these algorithms; may be repeated",
    )
    what.add_argument(
        "--series",
        choices=("algorithm", "version", "label", "build"),
        default="algorithm",
        help="what makes a curve: an algorithm, or each version, label or build of it (default: %(default)s)",
    )
    how = parser.add_argument_group("how to draw it")
    how.add_argument(
        "-x",
        "--x-axis",
        default="recall",
        metavar="METRIC",
        help="metric of the x axis (default: %(default)s)",
    )
    how.add_argument(
        "-y", "--y-axis", default="qps", metavar="METRIC", help="metric of the y axis (default: %(default)s)"
    )
    how.add_argument(
        "-X", "--x-scale", default="auto", metavar="SCALE", help="scale of the x axis (default: %(default)s)"
    )
    how.add_argument(
        "-Y", "--y-scale", default="auto", metavar="SCALE", help="scale of the y axis (default: %(default)s)"
    )
    how.add_argument("--raw", action="store_true", help="show the settings off the frontier too, faintly")
    how.add_argument(
        "--width",
        choices=("page", "column"),
        default="page",
        help="7 inches or 3.3 inches wide (default: %(default)s)",
    )
    how.add_argument("--title", metavar="TEXT", help="first line of the figure (default: the dataset's name)")
    where = parser.add_argument_group("where things are")
    where.add_argument(
        "-o",
        "--output",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help=".png, .svg or .pdf; may be repeated (default: DATASET-kK.png in the results folder)",
    )
    add_results(where)
    where.add_argument("--no-table", action="store_true", help="print no table")
    parser.set_defaults(sha256=None)  # `run.py --plot` draws the one dataset that it measured


def main(args: argparse.Namespace) -> int:
    """Draw the figures that the arguments ask for and print their paths and tables; return the exit code."""
    from rich.console import Console

    from ann_bench.metrics import METRICS
    from ann_bench.report import scales
    from ann_bench.report.charts import value
    from ann_bench.report.figure import check_path, draw, save
    from ann_bench.report.table import show
    from ann_bench.results import path_part

    x, y = _metric(args.x_axis, "--x-axis"), _metric(args.y_axis, "--y-axis")
    scales.parse(args.x_scale, x, "--x-scale")
    scales.parse(args.y_scale, y, "--y-scale")
    for path in args.output:
        check_path(path)
    charts = [chart for chart in _charts(args) if _is_wanted(chart, args)]
    if not charts:
        raise UsageError(f"nothing in {args.results} has that many rows or queries; `results list` shows all")
    if args.output:
        charts = [_only(charts, args.output[0])]
    for flag, metric in (("--x-axis", x), ("--y-axis", y)):
        if not any(value(record, metric) is not None for chart in charts for record in chart.records):
            raise UsageError(
                f"{flag}: no measurement here has {metric} ({METRICS[metric].description.rstrip('.')})"
            )
    console = Console(highlight=False)
    for chart in charts:
        figure = draw(
            chart,
            x,
            y,
            x_scale=args.x_scale,
            y_scale=args.y_scale,
            raw=args.raw,
            width=args.width,
            title=args.title,
        )
        if not args.no_table:
            show(chart, console)
            console.print()
        for path in args.output or [args.results / f"{path_part(chart.name)}.png"]:
            save(figure, path)
            print(path)
    return 0


def _is_wanted(chart: "Chart", args: argparse.Namespace) -> bool:
    """Return whether a chart has the number of rows and queries, and the content, that was asked for."""
    data = chart.dataset
    wanted = {"n": args.subset, "queries": args.queries, "sha256": args.sha256}
    return all(value is None or data[name] == value for name, value in wanted.items())


def _metric(text: str, flag: str) -> str:
    """Return our name of a metric, or raise `UsageError` with the names that exist."""
    from ann_bench.metrics import METRICS

    name = ALIASES.get(text, text)
    if name in METRICS:
        return name
    raise UsageError(
        f"{flag}: there is no metric {text!r}; it is one of {', '.join(METRICS)}, "
        f"or in ann-benchmarks' words {', '.join(ALIASES)}"
    )


def _charts(args: argparse.Namespace) -> "list[Chart]":
    """Return the charts asked for; raise if there are none, saying what there is."""
    from ann_bench import results
    from ann_bench.report.charts import make_charts

    if not args.results.is_dir():
        raise ResultsError(
            f"{args.results}: there is no such folder; measure with run.py, or name another with --results"
        )
    records = results.scan(args.results, on_skip=lambda line: print(printable(line), file=sys.stderr))
    if not records:
        raise ResultsError(
            f"{args.results}: there is no measurement here yet; type `python run.py` to make some"
        )
    chosen = [
        record
        for record in results.select(
            records,
            datasets=args.dataset or (),
            algorithms=args.algorithm or (),
            k=args.count,
            mode="batch" if args.batch else None,
        )
        if not any(fnmatchcase(record["algorithm"]["name"], glob) for glob in args.without)
    ]
    if not args.batch and (args.dataset or args.output):
        chosen = (
            results.select(chosen, mode="single") or chosen
        )  # without --batch single, as in ann-benchmarks
    if not chosen:
        raise UsageError(f"nothing in {args.results} fits; there is {_inventory(records)}")
    return make_charts(chosen, args.series)


def _only(charts: "list[Chart]", path: Path) -> "Chart":
    """Return the chart that goes into one file: of several subsets or thread counts the one measured last."""
    if len({(chart.dataset["name"], chart.k, chart.mode) for chart in charts}) > 1:
        names = _listed([chart.name for chart in charts])
        raise UsageError(
            f"-o: {path} is one file, and {len(charts)} figures fit what was asked for ({names}); "
            "narrow it with --dataset, --count or --batch, or leave -o out"
        )
    last = max(charts, key=lambda c: max(r["started"] for r in (*c.records, *c.failures)))
    others = [chart.name for chart in charts if chart is not last]
    if others:
        print(
            printable(f"{last.name} is drawn; measured before and left out: {_listed(others)}"),
            file=sys.stderr,
        )
    return last


def _inventory(records: Sequence[dict[str, Any]]) -> str:
    """Return what was measured, and the flags that ask for it."""
    modes = {"single": "", "batch": " --batch"}
    flags = {f"--dataset {r['dataset']['name']} --count {r['k']}{modes.get(r['mode'], '')}" for r in records}
    names = sorted({str(record["algorithm"]["name"]) for record in records})
    return f"{_listed(sorted(flags), 8)}; of the algorithms {_listed(names, 40)}"


def _listed(items: Sequence[str], most: int = 5) -> str:
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")
