"""From records to what a chart shows: which of them belong together, which count, and what is left out."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ann_bench import frontier
from ann_bench.metrics import METRICS
from ann_bench.report.units import plural
from ann_bench.results import IMPORTED, Record, newest


@dataclass(frozen=True)
class Point:
    """One measurement on a chart, with its interval on each axis where there is one."""

    record: Record
    x: float
    y: float
    x_interval: tuple[float, float] | None
    y_interval: tuple[float, float] | None


@dataclass(frozen=True)
class Series:
    """The measurements that make one curve. `variant` numbers the series of one algorithm from 0."""

    algorithm: str
    label: str
    variant: int
    records: tuple[Record, ...]

    def points(self, x: str, y: str) -> list[Point]:
        """Return the measurements that have a finite value of both metrics."""
        found = []
        for record in self.records:
            at_x, at_y = value(record, x), value(record, y)
            if at_x is not None and at_y is not None:
                found.append(Point(record, at_x, at_y, _interval(record, x), _interval(record, y)))
        return found


@dataclass(frozen=True)
class Chart:
    """One dataset at one k in one mode: series to draw, settings that failed, what the reader has to know."""

    name: str
    dataset: dict[str, Any]
    k: int
    mode: str
    threads: int | None
    series: tuple[Series, ...]
    failures: tuple[Record, ...]
    notes: tuple[str, ...]

    @property
    def records(self) -> list[Record]:
        """Every measurement that succeeded and is shown."""
        return [record for series in self.series for record in series.records]


def value(record: Record, metric: str) -> float | None:
    """Return a metric of a record as a finite float, or None."""
    found = record["metrics"].get(metric)
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else None


def _interval(record: Record, metric: str) -> tuple[float, float] | None:
    low, high = value(record, f"{metric}_low"), value(record, f"{metric}_high")
    return (low, high) if low is not None and high is not None else None


def frontier_of(points: Sequence[Point], x: str, y: str) -> list[Point]:
    """Return the points that no other one beats in both metrics, ordered along x."""
    chosen = frontier.pareto(
        [point.x for point in points],
        [point.y for point in points],
        x_higher=METRICS[x].higher_is_better,
        y_higher=METRICS[y].higher_is_better,
    )
    return sorted((points[i] for i in chosen), key=lambda point: (point.x, point.y))


def settings_text(parameters: dict[str, Any]) -> str:
    """Return parameters as one types them: "M=16 ef=40"."""
    return " ".join(f"{name}={settings_value(held)}" for name, held in parameters.items())


def settings_value(held: object) -> str:
    """Return a parameter's value as one types it, a text without quotes."""
    return held if isinstance(held, str) else json.dumps(held, separators=(",", ":"))


def make_charts(records: Iterable[Record], series: str = "algorithm") -> list[Chart]:
    """Return one chart per dataset content, k, mode and number of threads, sorted by name.

    Parameters
    ----------
    records
        As `results.scan` gives them.
    series
        What makes a curve: "algorithm", or each "version", "label" or "build" of it. A setting that was
        measured several times within a series counts with its newest measurement; `Chart.notes` tells where
        that left a version or a label out. What was imported always makes series of its own.
    """
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        data = record["dataset"]
        key = data["name"], data["sha256"], record["k"], record["mode"], record["threads"]
        groups.setdefault(key, []).append(record)
    names = _names(groups)
    return sorted((_chart(names[key], group, series) for key, group in groups.items()), key=lambda c: c.name)


def _names(groups: dict[tuple[Any, ...], list[Record]]) -> dict[tuple[Any, ...], str]:
    """Return a file name per chart: dataset and k, and of the rest what is unusual or tells two apart."""
    names = {}
    for key, group in groups.items():
        name, _, k, mode, threads = key
        data = group[0]["dataset"]
        parts = [
            f"{name}-k{k}",
            "batch" if mode == "batch" else "",
            f"t{'-unknown' if threads is None else threads}" if threads != 1 else "",
            f"n{data['n']}" if data["n"] < (data.get("rows_available") or data["n"]) else "",
            f"q{asked(group[0])}" if asked(group[0]) < (data.get("queries_available") or 0) else "",
        ]
        names[key] = "-".join(part for part in parts if part)
    taken = list(names.values())
    return {key: name if taken.count(name) == 1 else f"{name}-{key[1][:6]}" for key, name in names.items()}


def asked(record: Record) -> int:
    """Return how many queries a round was to have; a setting too slow for that has fewer."""
    return int(record["identity"].get("queries", record["dataset"]["queries"]))


