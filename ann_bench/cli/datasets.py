"""`ann-bench datasets`: what there is, getting it, and what is known about one."""

import argparse
import functools
import sys
from typing import TYPE_CHECKING, Any

from ann_bench.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

    from ann_bench.datasets import Dataset, Entry

HELP = "list, download, generate and inspect datasets"

_NEIGHBORS_FOR_DIMENSION = 100  # what the literature takes, and ann-benchmarks' files have

_EPILOG = """\
examples:
  ann-bench datasets list
  ann-bench datasets get sift-128-euclidean glove-100-angular
  ann-bench datasets info glove-100-angular-25k
  ann-bench datasets info my/vectors.hdf5

A dataset is looked for as NAME.hdf5 in the folders of ANN_BENCH_DATA
(several: separated as in PATH), then among the downloads, then among what
ships with ann_bench.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands of `datasets`."""
    parser.description = "Lists, downloads, generates and inspects datasets."
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(dest="datasets_command", metavar="COMMAND", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            formatter_class=parser.formatter_class,
        )

    listing = command("list", "show every dataset of the catalogue and every one that lies here")
    listing.add_argument("--json", action="store_true", help="print JSON instead of a table")
    get = command("get", "download datasets, checked by size and checksum, or generate them")
    get.add_argument("names", metavar="NAME", nargs="+", help="names from the catalogue")
    get.add_argument("--offline", action="store_true", help="only say whether they are here")
    info = command("info", "show what is known about a dataset, and check its answers if it is here")
    info.add_argument("name", metavar="NAME|FILE", help="a name, or the path of an HDF5 file")


def main(args: argparse.Namespace) -> int:
    """Run the sub-command that was asked for; return the exit code."""
    commands = {"list": _list, "get": _get, "info": _info}
    return commands[args.datasets_command](args)


def _list(args: argparse.Namespace) -> int:
    """Print every dataset that is known or here."""
    import json

    rows = [_facts(name, entry) for name, entry in _known().items()]
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0

    from rich.console import Console
    from rich.table import Table

    from ann_bench.report.units import humanise

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("name", "distance", "rows x dim", "size", "state"):
        table.add_column(title, no_wrap=True, justify="right" if title in ("rows x dim", "size") else "left")
    for row in rows:
        count = "?" if row["rows"] is None else f"{row['rows']:,}"
        shape = f"{count} x {row['dimension']}" if row["dimension"] else ""
        table.add_row(row["name"], row["distance"], shape, humanise(row["bytes"], "B", 2), row["state"])
    console = Console()
    console.print(table)
    console.print(
        "\n`ann-bench datasets get NAME` downloads or generates, `info NAME` tells more.", highlight=False
    )
    return 0


def _get(args: argparse.Namespace) -> int:
    """Download or generate what is not here; go on after a failure, and raise at the end."""
    from ann_bench.datasets import locate

    failures = []
    for name in args.names:
        try:
            path, _ = locate(
                name,
                offline=args.offline,
                progress=sys.stderr.isatty(),
                report=functools.partial(print, file=sys.stderr),
            )
        except DatasetError as error:
            failures.append(str(error))
        else:
            print(f"{name}: {path}")
    if failures:
        raise DatasetError("\n".join(failures))
    return 0


def _info(args: argparse.Namespace) -> int:
    """Print what the catalogue and the file say, then check the file."""
    from ann_bench.datasets import Catalog, find

    entry = Catalog.read().get(args.name)
    path = find(args.name)
    if entry is not None:
        facts = {
            "licence": entry.licence or "none stated",
            "note": entry.note,
            "urls": "\n".join(entry.urls),
        }
        if path is None:
            facts |= {
                "generator": _generator(entry),
                "shape": _shape(entry),
                "state": f"{_missing(entry)}: ann-bench datasets get {args.name}",
            }
        _print_facts(facts)
        if path is None:
            return 0
    _print_facts(_checked(args.name, entry))
    return 0


