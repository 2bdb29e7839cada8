"""What `run.py` shows: the plan, the sweep as it goes, and what came of it."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from ann_bench import results
from ann_bench.runner.built import Built, Tally
from ann_bench.runner.lane import Observer
from ann_bench.runner.plan import Job, Plan, Request, describe
from ann_bench.runner.sweep import Outcome

_MOST_FAILURES = 12
_GUESSED_BUILD_S = 5.0
_GUESSED_VISIT_S = 0.5


def duration(seconds: float) -> str:
    """Return seconds as `42 s`, `3 min 20 s` or `2 h 05 min`."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 6000:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def show_plan(request: Request, plan: Plan) -> None:
    """Print what will be measured on what, in a few lines."""
    console = Console(highlight=False)
    dataset = request.dataset
    console.print(
        f"[bold]{escape(dataset.name)}[/]: {dataset.n:,} x {dataset.dimension}, {dataset.distance}, "
        f"{len(dataset.test):,} queries, k = {request.k}, {request.mode}, "
        f"{'threads' if request.threads > 1 else 'thread'} {request.threads}, {request.rounds} rounds"
    )
    names = sorted({job.algorithm.name for job in plan.jobs})
    if plan.settings:
        console.print(
            f"to measure: {plan.settings} settings on {len(plan.jobs)} indexes of {', '.join(names)}"
        )
    if plan.done:
        failed = sum(record["status"] == "failed" for record in plan.done)
        again = f", {failed} of them failed (--retry-failed tries again)" if failed else ""
        console.print(f"measured already: {len(plan.done)} settings{again} (--force measures again)")
    for line in plan.damaged:
        console.print(f"passed over: {escape(line)}", style="yellow", soft_wrap=True)
    _show_left_out(console, plan)


def _show_left_out(console: Console, plan: Plan) -> None:
    installable = sorted({left.install for left in plan.left_out if left.install})
    if installable:
        waiting = [left.name for left in plan.left_out if left.install]
        console.print(
            f"not installed: {', '.join(waiting)} (type `ann-bench install {' '.join(installable)}`)"
        )
    for left in plan.left_out:
        if not left.install:
            console.print(f"left out: {left.name}: {escape(left.reason)}")


def show_dry_run(request: Request, plan: Plan) -> None:
    """Print every index that would be built, how many settings it has, and how long all of it would take."""
    table = Table(box=None, pad_edge=False)
    table.add_column("index")
    for heading in ("settings", "at most", "expected"):
        table.add_column(heading, justify="right")
    known = _known_seconds(request)
    most, expected, guessed = 0.0, 0.0, 0
    for job in plan.jobs:
        limit = job.max_seconds_per_build + job.max_seconds_per_setting * len(job.settings)
        build_s, search_s, unknown = _expected_seconds(job, known)
        most += limit
        expected += build_s + search_s
        guessed += unknown
        cell = "-" if unknown else duration(build_s + search_s)
        table.add_row(escape(job.title), str(len(job.settings)), duration(limit), cell)
    console = Console(highlight=False)
    console.print(table)
    whole = duration(most / request.parallelism)
    text = f"{plan.settings} settings on {len(plan.jobs)} indexes: at most {whole}"
    if plan.jobs and not guessed:
        text += f", expected {duration(expected / request.parallelism)} from earlier measurements"
    console.print(text)


def _known_seconds(request: Request) -> dict[str, tuple[float, float]]:
    """Return build and search seconds of what was measured on this dataset before, by setting."""
    known = {}
    for record in results.scan(request.results, on_skip=lambda _line: None):
        same = record["dataset"]["name"] == request.dataset.name and record["k"] == request.k
        if (
            same
            and record["status"] == "ok"
            and record["mode"] == request.mode
            and record["metrics"].get("qps")
        ):
            name = describe(record["algorithm"]["name"], record["build"], record["query"])
            search_s = request.rounds * record["dataset"]["queries"] / record["metrics"]["qps"]
            known[name] = (record["costs"]["build_wall_ns"] / 1e9, search_s)
    return known


