"""`run.py --against` and `--versus`: is NEW faster than BASE at equal recall, and how sure is that."""

import argparse
import contextlib
import json
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ann_bench.cli.arguments import Parser, integer, share
from ann_bench.errors import (
    INTERRUPTED,
    AnnBenchError,
    MissingSideError,
    ResultsError,
    SideError,
    UsageError,
)
from ann_bench.text import printable

if TYPE_CHECKING:
    from ann_bench.compare.sides import Side
    from ann_bench.compare.store import Recorded
    from ann_bench.config import Algorithm, Value
    from ann_bench.datasets import Dataset
    from ann_bench.supervised import Commands

# Flags of a sweep that a comparison has no use for, by their names in the namespace.
_NOT_HERE = ("label", "force", "retry_failed", "dry_run", "list_algorithms", "plot")


def add_arguments(parser: Parser) -> None:
    """Add the flags that ask for a comparison instead of a sweep."""
    parser.add_argument(
        "--against",
        metavar="BASE",
        help="compare with a revision (main, HEAD~1), a source folder, a wheel, NAME==VERSION, or another "
        "environment; the other side is the working tree, or what is installed",
    )
    parser.add_argument("--versus", metavar="NAME", help="compare --algorithm with this one, both installed")
    parser.add_argument(
        "--margin", type=share, default=0.02, metavar="SHARE", help="slowdown that is too much (default: 2%%)"
    )
    parser.add_argument(
        "--recall",
        type=share,
        nargs="+",
        default=[0.9, 0.95, 0.99],
        metavar="RECALL",
        help="recalls to compare at (default: 0.9 0.95 0.99)",
    )
    parser.add_argument(
        "--build",
        action="append",
        default=[],
        metavar="NAME:KEY=VALUE,...",
        help="the index of an algorithm, such as hnswlib:M=16,ef_construction=200; what is not named is the "
        "preset's; may be repeated (default: the preset's first whose settings enclose the recalls)",
    )
    parser.add_argument(
        "--builds",
        type=integer(1),
        metavar="N",
        help="indexes to build of each side; building is compared as well (default: 1, or up to 16 where the "
        "sides' answers differ: then luck with an index counts)",
    )
    parser.add_argument(
        "--launches",
        type=int,
        choices=(8, 16, 32),
        default=32,
        help="launches after which a verdict is given, sure or not (default: %(default)s)",
    )
    parser.add_argument(
        "--clock",
        choices=("auto", "cpu", "wall"),
        default="auto",
        help="time that counts; auto: CPU time where both sides search in one thread of their own process",
    )
    parser.add_argument(
        "--format",
        choices=("text", "markdown", "json"),
        default="text",
        help="markdown for a pull request, json with all that the verdict is made of (default: %(default)s)",
    )


def main(args: argparse.Namespace, dataset: "Dataset", chosen: "Sequence[Algorithm]", cpu: int) -> int:
    """Run the comparisons that the arguments ask for, one algorithm after the other; return the exit code."""
    from ann_bench.machine import allowed_cpus
    from ann_bench.supervised import Commands

    commands = Commands(allowed_cpus())
    _check_builds(args, chosen)
    codes = []
    for algorithm in chosen:
        try:
            codes.append(_compare(args, dataset, cpu, *_sides(args, algorithm, commands)))
        except KeyboardInterrupt:
            commands.stop()
            raise
        except UsageError:
            raise
        except MissingSideError as error:
            if len(chosen) == 1:
                raise
            _tell(f"left out: {algorithm.name}: {printable(error)}")
            continue
        except AnnBenchError as error:
            if len(chosen) == 1:
                raise
            # The others are compared all the same, and what they end with is not forgotten.
            _tell(f"error: {algorithm.name}: {printable(error, keep=chr(10))}")
            codes.append(SideError.exit_code if error.exit_code == 1 else error.exit_code)
        if codes[-1] == INTERRUPTED:
            break
    if not codes:
        raise MissingSideError("there is nothing to compare: one side has none of these algorithms")
    # The gravest: interrupted, a side that does not run, a regression, invalid, inconclusive, passed.
    return max(codes, key=(0, 3, 4, 1, SideError.exit_code, INTERRUPTED).index)


@contextlib.contextmanager
def no_false_verdict() -> Iterator[None]:
    """Let an error of any kind end with 5 where it would end with 1, which says regression."""
    try:
        yield
    except AnnBenchError as error:
        if error.exit_code == 1:
            raise SideError(str(error)) from error
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise SideError(f"{where}{error.strerror or error}") from error
    except Exception as error:
        traceback.print_exc()
        raise SideError(f"a mistake of ann_bench, see above: {error!r}") from error


def default_algorithms(algorithms: "dict[str, Algorithm]") -> "list[Algorithm]":
    """Return what is compared where no algorithm is named: the built-in engine's."""
    from ann_bench.environments import ENGINE

    return [algorithm for algorithm in algorithms.values() if algorithm.library == ENGINE]


