"""`ann-bench index`: what a saved index of the engine is, and whether it is whole."""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ann_bench.errors import IndexFileError
from ann_bench.text import printable

HELP = "inspect and verify saved indexes of the engine"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands info and verify."""
    parser.description = "Look at an index that `ann_bench.engine` saved."
    parser.epilog = """\
examples:
  ann-bench index info my.index
  ann-bench index info my.index --json
  ann-bench index verify my.index"""
    commands = parser.add_subparsers(dest="index_command", required=True, metavar="COMMAND")
    form = parser.formatter_class

    info = commands.add_parser("info", formatter_class=form, help="what it is: kind, facts, sections, sizes")
    info.description = "Tell what an index is. Only the header is read, so this is quick whatever its size."
    info.add_argument("file", type=Path, metavar="FILE", help="an index")
    info.add_argument("--json", action="store_true", help="print JSON")
    info.set_defaults(index_main=_info)

    verify = commands.add_parser("verify", formatter_class=form, help="check every checksum")
    verify.description = "Read an index whole, and check every checksum. The exit code is 1 if one is wrong."
    verify.add_argument("file", type=Path, metavar="FILE", help="an index")
    verify.set_defaults(index_main=_verify)


def main(args: argparse.Namespace) -> int:
    """Run one of the subcommands and return its exit code."""
    code: int = args.index_main(args)
    return code


def _info(args: argparse.Namespace) -> int:
    """Print what the index says of itself."""
    import json

    from ann_bench.engine.index_file import describe

    with _clear_errors():
        description = describe(args.file)
    facts = description["facts"] or {}
    rows = facts.get("rows")
    if args.json:
        print(json.dumps(description | {"bytes_per_row": rows and description["bytes"] / rows}, indent=2))
        return 0
    size = f"{description['bytes']:,} bytes" + (f", {description['bytes'] / rows:,.1f} a row" if rows else "")
    lines = {
        "file": printable(args.file),
        "kind": f"{description['kind']}, file version {description['file_version']}",
        "size": size,
    }
    for name, value in facts.items():
        if name == "tuned":
            lines["tuned for"] = _tuned_text(value)
        elif name not in ("kind", "size_bytes"):
            lines[name] = f"{value:,}" if isinstance(value, int) and name != "seed" else str(value)
    for name, text in lines.items():
        print(f"{name:14} {text}")
    print()
    _print_sections(description["sections"], rows)
    return 0


def _tuned_text(tuned: list[tuple[float, int, int, int]]) -> str:
    """Return which recalls an index knows the effort for, the default first."""
    if not tuned:
        return "nothing"
    recalls = ", ".join(f"{recall:g}" for recall, *_ in tuned)
    return f"recall {recalls} of {tuned[0][1]} neighbours"


def _print_sections(sections: list[dict[str, Any]], rows: int | None) -> None:
    """Print a table of the sections; what they cost a row only where rows are counted."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("section")
    for title in ("offset", "bytes", "elements", "of bytes"):
        table.add_column(title, justify="right")
    if rows:
        table.add_column("bytes a row", justify="right")
    for section in sections:
        numbers = [section[key] for key in ("offset", "bytes", "elements", "element_bytes")]
        cells = [section["name"], *(f"{number:,}" for number in numbers)]
        table.add_row(*cells, *([f"{section['bytes'] / rows:,.1f}"] if rows else []))
    Console(markup=False, highlight=False).print(table)


def _verify(args: argparse.Namespace) -> int:
    """Check every checksum of the index."""
    from ann_bench.engine.index_file import verify

    with _clear_errors():
        verify(args.file)
    print(f"{printable(args.file)}: whole, every checksum is right")
    return 0


@contextlib.contextmanager
def _clear_errors() -> Iterator[None]:
    """Turn what a file can do wrong into one line; the messages name the file."""
    from ann_bench.engine import DamagedIndexError

    try:
        yield
    except DamagedIndexError as error:
        raise IndexFileError(str(error)) from error
    except OSError as error:
        raise IndexFileError(error.strerror) from error
