"""`ann-bench install`: make the environments that libraries live in."""

import argparse

from ann_bench.cli.arguments import add_definitions, integer

HELP = "install libraries, each in an environment of its own"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `ann-bench install`."""
    parser.description = (
        "Install libraries, each in an isolated environment made from install/NAME/, several at a time. What"
        " was built from source is kept, and not built again. After Ctrl-C the same command goes on where it"
        " was."
    )
    parser.epilog = """\
examples:
  ann-bench install annoy hnswlib faiss
  ann-bench install --all
  ann-bench install --all --jobs 2
  ann-bench install --list

exit status: 0 all that was asked for is ready, or declared unavailable, or lacks its Python; 1 something
failed; 2 usage; 130 interrupted"""
    parser.add_argument("names", nargs="*", metavar="NAME", help="an environment, as --list names it")
    parser.add_argument("--all", action="store_true", help="all environments that can be installed")
    parser.add_argument(
        "--list", action="store_true", help="tell what is installed, and why something is not"
    )
    parser.add_argument(
        "--jobs",
        type=integer(1),
        metavar="N",
        help="cores to use: as many installations run at a time (default: all that are allowed)",
    )
    parser.add_argument("--force", action="store_true", help="make an environment anew even if it is ready")
    add_definitions(parser)


def main(args: argparse.Namespace) -> int:
    """Install what the arguments name, or list it; return the exit code."""
    from ann_bench.environments import describe
    from ann_bench.errors import UsageError
    from ann_bench.recipes import list_recipes, read_recipe

    if bool(args.names) + args.all + args.list != 1:
        raise UsageError(
            "name the environments to install, or give --all or --list, and one of the three only"
        )
    names = list(dict.fromkeys(args.names)) or list(list_recipes(args.definitions))
    for name in names:
        read_recipe(name, args.definitions)
    if not args.list:
        return _install(names, args)
    from ann_bench.cli.install_display import Libraries, print_table

    print_table([describe(name, args.definitions) for name in names], Libraries(args.definitions))
    return 0


def _install(names: list[str], args: argparse.Namespace) -> int:
    """Install environments, with a table at the end where there are several; return the exit code."""
    from ann_bench.cli.install_display import Display, Libraries, print_table
    from ann_bench.environments import describe
    from ann_bench.installations import install_all
    from ann_bench.machine import allowed_cpus

    libraries = Libraries(args.definitions)
    before = [describe(name, args.definitions) for name in names]
    missing = [environment.name for environment in before if args.force or environment.state != "ready"]
    if len(names) == 1 and not missing:
        print(f"{names[0]}: ready already ({libraries.versions(before[0])})")
        return 0
    try:
        with Display(len(missing), libraries) as display:
            cpus = allowed_cpus()[: args.jobs]
            install_all(missing, display, cpus=cpus, definitions=args.definitions, force=args.force)
    finally:  # an interrupted call tells what it leaves, too
        after = [describe(name, args.definitions) for name in names]
        if len(names) > 1:
            print()
            print_table(after, libraries)
    return 1 if any(environment.state in ("failed", "missing") for environment in after) else 0
