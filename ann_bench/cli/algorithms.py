"""`ann-bench algorithms`: what can be measured."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ann_bench.cli.arguments import add_definitions

if TYPE_CHECKING:
    from rich.table import Table

    from ann_bench.config import Algorithm, Grid

HELP = "list the algorithms, or show one"
_UNKNOWN = "-"
_HEADINGS = ("algorithm", "family", "library", "distances", "state", "environment", "licence", "home page")
_ALWAYS_SHOWN = 5
_FOLDED = ("library", "home page")
_ANY_WIDTH = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `ann-bench algorithms`."""
    parser.description = (
        "List what can be measured, or show an algorithm: its parameters, and what each preset asks for. The"
        " list has environment, licence and home page too where there is room for them: on a wide terminal,"
        " in a pipe or a file."
    )
    parser.epilog = """\
examples:
  ann-bench algorithms
  ann-bench algorithms --family graph --distance dot
  ann-bench algorithms --wide | less -S
  ann-bench algorithms hnswlib
  ann-bench algorithms --json"""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="show these, * and ? allowed (default: list all)"
    )
    parser.add_argument("--family", metavar="NAME", help="only those of this family: tree, graph, hash, ...")
    parser.add_argument("--distance", metavar="NAME", help="only those that do this distance: euclidean, ...")
    parser.add_argument("--wide", action="store_true", help="list all there is, however long the lines get")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_definitions(parser)


def main(args: argparse.Namespace) -> int:
    """List or show algorithms; return the exit code."""
    import json

    from ann_bench.config import FAMILIES, load_algorithms, select
    from ann_bench.distances import DISTANCES

    _check_known("--family", args.family, FAMILIES)
    _check_known("--distance", args.distance, DISTANCES)
    chosen = {
        name: algorithm
        for name, algorithm in select(load_algorithms(args.definitions), args.names).items()
        if args.family in (None, algorithm.family)
        and (args.distance is None or args.distance in algorithm.distances)
    }
    states = {name: _installed(algorithm, args.definitions) for name, algorithm in chosen.items()}
    if args.json:
        entries = [
            {**algorithm.model_dump(mode="json"), "version": states[name][0], "state": states[name][1]}
            for name, algorithm in chosen.items()
        ]
        print(json.dumps(entries, indent=2))
    elif args.names:
        print("\n\n".join(_shown(algorithm, *states[name]) for name, algorithm in chosen.items()))
    else:
        _print_table(
            sorted(chosen.values(), key=lambda algorithm: FAMILIES.index(algorithm.family)), states, args.wide
        )
    return 0


def _check_known(flag: str, name: str | None, known: Sequence[str]) -> None:
    from ann_bench.checked_yaml import near
    from ann_bench.errors import UsageError

    if name is not None and name not in known:
        raise UsageError(f'{flag}: got "{name}"{near(name, known)}')


def _installed(algorithm: "Algorithm", definitions: list[Path]) -> tuple[str | None, str]:
    """Return the version of the algorithm's library, None if there is none, and its environment's state."""
    from ann_bench.environments import describe, library_version
    from ann_bench.errors import InstallError

    state = describe(algorithm.environment, definitions).state
    if state != "ready":
        return None, state
    try:
        return library_version(algorithm.environment, algorithm.library), state
    except InstallError:
        return None, "incomplete"


def _print_table(
    algorithms: "Sequence[Algorithm]", states: dict[str, tuple[str | None, str]], wide: bool
) -> None:
    """Print a line for each algorithm; columns that do not fit a terminal are left to `--wide`."""
    from rich.console import Console

    from ann_bench.distances import DISTANCES

    rows = []
    for algorithm in algorithms:
        version, state = states[algorithm.name]
        library = f"{algorithm.library} {version or ''}".rstrip()
        marks = "".join(name[0] if name in algorithm.distances else _UNKNOWN for name in DISTANCES)
        row = (algorithm.name, algorithm.family, library, marks, state)
        rows.append((*row, algorithm.environment, algorithm.licence, algorithm.home or _UNKNOWN))
    console = Console(markup=False, highlight=False)
    unlimited = console.options.update(max_width=_ANY_WIDTH)
    if wide or not (console.is_terminal or "COLUMNS" in os.environ):
        console.width = _ANY_WIDTH
    for columns in range(len(_HEADINGS), _ALWAYS_SHOWN - 1, -1):
        table = _table(rows, columns)
        if console.measure(table, options=unlimited).maximum <= console.width:
            break
    console.print(table)
    console.print("distances: " + ", ".join(f"{name[0]} {name}" for name in DISTANCES))
    if left_out := ", ".join(_HEADINGS[columns:]):
        console.print(f"--wide adds {left_out}; `ann-bench algorithms NAME` tells all of one")


def _table(rows: Sequence[Sequence[str]], columns: int) -> "Table":
    """Return the first columns as a table."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=0)
    for heading in _HEADINGS[:columns]:
        table.add_column(heading, overflow="fold", no_wrap=heading not in _FOLDED)
    for row in rows:
        table.add_row(*row[:columns])
    return table


def _shown(algorithm: "Algorithm", version: str | None, state: str) -> str:
    """Return an entry whole, as lines."""
    from ann_bench.config import PRESETS, expand, grids

    lines = [f"{algorithm.name}: {algorithm.description}"]
    facts = {
        "family": algorithm.family,
        "library": f"{algorithm.library} {version or ''}".rstrip(),
        "environment": f"{algorithm.environment} ({state})",
        "home": algorithm.home or _UNKNOWN,
        "licence": algorithm.licence,
        "wrapper": f"{algorithm.wrapper_path}, class {algorithm.wrapper_class}",
        "distances": ", ".join(algorithm.distances),
    }
    needs = algorithm.needs.model_dump(exclude_unset=True)
    facts["needs"] = ", ".join(f"{name} {bound}" for name, bound in needs.items())
    lines += [f"  {name:12} {text}" for name, text in facts.items() if text]
    for kind, parameters in (("build", algorithm.build), ("query", algorithm.query)):
        lines += [f"  {kind:12} {name}: {parameter.describe()}" for name, parameter in parameters.items()]
    for preset in PRESETS:
        plan = expand(algorithm, preset, distance=algorithm.distances[0], dimension=0, k=1)
        settings = sum(len(group.queries) for group in plan.builds)
        lines.append(
            f"  preset {preset}: {_count(len(plan.builds), 'build')}, {_count(settings, 'setting')}; at most"
            f" {plan.max_seconds_per_build:g} s a build, {plan.max_seconds_per_setting:g} s a setting"
        )
        chosen = algorithm.presets.get(preset, algorithm.presets.get("default", {}))
        lines += [f"    {_grid_line(grid)}" for grid in grids(chosen) if grid]
    for override in algorithm.overrides:
        conditions = override.when.model_dump(exclude_unset=True)
        when = ", ".join(f"{key} {_joined(value)}" for key, value in conditions.items())
        for preset, change in override.presets.items():
            lines.append(f"  for {when}, preset {preset}:")
            lines += [f"    {_grid_line(grid)}" for grid in grids(change) if grid]
    lines += [f"  limit        {name}: {reason}" for name, reason in algorithm.limits.items()]
    return "\n".join(lines)


def _grid_line(grid: "Grid") -> str:
    return "; ".join(f"{name} {_joined(values)}" for name, values in grid.items())


def _joined(values: Any) -> str:
    return " ".join(str(value) for value in values) if isinstance(values, tuple) else str(values)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