def _chart(name: str, records: list[Record], series: str) -> Chart:
    curves: dict[tuple[str, ...], list[Record]] = {}
    for record in sorted(records, key=lambda r: r["started"]):
        curves.setdefault((record["algorithm"]["name"], *_series_key(record, series)), []).append(record)
    by_algorithm: dict[str, list[list[Record]]] = {}
    for key, group in curves.items():
        by_algorithm.setdefault(key[0], []).append(group)
    made, failures, notes = [], [], []
    for algorithm in sorted(by_algorithm):
        groups = sorted(by_algorithm[algorithm], key=lambda group: _is_imported(group[0]))
        if series == "build":
            groups.sort(key=lambda g: (_is_imported(g[0]), [_natural(v) for v in g[0]["build"].values()]))
        for variant, group in enumerate(groups):
            current = newest(group, _setting)
            drawn = tuple(record for record in current if record["status"] == "ok")
            label = _label(group[0], groups, series)
            made += [Series(algorithm, label, variant, drawn)] if drawn else []
            failures += [record for record in current if record["status"] != "ok"]
            notes += _left_out(label, group, drawn)
    notes += _processors([record for series in made for record in series.records])
    first = max(records, key=lambda r: r["started"])
    return Chart(
        name,
        {**first["dataset"], "queries": asked(first)},
        first["k"],
        first["mode"],
        first["threads"],
        tuple(made),
        tuple(failures),
        tuple(notes),
    )


def _series_key(record: Record, series: str) -> tuple[str, ...]:
    own = (IMPORTED,) if _is_imported(record) else ()
    if series == "version":
        return *own, record["library_version"], record["library_digest"]
    if series == "label":
        return (record["label"],)
    if series == "build":
        return *own, _canonical(record["build"])
    return own


def _is_imported(record: Record) -> bool:
    return bool(record["label"] == IMPORTED)


def _setting(record: Record) -> tuple[str, str]:
    return _canonical(record["build"]), _canonical(record["query"])


def _canonical(parameters: dict[str, Any]) -> str:
    return json.dumps(parameters, sort_keys=True)


def _natural(held: object) -> tuple[int, float, str]:
    return (0, float(held), "") if isinstance(held, int | float) else (1, 0.0, str(held))


def _label(record: Record, groups: list[list[Record]], series: str) -> str:
    """Return what tells a series from the others of its algorithm; its name where there are no others."""
    name = str(record["algorithm"]["name"])
    if _is_imported(record):
        return f"{name} · {IMPORTED}"
    if series == "version":
        return f"{name} {_version(record, [r for group in groups for r in group])}"
    if series == "label":
        return f"{name} · {record['label']}" if record["label"] else name
    if series == "build":
        builds = [group[0]["build"] for group in groups]
        shared = {p for p in record["build"] if all(b.get(p, ...) == record["build"][p] for b in builds)}
        own = {p: v for p, v in record["build"].items() if p not in shared}
        return f"{name} {settings_text(own)}".rstrip()
    return name


def _version(record: Record, among: list[Record]) -> str:
    """Return the library's version, and the start of its digest where one version had several."""
    version = str(record["library_version"])
    digests = {r["library_digest"] for r in among if r["library_version"] == version}
    return f"{version} ({record['library_digest'][:6]})" if len(digests) > 1 else version


def _processors(drawn: Sequence[Record]) -> list[str]:
    """Return a note if what is drawn was measured on several kinds of processor."""
    counts = Counter(str(r["machine"].get("cpu") or "an unknown one") for r in drawn if not _is_imported(r))
    if len(counts) < 2:
        return []
    told = ", ".join(f"{cpu} ({plural(count, 'setting')})" for cpu, count in counts.items())
    return [f"measured on different processors, whose speeds do not compare: {told}"]


def _left_out(label: str, group: list[Record], drawn: Sequence[Record]) -> list[str]:
    """Return a note if a series mixes or hides versions or labels of what was measured."""

    def sources(records: Iterable[Record]) -> dict[str, int]:
        return dict(Counter(_version(r, group) + (f" “{r['label']}”" if r["label"] else "") for r in records))

    shown = sources(drawn)
    hidden = [tag for tag in sources(r for r in group if r["status"] == "ok") if tag not in shown]
    if not shown or len(shown) + len(hidden) < 2:
        return []
    counts = " and ".join(f"{tag} ({plural(count, 'setting')})" for tag, count in shown.items())
    text = f"the newest of each setting, {counts}" if len(shown) > 1 else next(iter(shown))
    return [f"{label}: {text}" + (f"; older and not drawn: {', '.join(hidden)}" if hidden else "")]
