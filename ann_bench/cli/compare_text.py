"""How `ann-bench compare` prints what it found: for people, and as Markdown for a pull request."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ann_bench.compare.findings import Comparison, Findings, RatioChange, RecallChange, VerdictName
from ann_bench.compare.matching import as_typed, listed
from ann_bench.report.units import humanise, plural
from ann_bench.text import printable

UNPAIRED = "time, unpaired: not gated"
_QUANTITIES = {
    "distance_computations": ("distance computations", ""),
    "index_bytes_saved": ("index size, saved", "B"),
    "index_bytes_reported": ("index size, reported", "B"),
    "index_bytes_resident": ("index size, resident", "B"),
    "build_peak_bytes": ("peak memory of the build", "B"),
    "search_peak_bytes": ("peak memory of the search", "B"),
    "qps": ("queries/s", ""),
    "build_wall_ns": ("build time", "s"),
}
_COLOURS: dict[VerdictName, str] = {"pass": "green", "regression": "red", "failed": "red"}
_MOST_SETTINGS = 3
_HEAD = ("change (95 %)", "of", "BASE", "NEW", "")


class Row(NamedTuple):
    """A line of a table, as text: the change first."""

    change: str
    of: str
    base: str
    new: str
    decision: str


@dataclass(frozen=True)
class Section:
    """What is said about one dataset at one k in one mode: tables by title, and remarks."""

    title: str
    tables: dict[str, list[Row]]
    remarks: list[str]


def show(comparison: Comparison, console: Console) -> None:
    """Print tables, remarks and, last, the verdict; it fits in 80 columns."""
    console.print(Text(printable(f"BASE {comparison.base}   NEW {comparison.new}")))
    for section in _sections(comparison):
        console.print()
        console.print(Text(section.title, style="bold"))
        for title, rows in section.tables.items():
            console.print()
            console.print(_table(title, rows))
        console.print()
        for remark in section.remarks:
            console.print(Text(remark))
    for remark in _without_counterpart(comparison):
        console.print(Text(remark))
    console.print()
    style = f"bold {_COLOURS[comparison.verdict]}"
    console.print(Text(comparison.verdict, style=style), Text(printable(f": {reason(comparison)}")), sep="")


def as_markdown(comparison: Comparison) -> str:
    """Return the same as Markdown, the verdict first."""
    lines = [f"**{comparison.verdict}**: {_escaped(reason(comparison))}", ""]
    for section in _sections(comparison):
        lines += [f"### {_escaped(section.title)}", ""]
        for title, rows in section.tables.items():
            cells = [_HEAD, *rows]
            lines += [f"**{_escaped(title)}**", "", *_pipes(cells), ""]
        lines += [f"- {_escaped(remark)}" for remark in section.remarks]
        lines += [""] if section.remarks else []
    lines += [f"- {_escaped(remark)}" for remark in _without_counterpart(comparison)]
    return "\n".join(lines).rstrip() + "\n"


def reason(comparison: Comparison) -> str:
    """Return in one line what the verdict rests on."""
    if comparison.verdict == "regression":
        return listed(
            f"{found.algorithm}: {_change(change)} of {_what(change, found)}, margin {_margin(change)}"
            for found in comparison.findings
            for change in _headlines(found)
        )
    if comparison.verdict == "failed":
        return listed(
            f"{found.algorithm} {as_typed(setting)}: {how}, where BASE gave answers"
            for found in comparison.findings
            for setting, how in found.broken
        )
    matched = sum(found.matched for found in comparison.findings)
    return f"nothing gated is worse by its margin; {plural(matched, 'setting')} matched"


def _sections(comparison: Comparison) -> Iterator[Section]:
    groups: dict[str, list[Findings]] = {}
    for found in comparison.findings:
        data = found.dataset
        threads = () if found.threads in (None, 1) else (f"{found.threads} threads",)
        title = " · ".join((data["name"], f"{data['n']:,} rows", f"k = {found.k}", found.mode, *threads))
        groups.setdefault(f"{data['sha256']} {title}", []).append(found)
    for key, group in groups.items():
        tables = {printable(_title(found)): _rows(found) for found in group}
        tables[UNPAIRED] = [_row(time, found, found.algorithm) for found in group for time in found.times]
        remarks: dict[str, list[str]] = {}
        for found in group:
            for line in _remarks(found):
                remarks.setdefault(line, []).append(found.algorithm)
        filled = {title: rows for title, rows in tables.items() if rows}
        lines = [printable(f"{listed(of)}: {line}") for line, of in remarks.items()]
        yield Section(printable(key.partition(" ")[2]), filled, lines)


def _title(found: Findings) -> str:
    base, new = ("/".join(versions) for versions in (found.base_versions, found.new_versions))
    versions = f" {base}" if base == new else f" {base or '?'} → {new or '?'}"
    return f"{found.algorithm}{versions.rstrip()}: {plural(found.matched, 'setting')} matched"


def _rows(found: Findings) -> list[Row]:
    """Return the mean recall, the settings that lost most of it, and the ratios."""
    mean, settings = found.recalls[:1], found.recalls[1:]
    lost = [recall for recall in settings if recall.change < 0] if len(settings) > 1 else []
    worst = sorted(lost, key=lambda recall: (recall.decision != "worse", recall.change))[:_MOST_SETTINGS]
    shown = [recall for recall in worst if recall.decision == "worse"] or worst[:1]
    changes: list[RecallChange | RatioChange] = [*mean, *shown, *found.ratios]
    return [_row(change, found) for change in changes]


def _row(change: RecallChange | RatioChange, found: Findings, algorithm: str = "") -> Row:
    if isinstance(change, RecallChange):
        base, new = f"{change.base:.4f}", f"{change.new:.4f}"
    else:
        scale = 1e-9 if change.quantity.endswith("_ns") else 1.0
        unit = _QUANTITIES[change.quantity][1]
        base, new = (humanise(value * scale, unit) for value in (change.base, change.new))
    of = f"{algorithm}: {_what(change, found)}" if algorithm else _what(change, found)
    return Row(_change(change), printable(of), base, new, _decision(change))


def _change(change: RecallChange | RatioChange) -> str:
    if isinstance(change, RatioChange):
        return f"x{change.ratio:.3f}"
    half = "" if change.high is None else f" ± {change.high - change.change:.4f}"
    return f"{change.change:+.4f}{half}"


def _what(change: RecallChange | RatioChange, found: Findings) -> str:
    if isinstance(change, RecallChange):
        if change.setting is not None:
            return f"recall at {as_typed(change.setting)}"
        return "recall" if len(found.recalls) <= 2 else f"recall, mean of {len(found.recalls) - 1}"
    recalls = [f"{part.at:.3g}" for part in change.parts if isinstance(part.at, float)]
    return _QUANTITIES[change.quantity][0] + (f" at recall {', '.join(recalls)}" if recalls else "")


def _decision(change: RecallChange | RatioChange) -> str:
    return f"within {_margin(change)}" if change.decision == "within" else change.decision or ""


def _margin(change: RecallChange | RatioChange) -> str:
    if isinstance(change, RecallChange):
        return f"{change.margin:g}"
    return "" if change.margin is None else f"{100 * change.margin:g} %"


def _headlines(found: Findings) -> list[RecallChange | RatioChange]:
    """Return what got worse, of recall only the mean, or the setting that lost most."""
    lost = [change for change in found.worse if isinstance(change, RecallChange)]
    most = sorted(lost, key=lambda recall: (recall.setting is not None, recall.change))[:1]
    return [*most, *(change for change in found.worse if isinstance(change, RatioChange))]


def _remarks(found: Findings) -> Iterator[str]:
    yield from found.remarks
    unclear = sum(recall.unclear for recall in found.recalls[1:])
    if unclear:
        yield f"recall: {plural(unclear, 'setting')} with too few queries to rule out a loss of the margin"
    for side, settings in (("BASE", found.only_base), ("NEW", found.only_new)):
        if settings:
            count = plural(len(settings), "setting")
            yield f"{count} measured only in {side}: {listed(map(as_typed, settings))}"
    for setting, how in found.broken[:_MOST_SETTINGS]:
        yield f"{as_typed(setting)} failed in NEW: {how}"


def _without_counterpart(comparison: Comparison) -> Iterator[str]:
    for side, names in (("BASE", comparison.only_base), ("NEW", comparison.only_new)):
        if names:
            yield printable(f"only in {side}: {listed(names)}")


def _table(title: str, rows: Sequence[Row]) -> Table:
    table = Table(
        title=Text(title),
        title_justify="left",
        title_style="",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    table.add_column(_HEAD[0], min_width=16, no_wrap=True)
    table.add_column(_HEAD[1], width=27, overflow="fold")
    for name in _HEAD[2:4]:
        table.add_column(name, justify="right", min_width=8, no_wrap=True)
    table.add_column(_HEAD[4], min_width=12, no_wrap=True)
    colours = {"worse": "red", "better": "green"}
    for row in rows:
        table.add_row(*map(Text, row), style=colours.get(row.decision, ""))
    return table


def _pipes(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(map(_escaped, row)) + " |" for row in rows]
    return [lines[0], "|:--|:--|--:|--:|:--|", *lines[1:]]


def _escaped(text: str) -> str:
    """Return text in which nothing is Markdown's."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in printable(text))
