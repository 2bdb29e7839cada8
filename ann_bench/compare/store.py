"""A comparison on disk: `comparisons/NAME.jsonl` in the results folder, its plan, then a line a launch.

A launch is there as soon as it is over, and the verdict is a function of what is there: it is computed anew
from any file, whole or cut short.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ann_bench.compare.launch import Clock, Launch
from ann_bench.compare.points import Points
from ann_bench.compare.verdict import Verdict, judge
from ann_bench.errors import ResultsError

SCHEMA_VERSION = 1
VISITS = 4


@dataclass
class Recorded:
    """A comparison as it is on disk; `plan` holds all that was fixed before the first launch."""

    plan: dict[str, Any]
    launches: list[Launch]
    path: Path

    @property
    def points(self) -> tuple[Points, ...]:
        """Where the sides are compared, of each build."""
        return tuple(Points.from_json(values) for values in self.plan["points"])

    @property
    def mode(self) -> str:
        """`single` for one query a call, as in all comparisons of before there were others, or `batch`."""
        return str(self.plan.get("mode", "single"))

    @property
    def asked(self) -> str:
        """How the queries were asked, in words."""
        if self.mode == "single":
            return "one query at a time"
        return f"batches of {self.plan['protocol']['queries_per_call']:,} queries"

    def verdict(self, clock: Clock | None = None) -> Verdict:
        """Return the verdict on the launches, by the plan's clock unless another is named."""
        plan = self.plan
        return judge(self.launches, self.points, clock=clock or plan["clock"], margin=plan["margin"])


class Store:
    """The file of a comparison that is being made."""

    def __init__(self, results: Path, plan: dict[str, Any]) -> None:
        folder = results / "comparisons"
        stamp = re.sub(r"[^0-9T]", "", plan["started"].split(".")[0])
        words = [stamp, plan["dataset"]["name"], plan["sides"]["new"]["algorithm"]]
        words += ["batch"] if plan["mode"] == "batch" else []
        name = re.sub(r"[^\w.-]+", "_", "-".join(words))
        self.recorded = Recorded({"schema_version": SCHEMA_VERSION, **plan}, [], folder / f"{name}.jsonl")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._append(self.recorded.plan, flags=os.O_CREAT | os.O_EXCL)
        except OSError as error:
            raise ResultsError(
                f"{self.recorded.path}: cannot be written: {error.strerror or error}"
            ) from error

    def add(self, launch: Launch) -> None:
        """Write a launch that is over; `ResultsError` where the disk does not take it."""
        try:
            self._append(launch.as_json())
        except OSError as error:
            raise ResultsError(
                f"{self.recorded.path}: cannot be written: {error.strerror or error}"
            ) from error
        self.recorded.launches.append(launch)

    def _append(self, values: dict[str, Any], flags: int = 0) -> None:
        line = json.dumps(values, separators=(",", ":")).encode() + b"\n"
        file = os.open(self.recorded.path, os.O_WRONLY | os.O_APPEND | flags, 0o666)
        try:
            while line:
                line = line[os.write(file, line) :]
            os.fsync(file)
        finally:
            os.close(file)


def read(path: Path) -> Recorded:
    """Return the comparison in a file; a last launch that is cut short is passed over.

    `ResultsError` where it is none, of another version, or damaged; that names the line.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not lines[-1]:
        del lines[-1]
    recorded = None
    for number, line in enumerate(lines, start=1):
        try:
            values = json.loads(line)
        except ValueError as error:
            if number == len(lines) > 1:
                break
            raise ResultsError(f"{path}:{number}: is no JSON ({error}); it is no comparison") from error
        try:
            if recorded is None:
                recorded = _begun(path, values)
            else:
                recorded.launches.append(_launch(values, recorded.points))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ResultsError(f"{path}:{number}: is no part of a comparison: {error!r}") from error
    if recorded is None:
        raise ResultsError(f"{path}: is empty; it is no comparison")
    return recorded


def _begun(path: Path, plan: Any) -> Recorded:
    """Return the comparison that a plan begins."""
    if not isinstance(plan, dict) or plan.get("schema_version") != SCHEMA_VERSION:
        raise ResultsError(f"{path}: is no comparison of version {SCHEMA_VERSION}")
    recorded = Recorded(plan, [], path)
    _ = recorded.points, plan["clock"], plan["margin"]
    return recorded


def _launch(values: Any, points: Sequence[Points]) -> Launch:
    """Return a launch that searched at these points, each of its figures a number."""
    launch = Launch.from_json(values)
    pairs = len(points[launch.build].base)
    for quad in launch.quads:
        if not 0 <= quad.pair < pairs:
            raise ValueError(f"pair {quad.pair} of {pairs}")
        for figures in (quad.cpu_ns, quad.wall_ns):
            if len(figures) != VISITS or not all(figure > 0 for figure in figures):
                raise ValueError(f"{figures} are not the times of {VISITS} visits")
    return launch