def _expected_seconds(job: Job, known: dict[str, tuple[float, float]]) -> tuple[float, float, int]:
    """Return build seconds, search seconds and the number of settings that nothing is known of."""
    found = [known.get(describe(job.algorithm.name, job.build, setting.query)) for setting in job.settings]
    seen = [pair for pair in found if pair]
    return (
        max((build for build, _ in seen), default=0.0),
        sum(search for _, search in seen),
        found.count(None),
    )


class _Estimate:
    """How long the rest will take, from what builds and visits took so far."""

    def __init__(self, plan: Plan, rounds: int, parallelism: int) -> None:
        self._rounds = rounds
        self._parallelism = parallelism
        self._builds_left = len(plan.jobs)
        self._unvisited = plan.settings
        self._build_s: list[float] = []
        self._seconds: dict[int, float] = {}
        self._left: dict[int, int] = {}

    def built(self, seconds: float) -> None:
        self._builds_left -= 1
        self._build_s.append(seconds)

    def visited(self, tally: Tally) -> None:
        key = id(tally)
        if key not in self._left:
            self._unvisited -= 1
        self._seconds[key] = tally.seconds_per_visit or 0.0
        self._left[key] = 0 if tally.failure else self._rounds - tally.rounds

    def seconds(self) -> float:
        mean_build = sum(self._build_s) / len(self._build_s) if self._build_s else _GUESSED_BUILD_S
        seen = self._seconds.values()
        mean_visit = sum(seen) / len(seen) if seen else _GUESSED_VISIT_S
        visits = sum(self._left[key] * self._seconds[key] for key in self._left)
        total = self._builds_left * mean_build + visits + self._unvisited * self._rounds * mean_visit
        return total / self._parallelism


