"""`ann-bench algorithms`: what can be measured."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ann_bench.cli.arguments import add_definitions

if TYPE_CHECKING:
    from ann_bench.config import Algorithm, Grid

HELP = "list the algorithms, or show one"
_UNKNOWN = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `ann-bench algorithms`."""
    parser.description = (
        "List what can be measured, or show an algorithm: its parameters, and what each preset asks for."
    )
    parser.epilog = """\
examples:
  ann-bench algorithms
  ann-bench algorithms hnswlib
  ann-bench algorithms --json"""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="show these, * and ? allowed (default: list all)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_definitions(parser)


def main(args: argparse.Namespace) -> int:
    """List or show algorithms; return the exit code."""
    import json

    from ann_bench.config import load_algorithms, select

    chosen = select(load_algorithms(args.definitions), args.names)
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
        _print_table(list(chosen.values()), states)
    return 0


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


def _print_table(algorithms: "list[Algorithm]", states: dict[str, tuple[str | None, str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from ann_bench.distances import DISTANCES

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("algorithm", "family", "library", "version", "distances", "environment"):
        table.add_column(heading, overflow="fold")
    for algorithm in algorithms:
        version, state = states[algorithm.name]
        marks = " ".join(name[0] if name in algorithm.distances else _UNKNOWN for name in DISTANCES)
        environment = algorithm.environment if state == "ready" else f"{algorithm.environment} ({state})"
        table.add_row(
            algorithm.name, algorithm.family, algorithm.library, version or _UNKNOWN, marks, environment
        )
    console = Console(markup=False, highlight=False)
    console.print(table)
    console.print("distances: " + ", ".join(f"{name[0]} {name}" for name in DISTANCES))


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
