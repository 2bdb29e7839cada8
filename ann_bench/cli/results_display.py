"""How `ann-bench results` prints measurements: a table of many, everything about one."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ann_bench.metrics import METRICS
from ann_bench.results import Measurement, Record
from ann_bench.text import printable

_HASH_DIGITS = 7
_AGES = ((86_400, "d"), (3_600, "h"), (60, "min"))


def print_group(console: Console, records: Sequence[Record]) -> None:
    """Print measurements on one dataset, in one mode, at one k, as a table that fits 80 columns."""
    data, now = records[0]["dataset"], datetime.now(UTC)
    parts = (
        *(data["name"], f"{data['n']:,} rows", f"{data['queries']:,} queries"),
        *(f"k = {records[0]['k']}", records[0]["mode"]),
    )
    table = Table(
        title=Text(printable(" · ".join(parts))),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("hash", no_wrap=True, style="dim")
    table.add_column("algorithm", overflow="fold")
    table.add_column("setting", overflow="fold", ratio=1)
    table.add_column("recall", justify="right", no_wrap=True)
    table.add_column("qps", justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True)
    for record in sorted(records, key=_order):
        recall, qps = (record["metrics"].get(name) for name in ("recall", "qps"))
        table.add_row(
            record["identity_hash"][:_HASH_DIGITS],
            Text(
                printable(record["algorithm"]["name"] + (f" [{record['label']}]" if record["label"] else ""))
            ),
            Text(printable(_parameters(record["build"] | record["query"]))),
            "" if recall is None else f"{recall:.4f}",
            "" if qps is None else f"{qps:,.0f}",
            _status(record),
            _age((now - datetime.fromisoformat(record["started"])).total_seconds()),
        )
    console.print(table)


def _order(record: Record) -> tuple[Any, ...]:
    build = _parameters(record["build"])
    return (record["algorithm"]["name"], record["label"], record["metrics"].get("recall") or 0.0, build)


def _parameters(parameters: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in parameters.items())


def _status(record: Record) -> Text:
    if record["status"] == "failed":
        return Text(printable(record["failure"]["kind"]), style="red")
    return Text("problem", style="yellow") if record["problems"] else Text("ok")


def _age(seconds: float) -> str:
    return next((f"{seconds / size:.0f} {unit}" for size, unit in _AGES if seconds >= size), "now")


def print_measurement(measurement: Measurement, path: Path, *, log: bool, lock: bool) -> None:
    """Print everything about one measurement; the whole log and the lock only if asked for."""
    record = measurement.record
    console = Console(highlight=False)
    _print_facts(console, None, _setting_facts(record, path))
    if record["failure"]:
        failure = record["failure"]
        _print_facts(
            console,
            "failure",
            {"kind": failure["kind"], "stage": failure["stage"], "reason": failure["text"]},
        )
        if failure["log_tail"]:
            console.print("last lines of its log:", style="dim")
            console.print(printable(failure["log_tail"].rstrip(), keep="\n\t"), markup=False)
    for problem in record["problems"]:
        _print_facts(console, f"problem: {problem['kind']}", {"": problem["text"]})
    _print_facts(console, "metrics", _metric_facts(record))
    _print_facts(console, "notes", {f"{number}": note for number, note in enumerate(record["notes"], 1)})
    _print_facts(console, "harness", record["harness"])
    _print_facts(console, "machine", {name: _flat(value) for name, value in record["machine"].items()})
    _print_facts(
        console,
        "arrays",
        {name: f"{array.dtype} {array.shape}" for name, array in sorted(measurement.arrays.items())},
    )
    for wanted, title in ((lock, "lock"), (log, "log")):
        if wanted:
            console.print(f"\n{title}", style="bold")
            console.print(printable(getattr(measurement, title), keep="\n\t"), markup=False)


def _setting_facts(record: Record, path: Path) -> dict[str, Any]:
    data, algorithm = record["dataset"], record["algorithm"]
    launches = len(set(record["launch_of_round"]))
    return {
        "algorithm": f"{algorithm['name']} ({algorithm['family'] or 'family unknown'})",
        "library": f"{algorithm['library']} {record['library_version']}".strip(),
        "build": _parameters(record["build"]),
        "query": _parameters(record["query"]),
        "label": record["label"],
        "dataset": f"{data['name']}: {data['n']:,} x {data['dimension']}, {data['distance']}",
        "queries": f"{data['queries']:,} of {data['queries_available']:,}",
        "k, mode": f"{record['k']}, {record['mode']}",
        "threads": f"{record['threads'] or 'unknown'} (build: {record['build_threads'] or 'unknown'})",
        "rounds": f"{record['rounds']} over {launches} launch{'' if launches == 1 else 'es'}",
        "preset, seed": f"{record['preset']}, {record['seed']}",
        "status": record["status"],
        "started": record["started"],
        "hash": record["identity_hash"],
        "file": str(path),
        "environment": algorithm["environment"],
        "wrapper": algorithm["wrapper_sha256"],
        "library digest": record["library_digest"],
        "dataset sha256": data["sha256"],
    }


def _metric_facts(record: Record) -> dict[str, str]:
    """Return values by name in the order of METRICS, with their units."""
    values = record["metrics"]
    facts = {}
    for name, metric in METRICS.items():
        value = values.get(name)
        if value is not None:
            digits = ",.0f" if abs(value) >= 1000 else ".6g"
            facts[name] = f"{value:{digits}} {metric.unit}".rstrip()
    if values.get("qps_interval"):
        facts["qps_interval"] = f"95 %, {values['qps_interval']}"
    return facts


def _flat(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _print_facts(console: Console, title: str | None, facts: Mapping[str, Any]) -> None:
    """Print a heading and a table of two columns; nothing where there are no facts."""
    known = {name: value for name, value in facts.items() if value not in (None, "")}
    if not known:
        return
    if title:
        console.print(f"\n{printable(title)}", style="bold", markup=False)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in known.items():
        table.add_row(Text(printable(name)), Text(printable(value)))
    console.print(table)
