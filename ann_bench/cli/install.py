"""`ann-bench install`: make the environments that libraries live in."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ann_bench.cli.arguments import add_definitions

if TYPE_CHECKING:
    from ann_bench.environments import Environment

HELP = "install libraries, each in an environment of its own"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `ann-bench install`."""
    parser.description = (
        "Install libraries, each in an isolated environment made from install/NAME/. What was built from\n"
        "source is kept, and not built again."
    )
    parser.epilog = """\
examples:
  ann-bench install annoy hnswlib faiss
  ann-bench install --all
  ann-bench install --list

exit status: 0 all that was asked for is ready; 1 something failed; 2 usage"""
    parser.add_argument("names", nargs="*", metavar="NAME", help="an environment, as --list names it")
    parser.add_argument("--all", action="store_true", help="all environments that can be installed")
    parser.add_argument(
        "--list", action="store_true", help="tell what is installed, and why something is not"
    )
    parser.add_argument("--force", action="store_true", help="make an environment anew even if it is ready")
    add_definitions(parser)


def main(args: argparse.Namespace) -> int:
    """Install what the arguments name, one after the other, or list it; return the exit code."""
    from ann_bench.environments import describe
    from ann_bench.errors import UsageError
    from ann_bench.recipes import list_recipes, read_recipe

    if bool(args.names) + args.all + args.list != 1:
        raise UsageError(
            "name the environments to install, or give --all or --list, and one of the three only"
        )
    names = args.names or list(list_recipes(args.definitions))
    for name in names:
        read_recipe(name, args.definitions)
    if args.list:
        _print_table([describe(name, args.definitions) for name in names])
        return 0
    states = [_install(name, args.definitions, args.force) for name in dict.fromkeys(names)]
    return 1 if "failed" in states else 0


def _install(name: str, definitions: list[Path], force: bool) -> str:
    """Install one environment, say how that ended, and return its state."""
    from ann_bench.environments import describe, install

    ready_before = describe(name, definitions).state == "ready" and not force
    environment = install(
        name, definitions=definitions, force=force, report=lambda line: print(line, flush=True)
    )
    if environment.state != "ready":
        log = f"\n{name}: more in {environment.log}" if environment.log else ""
        print(f"{name}: {environment.state}: {environment.reason}{log}", file=sys.stderr, flush=True)
    elif ready_before:
        print(f"{name}: ready already ({_versions(environment)})", flush=True)
    else:
        print(f"{name}: ready in {environment.seconds:.1f} s ({_versions(environment)})", flush=True)
    return environment.state


def _versions(environment: "Environment") -> str:
    return ", ".join(f"{name} {version}" for name, version in environment.versions.items())


def _print_table(environments: "list[Environment]") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("environment", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("installed, or why not", overflow="fold")
    for environment in environments:
        text = environment.reason or _versions(environment)
        table.add_row(environment.name, environment.state, text)
    Console(markup=False, highlight=False).print(table)
