"""The entry of `ann-bench`, `run.py` and `plot.py`: one parser, one place where errors become exit codes."""

from __future__ import annotations  # so that an old Python gets as far as our message

import argparse
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence

from ann_bench import __version__
from ann_bench.errors import INTERRUPTED, AnnBenchError

COMMANDS = (
    *("run", "plot", "compare", "datasets", "install", "algorithms"),
    *("results", "history", "index", "doctor"),
)
_PYTHON = (3, 11)
_NEEDED = (
    *("h5py", "matplotlib", "numpy", "pooch", "psutil"),
    *("pydantic", "rich", "ruptures", "sklearn", "yaml"),
)


class _Formatter(argparse.HelpFormatter):
    """Help with room for long options; paragraphs are wrapped, those with indented lines stay as they are."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs: list[str] = []
        for paragraph in text.split("\n\n"):
            if "\n  " in paragraph:
                paragraphs.append(paragraph)
            else:
                paragraphs.append(super()._fill_text(paragraph, width, indent))
        return "\n\n".join(paragraphs)


def make_parser(prog: str = "ann-bench") -> argparse.ArgumentParser:
    """Return the parser of `ann-bench` with all its subcommands."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Benchmarks of nearest-neighbour libraries: recall against queries per second.",
        epilog="`ann-bench COMMAND --help` tells more about each.",
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action="version", version=f"ann-bench {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"ann_bench.cli.{name}")
        command = commands.add_parser(name, help=module.HELP, formatter_class=_Formatter)
        module.add_arguments(command)
        command.set_defaults(main=module.main)
    return parser


def script_parser(command: str) -> argparse.ArgumentParser:
    """Return the parser of `run.py` or `plot.py`: that of one command, under the script's name."""
    module = importlib.import_module(f"ann_bench.cli.{command}")
    parser = argparse.ArgumentParser(prog=f"{command}.py", formatter_class=_Formatter)
    module.add_arguments(parser)
    parser.set_defaults(main=module.main)
    return parser


def main(arguments: Sequence[str] | None = None, *, script: str | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments
        The words after the program's name; those of the process when None.
    script
        `run` or `plot` when called as `run.py` or `plot.py`.
    """
    if sys.version_info < _PYTHON:
        here, needed = (
            ".".join(str(part) for part in version[:2]) for version in (sys.version_info, _PYTHON)
        )
        return _outside(script, f"this is Python {here}, {needed} or newer is needed")
    parser = script_parser(script) if script else make_parser()
    parsed = parser.parse_args(arguments)
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        return _outside(script, f"{', '.join(missing)} not installed in this Python")
    code = 0
    try:
        code = parsed.main(parsed)
        sys.stdout.flush()
    except AnnBenchError as error:
        from ann_bench.text import printable

        text = printable(error, keep="\n")
        print(f"{parser.prog}: error: {text}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `ann-bench results list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _outside(script: str | None, problem: str) -> int:
    """Say in one line that this is not the project's environment, and what to type; return the exit code."""
    prog = f"{script}.py" if script else "ann-bench"
    print(f"{prog}: {problem}: type `make run`, or `. .venv/bin/activate` if that was done", file=sys.stderr)
    return 2