class Display(Observer):
    """Shows a sweep as it goes: a live bar on a terminal, plain lines elsewhere."""

    def __init__(self, request: Request, plan: Plan) -> None:
        self._console = Console(highlight=False)
        self._plan = plan
        self._visits = plan.settings * request.rounds
        self._rounds = request.rounds
        self._estimate = _Estimate(plan, request.rounds, request.parallelism)
        self._lock = threading.Lock()
        self._build_began: dict[int, float] = {}
        self._recorded = 0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            refresh_per_second=4,
            transient=True,
            disable=not self._console.is_terminal or not plan.jobs,
        )
        self._task: TaskID = self._progress.add_task("starting", total=self._visits, left="")

    def __enter__(self) -> Self:
        """Start showing."""
        self._progress.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Stop showing."""
        self._progress.stop()

    def building(self, job: Job) -> None:
        """Say which index is being built."""
        with self._lock:
            self._build_began[id(job)] = time.perf_counter()
            self._show(f"building {job.title}")

    def built(self, built: Built) -> None:
        """Say how long the build took."""
        with self._lock:
            seconds = time.perf_counter() - self._build_began[id(built.job)]
            self._estimate.built(seconds)
            if all(tally.failure for tally in built.tallies):
                for tally in built.tallies:
                    self._estimate.visited(tally)
                    self._progress.advance(self._task, self._rounds)
            elif not self._console.is_terminal:
                self._console.print(f"built {escape(built.job.title)} in {seconds:.1f} s", soft_wrap=True)

    def visiting(self, built: Built, tally: Tally) -> None:
        """Say which setting is being measured."""
        with self._lock:
            name = describe(built.job.algorithm.name, built.job.build, tally.setting.query)
            self._show(f"{name}, round {tally.rounds + 1}")

    def visited(self, _built: Built, tally: Tally) -> None:
        """Move the bar."""
        with self._lock:
            self._estimate.visited(tally)
            self._progress.advance(self._task, self._rounds - tally.rounds if tally.failure else 1)

    def recorded(self, record: dict[str, Any], _path: Path) -> None:
        """Print one line for a finished setting."""
        with self._lock:
            self._recorded += 1
            name = describe(record["algorithm"]["name"], record["build"], record["query"])
            count = f"[{self._recorded}/{self._plan.settings}]"
            if record["status"] == "failed":
                failure = record["failure"]
                line = f"{count} {name}: FAILED ({failure['kind']} in {failure['stage']}): {failure['text']}"
            else:
                metrics = record["metrics"]
                line = f"{count} {name}: recall {metrics['recall']:.4f}, {metrics['qps']:,.0f} qps"
                asked, all_queries = record["dataset"]["queries"], record["identity"]["queries"]
                line += f" ({asked:,} of {all_queries:,} queries)" if asked < all_queries else ""
            style = "red" if record["status"] == "failed" else "yellow" if record["problems"] else None
            self._console.print(escape(line), style=style, soft_wrap=True)

    def message(self, text: str) -> None:
        """Print one line."""
        with self._lock:
            self._console.print(escape(text), style="yellow", soft_wrap=True)

    def _show(self, text: str) -> None:
        room = max(20, self._console.width - 60)
        shown = text if len(text) <= room else text[: room - 1] + "…"
        left = f"about {duration(self._estimate.seconds())} left"
        self._progress.update(self._task, description=escape(shown), left=left)


def show_outcome(request: Request, plan: Plan, outcome: Outcome) -> None:
    """Print how many settings were measured, what failed or went wrong, and what to type next."""
    console = Console(highlight=False)
    failed = [record for record in outcome.records if record["status"] == "failed"]
    measured = len(outcome.records) - len(failed)
    if outcome.interrupted:
        open_still = plan.settings - len(outcome.records)
        console.print(
            f"interrupted: {measured} settings are measured and kept, {open_still} are not; "
            "the same command goes on from here"
        )
    elif outcome.records:
        console.print(f"measured {measured} settings; {len(failed)} failed")
    elif not plan.done:
        console.print("nothing was measured")
    _show_failures(console, failed)
    _show_problems(console, outcome.records)
    share = outcome.timed_share
    if share is not None and not outcome.interrupted:
        console.print(f"timed calls: {share:.0%} of the wall time outside building and loading", style="dim")
    if measured or plan.done:
        folder = "" if request.results == Path("results") else f" --results {request.results}"
        batch = " --batch" if request.batch else ""
        k = "" if request.k == 10 else f" -k {request.k}"
        console.print(
            f"draw it: python plot.py --dataset {escape(request.dataset.name)}{k}{batch}{folder}",
            soft_wrap=True,
        )


def _show_failures(console: Console, failed: Sequence[dict[str, Any]]) -> None:
    """Print each reason once, with the settings that it hit and the last lines of the log."""
    reasons: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for record in failed:
        failure = record["failure"]
        reasons.setdefault((failure["kind"], failure["stage"], failure["text"]), []).append(record)
    for (kind, stage, text), records in list(reasons.items())[:_MOST_FAILURES]:
        first = records[0]
        name = describe(first["algorithm"]["name"], first["build"], first["query"])
        more = f" and {len(records) - 1} more settings" if len(records) > 1 else ""
        console.print(
            f"[red]failed[/] {escape(name)}{more}: {kind} in {stage}: {escape(text)}", soft_wrap=True
        )
        for line in first["failure"]["log_tail"].splitlines()[-3:]:
            console.print(f"    {escape(line)}", style="dim", soft_wrap=True)
    if len(reasons) > _MOST_FAILURES:
        console.print(
            f"… and {len(reasons) - _MOST_FAILURES} more reasons: `ann-bench results list --failed`"
        )


def _show_problems(console: Console, records: Sequence[dict[str, Any]]) -> None:
    """Print what should not have happened in settings that were measured all the same."""
    seen: Counter[tuple[str, str, str]] = Counter()
    for record in records:
        for problem in record["problems"]:
            seen[record["algorithm"]["name"], problem["kind"], problem["text"]] += 1
    for (name, kind, text), count in list(seen.items())[:_MOST_FAILURES]:
        console.print(f"[yellow]problem[/] {name}: {kind}: {escape(text)} ({count} settings)", soft_wrap=True)
    if len(seen) > _MOST_FAILURES:
        console.print(
            f"… and {len(seen) - _MOST_FAILURES} more problems: `ann-bench results show` tells each"
        )