def check(args: argparse.Namespace) -> None:
    """Raise `UsageError` where flags do not go together."""
    flag = "--against" if args.against else "--versus"
    if args.against and args.versus:
        raise UsageError("--against: got it with --versus; ask one thing at a time")
    for name in _NOT_HERE:
        if getattr(args, name):
            given = f"--{name.replace('_', '-')}"
            raise UsageError(f"{given}: a comparison has no use for it; leave out {flag}, or {given}")
    if args.parallelism > 1:
        raise UsageError(f"--parallelism: got {args.parallelism}; a comparison runs on one core")
    if args.versus and not args.algorithm:
        raise UsageError(f"--versus: got {args.versus}; name the other with --algorithm")


def _check_builds(args: argparse.Namespace, chosen: "Sequence[Algorithm]") -> None:
    """Raise `UsageError`, before anything is built, where --build names what is not compared or not there."""
    from ann_bench import config

    compared = [algorithm.name for algorithm in chosen] + ([args.versus] if args.versus else [])
    algorithms = config.load_algorithms(args.definitions)
    for text in args.build:
        name, _, parameters = text.partition(":")
        if name not in compared:
            raise UsageError(
                f"--build: got {text!r}; it is NAME:KEY=VALUE,... and NAME one of {', '.join(compared)}"
            )
        if name in algorithms:
            config.read_build(algorithms[name], parameters)


def _builds(args: argparse.Namespace, *sides: "Side") -> "dict[str, dict[str, Value]]":
    """Return the build parameters of --build by algorithm, as each side's own entry has them."""
    from ann_bench import config

    found: dict[str, dict[str, Value]] = {}
    for text in args.build:
        name, _, parameters = text.partition(":")
        for side in sides:
            if side.algorithm.name == name:
                found.setdefault(name, {}).update(config.read_build(side.algorithm, parameters))
    return found


def _sides(args: argparse.Namespace, algorithm: "Algorithm", commands: "Commands") -> "tuple[Side, Side]":
    from ann_bench import config
    from ann_bench.compare.sides import Workshop

    def workshop(algorithm: "Algorithm") -> Workshop:
        return Workshop(algorithm, args.definitions, commands, _tell)

    if args.versus:
        algorithms = config.load_algorithms(args.definitions)
        if args.versus not in algorithms:
            raise UsageError(
                f"--versus: got {args.versus}; there is no such algorithm (run.py --list-algorithms)"
            )
        return workshop(algorithms[args.versus]).installed(), workshop(algorithm).installed()
    here = workshop(algorithm)
    base = here.base(args.against)  # first: a name that names nothing is told before anything is built
    return base, here.new()


def _compare(args: argparse.Namespace, dataset: "Dataset", cpu: int, base: "Side", new: "Side") -> int:
    from ann_bench.cli import against_text
    from ann_bench.compare.session import run_comparison
    from ann_bench.compare.survey import Asked

    for side in (base, new):
        if dataset.distance not in side.algorithm.distances:
            raise UsageError(
                f"--dataset: {dataset.name} is {dataset.distance}; {side.algorithm.name} does "
                f"{', '.join(side.algorithm.distances)}"
            )
    asked = Asked(
        dataset=dataset,
        k=args.count,
        cpu=cpu,
        preset=args.preset,
        targets=tuple(sorted(set(args.recall))),
        margin=args.margin,
        builds=args.builds,
        seed=args.seed,
        most_launches=args.launches,
        clock=None if args.clock == "auto" else args.clock,
        timeout_s=args.timeout,
        memory_limit_bytes=args.memory_limit,
        batch=args.batch,
        halves=args.versus is not None,
        build=_builds(args, base, new),
    )
    _tell(f"BASE: {base.title}; NEW: {new.title}")
    outcome = run_comparison(
        asked,
        base,
        new,
        args.results,
        report=_tell,
        launched=lambda launch, verdict: _tell(against_text.progress(launch, verdict)),
    )
    if outcome.recorded is None:
        return INTERRUPTED
    picture = _draw(outcome.recorded)
    try:
        _show(args.format, outcome.recorded, picture, interrupted=outcome.interrupted)
    except BrokenPipeError:  # `run.py --against main | head`: the exit status is still to come
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not outcome.interrupted:
        _remember(args, outcome.recorded)
    return INTERRUPTED if outcome.interrupted else outcome.recorded.verdict().exit_code


def _show(form: str, recorded: "Recorded", picture: Path | None, *, interrupted: bool) -> None:
    from ann_bench.cli import against_text

    if form == "json":
        print(json.dumps(against_text.as_json(recorded, interrupted=interrupted)))
    elif form == "markdown":
        print(against_text.as_markdown(recorded, interrupted=interrupted))
    else:
        against_text.show(recorded, interrupted=interrupted)
        print(f"launches: {recorded.path}")
        if picture is not None:
            print(f"picture: {picture}")


def _draw(recorded: "Recorded") -> Path | None:
    """Draw the comparison beside its launches; None where there is too little to draw, or no room for it."""
    from ann_bench.report import comparison
    from ann_bench.report.figure import save

    figure = comparison.draw(recorded)
    if figure is None:
        return None
    path = recorded.path.with_suffix(".png")
    try:
        save(figure, path)
    except ResultsError as error:
        _tell(f"warning: {printable(error)}")
        return None
    return path


def _remember(args: argparse.Namespace, recorded: "Recorded") -> None:
    """Add the comparison to the history."""
    from ann_bench import history
    from ann_bench.compare.summary import history_entry

    try:
        history.append(args.results, history_entry(recorded))
    except ResultsError as error:
        _tell(f"warning: {printable(error)}")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