def _checked(name: str, entry: "Entry | None") -> dict[str, str]:
    """Return what the file of dataset `name` holds; its answers are checked on the way."""
    import numpy as np

    from ann_bench.datasets import hdf5, load_dataset, locate
    from ann_bench.worker.sets import Sets

    path, _ = locate(name, offline=True)
    neighbors = hdf5.read_header(path).neighbors
    dataset = load_dataset(name, k=min(neighbors, _NEIGHBORS_FOR_DIMENSION), offline=True)
    provenance = dataset.provenance
    attributes = provenance["attributes"]
    stored = attributes["stored_as"]
    known = entry.sha256 if entry is not None else None
    verdict = {None: "", dataset.sha256: " (as in the catalogue)"}.get(known, f"\nthe catalogue has {known}")
    facts = {
        "file": provenance["path"],
        "sha256": dataset.sha256 + verdict,
        "distance": dataset.distance,
        "rows": f"{_size(dataset)}, stored as {stored['train']}",
        "queries": f"{dataset.queries_available:,}, stored as {stored['test']}",
        "neighbors": f"{neighbors:,} for each query",
        "answers": f"right for {provenance['checked_queries']} sampled queries that were recomputed",
        "distances": f"in the file: {provenance['stored_distances']}",
        "arrays": ", ".join(sorted(stored)),
        "intrinsic dim": _intrinsic_dimension(dataset),
    }
    if isinstance(dataset.train, Sets):
        low, middle, high = np.quantile(dataset.train.sizes, (0, 0.5, 1))
        facts["sizes"] = f"{low:,.0f} to {high:,.0f} items, median {middle:,.0f}"
    elif dataset.distance == "hamming":
        facts["ones"] = f"{dataset.train.mean():.1%} of the bits"
    else:
        lengths = np.linalg.norm(dataset.train, axis=1)
        low, middle, high = np.quantile(lengths, (0, 0.5, 1))
        facts["lengths"] = (
            f"{low:.4g} to {high:.4g}, median {middle:.4g}; {int((lengths == 0).sum()):,} rows of zeros"
        )
    skipped = {"distance", "dimension", "type", "point_type", "stored_as"}
    return facts | {key: str(value) for key, value in attributes.items() if key not in skipped}


def _intrinsic_dimension(dataset: "Dataset") -> str:
    """Return the local intrinsic dimension in words; nothing for dot, which is no distance in that sense."""
    import math

    import numpy as np

    from ann_bench.datasets import local_intrinsic_dimension

    if dataset.distance == "dot":
        return ""
    nearest = dataset.distances[:, :_NEIGHBORS_FOR_DIMENSION]
    if dataset.distance == "angular":
        nearest = np.sqrt(2 * nearest)  # the chord, which grows as the angle does
    found = local_intrinsic_dimension(nearest)
    if math.isnan(found):
        return ""
    return f"{found:.1f} locally, from the {nearest.shape[1]} nearest rows of each query (maximum likelihood)"


def _generator(entry: "Entry") -> str:
    """Return in words what generates a set; nothing for others."""
    made = entry.generator
    return f"{made.name}, version {made.version}, seed {made.seed}" if made else ""


def _missing(entry: "Entry") -> str:
    """Return what is to be done about a set that is not here."""
    return "to generate" if entry.generator else "to download"


def _size(dataset: "Dataset") -> str:
    """Return how many rows of what there are."""
    if dataset.distance == "jaccard":
        return f"{dataset.n:,} sets of {dataset.dimension:,} items"
    return f"{dataset.n:,} x {dataset.dimension:,} {dataset.train.dtype}"


def _print_facts(facts: dict[str, str]) -> None:
    """Print one fact a line, its further lines indented; empty ones are left out."""
    for key, value in facts.items():
        if value:
            print(f"{key:14} " + value.replace("\n", "\n" + " " * 15))


def _shape(entry: "Entry") -> str:
    """Return rows, dimension and queries in words."""
    rows, queries = (f"{n:,}" if n else "?" for n in (entry.shape.rows, entry.shape.queries))
    return f"{rows} x {entry.shape.dimension:,}, {queries} queries, {entry.distance}"


def _known() -> "dict[str, Entry | Path]":
    """Return every dataset by name: its entry in the catalogue, or else its file on the search path."""
    from ann_bench import paths
    from ann_bench.datasets import Catalog

    known: dict[str, Entry | Path] = dict(Catalog.read().entries)
    for folder in paths.dataset_search_path():
        for path in sorted(folder.glob("*.hdf5")):
            known.setdefault(path.stem, path)
    return known


def _facts(name: str, source: "Entry | Path") -> dict[str, Any]:
    """Return a row of the table."""
    from ann_bench.datasets import Entry, find
    from ann_bench.datasets.hdf5 import read_header

    path = find(name)
    size = path.stat().st_size if path else None
    if isinstance(source, Entry):
        state = _missing(source) if path is None else "embedded" if source.embedded else "here"
        shape = source.shape.model_dump()
        size = size or source.size or source.approximate_size
        return {"name": name, "distance": source.distance, **shape, "bytes": size, "state": state}
    row = {"name": name, "distance": "", "rows": None, "dimension": None, "queries": None, "bytes": size}
    try:
        header = read_header(source)
    except DatasetError:
        return row | {"state": "unreadable"}
    shape = {"rows": header.rows, "dimension": header.dimension, "queries": header.queries}
    return row | {"distance": header.distance, **shape, "state": "here"}
