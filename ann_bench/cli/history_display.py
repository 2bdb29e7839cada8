"""How `ann-bench history` tells a series: as a table, or as JSON."""

import json
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ann_bench.history import Entry
from ann_bench.report.history import findings
from ann_bench.report.units import MISSING, humanise
from ann_bench.text import printable
from ann_bench.trend import Point, Series, Shift


def print_series(console: Console, series: Series, facts: Sequence[str]) -> None:
    """Print a series run by run, with its shifts; `facts` say what was measured on what."""
    console.print(Text(printable(series.algorithm), style="bold"))
    console.print(Text(printable(" · ".join(facts)), style="dim"))
    if series.points:
        console.print()
        console.print(_table(series))
        console.print()
    console.print(Text(" · ".join(findings(series))))
    for shift in series.shifts:
        console.print(Text(_told(shift)))


def _table(series: Series) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("when (UTC)", no_wrap=True)
    table.add_column("state", overflow="fold")
    table.add_column(f"at {series.recall:g}", justify="right", no_wrap=True)
    table.add_column("95 % interval", no_wrap=True)
    of_comparisons = any(point.entry.kind == "comparison" for point in series.points)
    if of_comparisons:
        table.add_column("against BASE", overflow="fold")
    table.add_column("level", justify="right", no_wrap=True)
    shifts = {shift.at: shift for shift in series.shifts}
    for i, point in enumerate(series.points):
        shift = shifts.get(i)
        table.add_row(
            f"{point.when:%Y-%m-%d %H:%M}",
            Text(printable(point.name)),
            _rate(point.speed.qps),
            _interval(point),
            *([Text(_against_base(point.entry))] if of_comparisons else []),
            _ratio(shift.ratio) if shift else "",
            style="bold" if shift else "",
        )
    return table


def _interval(point: Point) -> str:
    low, high = point.speed.low, point.speed.high
    if low is None or high is None:
        return MISSING
    return f"{_rate(low)} to {_rate(high)}"


def _rate(qps: float) -> str:
    return f"{qps:,.0f}" if qps >= 1000 else humanise(qps, digits=4)


def _against_base(entry: Entry) -> str:
    told = printable(entry.verdict)
    if entry.change is not None:
        told += f" {_ratio(entry.change)}"
    if entry.interval is not None:
        told += f" ({entry.interval[0]:.3f} to {entry.interval[1]:.3f})"
    return told


def _told(shift: Shift) -> str:
    names = f"{printable(shift.before.name)} -> {printable(shift.after.name)}"
    percent = 100 * (shift.ratio - 1)
    return f"shift {shift.after.entry.when[:10]}: {names}: {_ratio(shift.ratio)} ({percent:+.1f} %)"


def _ratio(ratio: float) -> str:
    return f"×{ratio:.3f}"  # noqa: RUF001 - a ratio, not a letter


def as_json(series: Sequence[Series], recall: float) -> str:
    """Return the series with their points, levels and shifts as JSON; a ratio is after over before."""
    return json.dumps({"recall": recall, "series": [_series(one) for one in series]}, indent=2)


def _series(series: Series) -> dict[str, Any]:
    run = series.newest
    return {
        "algorithm": series.algorithm,
        "dataset": run.dataset.model_dump(),
        "k": run.k,
        "mode": run.mode,
        "threads": run.threads,
        "cpu": run.cpu,
        "kind": run.kind,
        "preset": run.preset,
        "settings": series.settings,
        "points": [_point(point) for point in series.points],
        "runs_below_recall": series.unreached,
        "noise_log_sd": series.noise,
        "levels": [
            {"first": level.first, "last": level.stop - 1, "qps": level.qps} for level in series.levels
        ],
        "shifts": [
            {
                "at": shift.at,
                "when": shift.after.entry.when,
                "before": shift.before.state.state,
                "after": shift.after.state.state,
                "ratio": shift.ratio,
            }
            for shift in series.shifts
        ],
    }


def _point(point: Point) -> dict[str, Any]:
    entry, state = point.entry, point.state
    return {
        "when": entry.when,
        "state": state.state,
        "library_version": state.library_version,
        "library_digest": state.library_digest,
        "label": entry.label,
        "qps": point.speed.qps,
        "low": point.speed.low,
        "high": point.speed.high,
        "verdict": entry.verdict,
        "change": entry.change,
        "interval": entry.interval,
    }
