"""The words around a figure: its title, what failed, what is left out, and where the numbers come from."""

from collections.abc import Iterable, Sequence
from typing import Any

from ann_bench.report.charts import Chart, asked, settings_text
from ann_bench.report.units import humanise, plural, thousands
from ann_bench.results import Record

_KINDS = {
    "raised": "raised an error",
    "exited": "ended its process",
    "signal": "crashed",
    "memory": "out of memory",
    "timeout": "out of time",
    "wrong-answer": "wrong answers",
    "changed-input": "changed its input",
    "start": "did not start",
}
_INTERVALS = {"launches": "over launches"}
_DISTANCES = {"dot": "inner product"}


def one_line(text: object, most: int = 90) -> str:
    """Return text from a record as one line of printable characters, shortened in its middle."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    if len(line) <= most:
        return line
    return f"{line[: most * 2 // 3 - 1].rstrip()}…{line[len(line) - most // 3 :].lstrip()}"


def subtitle(chart: Chart) -> str:
    """Return what was measured: rows, dimensions, distance, k, queries, mode, threads."""
    data = chart.dataset
    queries = thousands(data["queries"])
    if data["queries"] < (data.get("queries_available") or 0):
        queries += f" of {thousands(data['queries_available'])}"
    mode = "all queries in one batch" if chart.mode == "batch" else "one query at a time"
    parts = (
        f"{thousands(data['n'])} × {thousands(data['dimension'])}",  # noqa: RUF001 - a product, not a letter
        _DISTANCES.get(data["distance"], data["distance"]),
        f"k = {chart.k}",
        f"{queries} queries",
        mode,
        "threads unknown" if chart.threads is None else plural(chart.threads, "thread"),
    )
    return _joined(parts)


def _joined(parts: Iterable[str]) -> str:
    """Return parts with dots between; the short ones will not be broken over two lines."""
    lines = (one_line(part, 100) for part in parts if part)
    return " · ".join(line.replace(" ", "\N{NO-BREAK SPACE}") if len(line) < 48 else line for line in lines)


def failures(chart: Chart, most: int = 3) -> list[str]:
    """Return one line per reason for which settings failed, at most `most`, and how many more there are."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in chart.failures:
        failure = record["failure"] or {"kind": "raised", "text": ""}
        groups.setdefault((record["algorithm"]["name"], failure["kind"]), []).append(record)
    order = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    lines = [_failure(algorithm, kind, records) for (algorithm, kind), records in order[:most]]
    rest = sum(len(records) for _, records in order[most:])
    return [*lines, f"… and {thousands(rest)} more failed"] if rest else lines


def _failure(algorithm: str, kind: str, records: list[Record]) -> str:
    stages = sorted({r["failure"]["stage"] for r in records if r["failure"]})
    text = _KINDS.get(kind, kind) + (f" in {'/'.join(stages)}" if stages else "")
    detail = records[0]["failure"]["text"] if records[0]["failure"] else ""
    if len(records) == 1:
        what = settings_text(records[0]["build"] | records[0]["query"])
    else:
        what = f"({thousands(len(records))} settings)"
    who = f"{one_line(algorithm, 30)} {one_line(what, 50)}".rstrip()
    return f"✗ {who}: {text}" + (f", “{one_line(detail, 60)}”" if detail else "")


def remarks(chart: Chart, undrawn: int = 0, metrics: Iterable[str] = ()) -> list[str]:
    """Return what else a reader has to know: settings without a place, hidden versions, shorter rounds."""
    lines = [*chart.notes, *_shorter_rounds(chart)]
    if undrawn:
        lines.append(
            f"{plural(undrawn, 'setting')} not drawn, {' or '.join(metrics)} unknown or off the scale"
        )
    counts: dict[str, int] = {}
    for record in chart.records:
        for note in record["notes"]:
            counts[note] = counts.get(note, 0) + 1
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    lines += [f"{plural(count, 'setting')}: {one_line(note)}" for note, count in order[:2]]
    return lines + ([f"… and {plural(len(order) - 2, 'more remark')}"] if len(order) > 2 else [])


def _shorter_rounds(chart: Chart) -> list[str]:
    """Return which algorithms have settings too slow for all queries, and the fewest that one was asked."""
    fewest: dict[str, int] = {}
    for record in chart.records:
        name, queries = record["algorithm"]["name"], record["dataset"]["queries"]
        if queries < asked(record):
            fewest[name] = min(queries, fewest.get(name, queries))
    if not fewest:
        return []
    listed = ", ".join(f"{one_line(name, 30)} {thousands(fewest[name])}" for name in sorted(fewest))
    return [f"asked fewer queries, as all would take too long (the fewest): {listed}"]


def versions(chart: Chart) -> list[str]:
    """Return each library drawn with its versions: "annoy 1.17.3"."""
    found: dict[str, set[str]] = {}
    for record in chart.records:
        if record["library_version"]:  # of what was imported it is not known
            found.setdefault(record["algorithm"]["library"], set()).add(record["library_version"])
    texts = (one_line(f"{name} {'/'.join(sorted(found[name]))}", 40) for name in sorted(found))
    return [text.replace(" ", "\N{NO-BREAK SPACE}") for text in texts]


def provenance(chart: Chart, bars: bool) -> str:
    """Return where and when it was measured, with what, and how the bars are made if there are any."""
    records = chart.records or list(chart.failures)
    dates = sorted({str(record["started"])[:10] for record in records})
    parts = [
        " and ".join(_distinct(_cpu(record["machine"]) for record in records)),
        dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}",
        "ann_bench " + ", ".join(_distinct(_harness(record["harness"]) for record in records)),
    ]
    overheads = [r["harness"].get("overhead_ns_per_query") for r in records]
    known = sorted(o for o in overheads if o is not None)
    if known and chart.mode == "single":
        parts.append(f"harness overhead {humanise(known[len(known) // 2] / 1e3, 'µs', 2)} per query")
    intervals = sorted(
        {str(r["metrics"].get("qps_interval")) for r in chart.records if r["metrics"].get("qps_interval")}
    )
    if bars and intervals:
        parts.append(f"bars: 95 % intervals, {' or '.join(_INTERVALS.get(i, i) for i in intervals)}")
    return _joined(parts)


def _cpu(machine: dict[str, Any]) -> str:
    return one_line(machine.get("cpu") or "unknown processor", 60)


def _harness(harness: dict[str, Any]) -> str:
    commit = str(harness.get("commit") or "")[:7]
    return f"{harness.get('version', '')} ({commit})" if commit else str(harness.get("version", ""))


def _distinct(texts: Iterable[str]) -> Sequence[str]:
    return list(dict.fromkeys(texts))
