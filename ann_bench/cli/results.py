"""`ann-bench results`: list, show, export and import measurements."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ann_bench.cli.arguments import add_results, integer
from ann_bench.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ann_bench.results import Record

_MOST_SKIPPED = 5
HELP = "list, show, export and import measurements"
_FORMATS = ("csv", "json", "parquet", "ann-benchmarks")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands list, show, export and import."""
    parser.description = "Look at what was measured, and take it elsewhere."
    parser.epilog = """\
examples:
  ann-bench results list --algorithm 'faiss-*' -k 10
  ann-bench results list --failed
  ann-bench results show 3fa4b1c
  ann-bench results export --format parquet --output measurements.parquet
  ann-bench results export --format ann-benchmarks --output ~/ann-benchmarks"""
    commands = parser.add_subparsers(dest="results_command", required=True, metavar="COMMAND")
    form = parser.formatter_class

    listing = commands.add_parser(
        "list", formatter_class=form, help="one line per setting: recall, queries per second, status"
    )
    listing.description = "List the newest measurement of each setting and label."
    listing.add_argument("--all", action="store_true", help="also older measurements of a setting")
    listing.add_argument("--failed", action="store_true", help="only settings that failed")
    _add_filters(listing)
    listing.set_defaults(results_main=_list)

    show = commands.add_parser("show", formatter_class=form, help="everything about one measurement")
    show.description = "Tell everything about one measurement; of one that failed, also why."
    show.add_argument("which", metavar="PATH|HASH", help="a results file, or the first digits of its hash")
    show.add_argument("--log", action="store_true", help="print the library's whole output as well")
    show.add_argument("--lock", action="store_true", help="print what was installed as well")
    add_results(show)
    show.set_defaults(results_main=_show)

    export = commands.add_parser(
        "export", formatter_class=form, help="write measurements as a table, or for ann-benchmarks"
    )
    export.description = (
        "Write the newest measurement of each identity as a table with one row each, or that of each setting "
        "as copies that ann-benchmarks' plot.py and website draw (below OUTPUT/results)."
    )
    export.add_argument("--format", choices=_FORMATS, default="csv", help="(default: %(default)s)")
    export.add_argument(
        "--output", type=Path, required=True, metavar="PATH", help="file, or for ann-benchmarks folder"
    )
    export.add_argument("--failed", action="store_true", help="only settings that failed")
    _add_filters(export)
    export.set_defaults(results_main=_export)

    importing = commands.add_parser("import", formatter_class=form, help="read results of ann-benchmarks")
    importing.description = (
        'Read results in ann-benchmarks\' layout as measurements labelled "imported". Their recall is '
        "computed anew from the dataset, which is downloaded if need be."
    )
    importing.add_argument("folder", type=Path, metavar="FOLDER", help="results folder of ann-benchmarks")
    importing.add_argument("--offline", action="store_true", help="download and generate nothing")
    add_results(importing)
    importing.set_defaults(results_main=_import)


def main(args: argparse.Namespace) -> int:
    """Run one of the subcommands and return its exit code."""
    code: int = args.results_main(args)
    return code


def _add_filters(parser: argparse.ArgumentParser) -> None:
    globs: dict[str, Any] = {"action": "append", "default": [], "metavar": "GLOB"}
    parser.add_argument("--dataset", **globs, help="only these datasets; * and ? allowed, may be repeated")
    parser.add_argument("--algorithm", **globs, help="only these algorithms; likewise")
    parser.add_argument("-k", "--count", type=integer(1), metavar="K", help="only this number of neighbours")
    parser.add_argument("--batch", action="store_true", help="only what was measured with --batch")
    parser.add_argument("--label", metavar="TEXT", help='only this label; "" for none')
    add_results(parser)


def _selected(args: argparse.Namespace) -> "list[Record]":
    from ann_bench import results

    return results.select(
        _scanned(args.results),
        datasets=args.dataset,
        algorithms=args.algorithm,
        k=args.count,
        mode="batch" if args.batch else None,
        label=args.label,
    )


