"""What `run.py` says before and after a sweep: the plan, a dry run, and what came of it."""

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ann_bench import results
from ann_bench.paths import in_clone
from ann_bench.report.units import plural
from ann_bench.runner.plan import Job, Plan, Request, describe
from ann_bench.runner.sweep import Outcome
from ann_bench.text import printable

_MOST_FAILURES = 12
DEFAULT_K = 10


def duration(seconds: float) -> str:
    """Return seconds as `42 s`, `3 min 20 s` or `2 h 05 min`."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 6000:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def make_console() -> Console:
    """Return a console that breaks lines between words on a terminal, and leaves them whole elsewhere."""
    console = Console(highlight=False)
    console.soft_wrap = not console.is_terminal
    return console


def show_plan(request: Request, plan: Plan) -> None:
    """Print what will be measured on what, in a few lines."""
    console = make_console()
    dataset = request.dataset
    console.print(
        f"[bold]{escape(dataset.name)}[/]: {dataset.n:,} x {dataset.dimension}, {dataset.distance}, "
        f"{len(dataset.test):,} queries, k = {request.k}, {request.mode}, "
        f"{'threads' if request.threads > 1 else 'thread'} {request.threads}, {request.rounds} rounds"
    )
    names = sorted({job.algorithm.name for job in plan.jobs})
    if plan.settings:
        console.print(
            f"to measure: {plural(plan.settings, 'setting')} on {plural(len(plan.jobs), 'build')} "
            f"of {', '.join(names)}"
        )
    if plan.done:
        failed = sum(record["status"] == "failed" for record in plan.done)
        again = f", {failed} of them failed (--retry-failed tries again)" if failed else ""
        console.print(
            f"measured already: {plural(len(plan.done), 'setting')}{again} (--force measures again)"
        )
    for line in plan.damaged:
        console.print(escape(printable(line)), style="yellow")
    _show_left_out(console, request, plan)


def _show_left_out(console: Console, request: Request, plan: Plan) -> None:
    installable = sorted({left.install for left in plan.left_out if left.install})
    if installable:
        waiting = [left.name for left in plan.left_out if left.install]
        folders = [word for folder in request.definitions for word in ("--definitions", str(folder))]
        command = shlex.join(["ann-bench", "install", *installable, *folders])
        console.print(escape(f"not installed: {', '.join(waiting)} (type `{command}`)"))
    for reason in dict.fromkeys(left.reason for left in plan.left_out if not left.install):
        names = ", ".join(left.name for left in plan.left_out if left.reason == reason and not left.install)
        console.print(escape(f"left out: {names}: {reason}"))


def show_dry_run(request: Request, plan: Plan) -> None:
    """Print every index that would be built, how many settings it has, and how long all of it would take."""
    table = Table(box=None, pad_edge=False)
    table.add_column("index")
    for heading in ("settings", "at most", "expected"):
        table.add_column(heading, justify="right")
    known = _known_seconds(request)
    most, expected, guessed = 0.0, 0.0, 0
    for job in plan.jobs:
        limit = job.time_limits["build_s"] + job.time_limits["setting_s"] * len(job.settings)
        build_s, search_s, unknown = _expected_seconds(job, known)
        most += limit
        expected += build_s + search_s
        guessed += unknown
        cell = "-" if unknown else duration(build_s + search_s)
        table.add_row(escape(job.title), str(len(job.settings)), duration(limit), cell)
    console = make_console()
    console.print(table, soft_wrap=False)
    whole = duration(most / request.parallelism)
    text = f"{plural(plan.settings, 'setting')} on {plural(len(plan.jobs), 'build')}: at most {whole}"
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
            known[name] = ((record["costs"]["build_wall_ns"] or 0) / 1e9, search_s)
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


def show_outcome(request: Request, plan: Plan, outcome: Outcome, *, drawn: bool) -> None:
    """Print how many settings were measured, what failed or went wrong, and what to type next."""
    console = make_console()
    failed = [record for record in outcome.records if record["status"] == "failed"]
    measured = len(outcome.records) - len(failed)
    if outcome.interrupted:
        open_still = plan.settings - len(outcome.records)
        how = "the same command without --force" if request.force else "the same command"
        console.print(
            f"interrupted: {plural(measured, 'setting')} measured and kept, {open_still} not "
            f"(what they had of rounds is lost); {how} goes on from here"
        )
    elif outcome.records:
        console.print(f"measured {plural(measured, 'setting')}; {len(failed)} failed")
    elif not plan.done:
        console.print("nothing was measured")
    _show_failures(console, failed)
    _show_problems(console, outcome.records)
    share = outcome.timed_share
    if share is not None and not outcome.interrupted:
        console.print(f"timed calls: {share:.0%} of the wall time outside building and loading", style="dim")
    if (measured or plan.done) and not drawn:
        console.print(f"draw it: {escape(_plot_command(request))}")


def _plot_command(request: Request) -> str:
    """Return the command that draws what was measured."""
    words = ["python", "plot.py"] if in_clone() else ["ann-bench", "plot"]
    data = request.dataset
    words += ["--dataset", data.name]
    words += ["--subset", str(data.n)] if data.n < data.rows_available else []
    words += ["--queries", str(len(data.test))] if len(data.test) < data.queries_available else []
    words += ["-k", str(request.k)] if request.k != DEFAULT_K else []
    words += ["--batch"] if request.batch else []
    words += ["--results", str(request.results)] if request.results != Path("results") else []
    return shlex.join(words)


def _show_failures(console: Console, failed: Sequence[dict[str, Any]]) -> None:
    """Print each reason once, with the settings that it hit and the last lines of the log."""
    reasons: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for record in failed:
        failure = record["failure"]
        reasons.setdefault((failure["kind"], failure["stage"], failure["text"]), []).append(record)
    for (kind, stage, text), records in list(reasons.items())[:_MOST_FAILURES]:
        first = records[0]
        name = describe(first["algorithm"]["name"], first["build"], first["query"])
        more = f" and {plural(len(records) - 1, 'more setting')}" if len(records) > 1 else ""
        console.print(f"[red]failed[/] {escape(name)}{more}: {kind} in {stage}: {escape(printable(text))}")
        for line in first["failure"]["log_tail"].splitlines()[-3:]:
            console.print(f"    {escape(printable(line))}", style="dim")
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
        console.print(
            f"[yellow]problem[/] {name}: {kind}: {escape(printable(text))} ({plural(count, 'setting')})"
        )
    if len(seen) > _MOST_FAILURES:
        console.print(
            f"… and {len(seen) - _MOST_FAILURES} more problems: `ann-bench results show` tells each"
        )
