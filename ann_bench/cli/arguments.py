"""Arguments that several commands share, and types of arguments."""

import argparse
import re
from collections.abc import Callable, Collection
from pathlib import Path

from ann_bench.errors import UsageError

Parser = argparse._ActionsContainer  # what a parser and a group of one have in common


def add_results(parser: Parser) -> None:
    """Add --results, the folder of the results files."""
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="folder of the results files (default: %(default)s)",
    )


def add_definitions(parser: Parser) -> None:
    """Add --definitions, folders of algorithms outside the project."""
    parser.add_argument(
        "--definitions",
        type=lambda text: Path(text).expanduser().resolve(),  # workers run elsewhere
        action="append",
        default=[],
        metavar="DIR",
        help="more algorithms, from a folder with algorithms.yaml, wrappers/ and install/; may be repeated",
    )


_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def integer(low: int, high: int | None = None) -> Callable[[str], int]:
    """Return an argument type for integers from `low` to `high`."""
    allowed = f"an integer >= {low}" if high is None else f"an integer from {low} to {high}"

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low or (high is not None and value > high):
            raise argparse.ArgumentTypeError(f"got {text!r}; it is {allowed}")
        return value

    return parse


def seconds(text: str) -> float:
    """Return `90`, `90s`, `15m` or `2h` as seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    value = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]] if found else 0.0
    if value <= 0:
        raise argparse.ArgumentTypeError(f"got {text!r}; it is a time such as 90, 90s, 15m or 2h")
    return value


def byte_count(low: int) -> Callable[[str], int]:
    """Return an argument type for sizes from `low` bytes: 500M, 2G, 2GB, 2GiB (units are powers of 1024)."""

    def parse(text: str) -> int:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
        value = int(float(found[1]) * _UNITS[found[2]]) if found else 0
        if value < low:
            least = f"{low / 2**20:g}M"
            raise argparse.ArgumentTypeError(
                f"got {text!r}; it is a size such as 500M or 2G, at least {least}"
            )
        return value

    return parse


def cpu_list(text: str) -> tuple[int, ...]:
    """Return `0,2-4` as (0, 2, 3, 4)."""
    cpus: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not found or (found[2] and int(found[2]) < int(found[1])):
            raise argparse.ArgumentTypeError(f"got {text!r}; it is a list of cores such as 1 or 0,2-4")
        cpus += range(int(found[1]), int(found[2] or found[1]) + 1)
    if len(set(cpus)) < len(cpus):
        raise argparse.ArgumentTypeError(f"got {text!r}; a core is named twice")
    return tuple(cpus)


def check_cpus(cpus: Collection[int], allowed: Collection[int]) -> None:
    """Raise `UsageError` where --cpus names a core that this process may not use."""
    if unknown := sorted(set(cpus) - set(allowed)):
        raise UsageError(
            f"--cpus: got {unknown[0]}; this machine lets us use {', '.join(map(str, sorted(allowed)))}"
        )


def share(text: str) -> float:
    """Return `2%` or `0.02` as 0.02."""
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}; it is a share such as 2% or 0.02")
    return value
