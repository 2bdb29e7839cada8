"""The table for the terminal: how fast each algorithm is at a recall, and with which setting."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ann_bench import frontier
from ann_bench.report import captions
from ann_bench.report.charts import Chart, Series, settings_value, value
from ann_bench.report.units import MISSING, humanise
from ann_bench.results import Record
from ann_bench.text import printable

TARGETS = (0.8, 0.9, 0.95, 0.99)
_SORTED_BY = 0.95
_NAME_WIDTH = 27


@dataclass(frozen=True)
class Row:
    """What the table says about a series.

    Attributes
    ----------
    series
        The series.
    qps
        Queries per second at each of the targets, interpolated on the frontier; None beyond it.
    settings
        The measured setting nearest to each target, None where there is no qps.
    typical
        The setting whose build time and index size are shown: the one nearest 0.95, or nearest the
        highest target that is reached, or the one of highest recall.
    """

    series: Series
    qps: tuple[float | None, ...]
    settings: tuple[Record | None, ...]
    typical: Record


def rows(chart: Chart, targets: Sequence[float] = TARGETS) -> list[Row]:
    """Return a row per series, fastest at recall 0.95 first, those that stay below it last."""
    made = [row for row in (_row(series, targets, chart) for series in chart.series) if row]
    at = max((i for i, target in enumerate(targets) if target <= _SORTED_BY), default=0)
    order = [*range(at, -1, -1), *range(at + 1, len(targets))]
    return sorted(made, key=lambda row: [-(row.qps[i] or 0.0) for i in order])


def _row(series: Series, targets: Sequence[float], chart: Chart) -> Row | None:
    records = [r for r in series.records if value(r, "recall") is not None and (value(r, "qps") or 0) > 0]
    if not records:
        return None
    recalls, qps = [value(r, "recall") for r in records], [value(r, "qps") for r in records]
    answers = max(1, chart.dataset["queries"] * chart.k)
    found = [frontier.nearest(recalls, qps, target, answers=answers) for target in targets]
    settings = tuple(records[i] if i is not None else None for i in found)
    reached = [s for target, s in zip(targets, settings, strict=True) if s and target <= _SORTED_BY]
    best = max(records, key=lambda record: value(record, "recall") or 0.0)
    return Row(
        series,
        tuple(frontier.interpolate(recalls, qps, target, answers=answers) for target in targets),
        settings,
        reached[-1] if reached else best,
    )


def show(chart: Chart, console: Console, targets: Sequence[float] = TARGETS) -> None:
    """Print what was measured, the table, the settings behind it, and what failed; it fits in 80 columns."""
    found = rows(chart, targets)
    console.print(Text(captions.one_line(chart.dataset["name"]), style="bold"))
    console.print(Text(captions.subtitle(chart).replace("\N{NO-BREAK SPACE}", " "), style="dim"))
    if found:
        tuned = [row for row in found if _parameters(row)]
        for table in (_speeds(found, targets), *([_settings(tuned, targets)] if tuned else [])):
            console.print()
            console.print(table)
    console.print()
    for line in (*captions.failures(chart), *captions.remarks(chart)):
        console.print(Text(printable(line)))


def _speeds(found: list[Row], targets: Sequence[float]) -> RenderableType:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("queries/s at recall", overflow="fold", max_width=_NAME_WIDTH)
    for target in targets:
        table.add_column(f"{target:g}", justify="right", min_width=6, no_wrap=True)
    for name in ("build", "index"):
        table.add_column(name, justify="right", min_width=8, no_wrap=True)
    for row in found:
        table.add_row(
            Text(captions.one_line(row.series.label)),
            *(humanise(qps) for qps in row.qps),
            humanise(value(row.typical, "build_s"), "s", 2),
            humanise(value(row.typical, "index_bytes"), "B", 2),
        )
    return table


def _settings(found: list[Row], targets: Sequence[float]) -> RenderableType:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("nearest settings", overflow="fold", max_width=_NAME_WIDTH)
    table.add_column("at " + " | ".join(f"{target:g}" for target in targets))
    for row in found:
        table.add_row(Text(captions.one_line(row.series.label)), Text(printable(_parameters(row))))
    return table


def _parameters(row: Row) -> str:
    """Return the parameters of the nearest settings, those that change with the target as "8 | 16 | 16"."""
    measured = [record for record in row.settings if record] or [row.typical]
    texts = []
    for name in dict.fromkeys(name for record in measured for name in record["build"] | record["query"]):
        held = [settings_value((r["build"] | r["query"]).get(name)) if r else MISSING for r in row.settings]
        used = {settings_value((r["build"] | r["query"]).get(name)) for r in measured}
        texts.append(f"{name} {used.pop() if len(used) == 1 else ' | '.join(held)}")
    return ", ".join(texts)