def _scanned(root: Path) -> "list[Record]":
    from ann_bench import results
    from ann_bench.errors import ResultsError

    if not root.is_dir():
        raise ResultsError(f"{root}: no such folder; `python run.py` makes it, --results DIR names another")
    return results.scan(root, on_skip=_warn)


def _warn(line: str) -> None:
    print(printable(line), file=sys.stderr)


def _list(args: argparse.Namespace) -> int:
    from rich.console import Console

    from ann_bench import results
    from ann_bench.cli.results_display import print_group

    records = _selected(args)
    if not args.all:
        records = results.newest(records, key=results.setting_of)
    if args.failed:
        records = results.select(records, status="failed")
    console = Console()
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        data = record["dataset"]
        groups.setdefault((data["name"], data["sha256"], record["k"], record["mode"]), []).append(record)
    for group in groups.values():
        print_group(console, group)
    if not groups:
        print(f"{args.results}: no such measurements")
    return 0


def _show(args: argparse.Namespace) -> int:
    from ann_bench import results
    from ann_bench.cli.results_display import print_measurement

    path = Path(args.which)
    if not path.is_file():
        path = _path_of_hash(args.which, _scanned(args.results))
    print_measurement(results.read(path), path, log=args.log, lock=args.lock)
    return 0


def _path_of_hash(digits: str, records: "Sequence[Record]") -> Path:
    from ann_bench import results
    from ann_bench.errors import UsageError

    matching = results.newest(record for record in records if record["identity_hash"].startswith(digits))
    if not digits or not matching:
        raise UsageError(
            f"got {digits!r}; it is a results file, or the first digits of a hash that `list` shows"
        )
    if len(matching) > 1:
        hashes = ", ".join(record["identity_hash"] for record in matching[:5])
        raise UsageError(
            f"got {digits!r}, which {len(matching)} measurements begin with: {hashes}; give more digits"
        )
    return Path(matching[0]["path"])


def _export(args: argparse.Namespace) -> int:
    from ann_bench import export, results
    from ann_bench.ann_benchmarks import write_layout
    from ann_bench.errors import UsageError

    records = _selected(args)
    if not records:
        raise UsageError(f"{args.results}: no such measurements; `results list` tells what is there")
    if args.format == "ann-benchmarks":
        skipped: list[str] = []
        written = write_layout(records, args.output, on_skip=skipped.append)
        for line in skipped[:_MOST_SKIPPED]:
            _warn(line)
        if len(skipped) > _MOST_SKIPPED:
            _warn(f"… and {len(skipped) - _MOST_SKIPPED} more passed over")
        print(f"{args.output / 'results'}: {len(written)} files; failed settings have none in that layout")
        return 0 if written else 1
    records = results.newest(records)
    export.export(records, args.format, args.output)
    print(f"{args.output}: {len(records)} measurements")
    return 0


def _import(args: argparse.Namespace) -> int:
    from ann_bench import results
    from ann_bench.ann_benchmarks import read_layout
    from ann_bench.datasets import Dataset, load_dataset
    from ann_bench.errors import ResultsError

    if not args.folder.is_dir():
        raise ResultsError(f"{args.folder}: no such folder; name the results folder of ann-benchmarks")

    def load(name: str, k: int) -> Dataset:
        return load_dataset(name, k=k, offline=args.offline, progress=sys.stderr.isatty())

    skipped: list[str] = []
    measurements = read_layout(args.folder, load, on_skip=skipped.append)
    known = {record["identity_hash"] for record in results.scan(args.results, on_skip=_warn)}
    new = {m.record["identity_hash"]: m for m in measurements if m.record["identity_hash"] not in known}
    for measurement in new.values():
        results.write(measurement, args.results)
    for line in skipped:
        _warn(line)
    old = len(measurements) - len(new)
    print(f"{args.results}: {len(new)} imported, {old} there already, {len(skipped)} passed over")
    return 1 if skipped else 0
