"""Installations as they go: those at work on a terminal, plain lines elsewhere; a table at the end."""

import contextlib
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from ann_bench.config import load_algorithms
from ann_bench.environments import Environment
from ann_bench.errors import ConfigError
from ann_bench.installations import Observer
from ann_bench.recipes import canonical
from ann_bench.text import printable

_STYLES = {"ready": "green", "failed": "red", "unavailable": "yellow", "missing": "dim"}


class Libraries:
    """What an environment is there for: the libraries that algorithms measure in it."""

    def __init__(self, definitions: Sequence[Path]) -> None:
        self._of: dict[str, list[str]] = {}
        with contextlib.suppress(ConfigError):  # told by what needs the algorithms
            for algorithm in load_algorithms(definitions).values():
                self._of.setdefault(algorithm.environment, []).append(canonical(algorithm.library))

    def versions(self, environment: Environment) -> str:
        """Return the versions of an environment's libraries; of its first pin, where none is measured."""
        known = [name for name in self._of.get(environment.name, ()) if name in environment.versions]
        names = dict.fromkeys(known or list(environment.versions)[:1])
        return ", ".join(f"{name} {environment.versions[name]}" for name in names)


class Display(Observer):
    """Shows `count` installations as they go."""

    def __init__(self, count: int, libraries: Libraries) -> None:
        self._libraries = libraries
        self._console = Console(highlight=False, soft_wrap=True)
        self._count = count
        self._ended = 0
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            SpinnerColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> Self:
        """Start showing."""
        self._progress.start()
        if self._count > 1:
            self._all = self._progress.add_task("")
            self._show_all()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Stop showing."""
        self._progress.stop()

    def began(self, name: str) -> None:
        """Show the installation among those at work."""
        with self._lock:
            self._tasks[name] = self._progress.add_task(escape(name))

    def step(self, name: str, line: str) -> None:
        """Show what it does now."""
        if self._console.is_terminal:
            self._progress.update(self._tasks[name], description=escape(printable(line)))
        else:
            self._console.print(escape(printable(line)))

    def ended(self, environment: Environment) -> None:
        """Print how it ended."""
        with self._lock:
            self._ended += 1
            self._progress.remove_task(self._tasks[environment.name])
            if self._count > 1:
                self._show_all()
        name, versions = environment.name, self._libraries.versions(environment)
        if environment.state == "ready":
            self._console.print(escape(f"{name}: ready in {environment.seconds:.1f} s ({versions})"))
            return
        log = f"\n{name}: more in {environment.log}" if environment.log else ""
        text = printable(f"{name}: {environment.state}: {environment.reason}{log}", keep="\n")
        print(text, file=sys.stderr, flush=True)

    def _show_all(self) -> None:
        self._progress.update(self._all, description=f"{self._ended} of {self._count} done")


def print_table(environments: Sequence[Environment], libraries: Libraries) -> None:
    """Print state, time and versions of environments, or why they are not ready."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("environment", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("seconds", no_wrap=True, justify="right")
    table.add_column("installed, or why not", overflow="fold")
    for environment in environments:
        text = environment.reason or libraries.versions(environment)
        table.add_row(
            environment.name,
            Text(environment.state, style=_STYLES[environment.state]),
            f"{environment.seconds:.1f}" if environment.seconds else "",
            Text(printable(text)),
        )
    Console(highlight=False).print(table)
