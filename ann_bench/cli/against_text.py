"""How a paired comparison is told: for people, as Markdown for a pull request, as JSON with all there is."""

from collections.abc import Iterator, Sequence
from math import exp
from typing import Any, NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ann_bench.cli.sweep_text import make_console
from ann_bench.compare.costs import LABELS, compare_costs
from ann_bench.compare.estimate import ALPHA, Estimate
from ann_bench.compare.launch import Clock, Launch
from ann_bench.compare.launch import show as show_launch
from ann_bench.compare.store import Recorded
from ann_bench.compare.verdict import LUCK_WIDTH, Verdict
from ann_bench.errors import INTERRUPTED
from ann_bench.report.units import humanise
from ann_bench.text import printable

_COLOURS = {"pass": "green", "regression": "red", "inconclusive": "yellow", "invalid": "yellow"}
_HEAD = ("NEW / BASE", "interval", "queries/s at", "BASE", "NEW")


class Row(NamedTuple):
    """A line of the table, as text."""

    ratio: str
    interval: str
    recall: str
    base: str
    new: str


def progress(launch: Launch, verdict: Verdict) -> str:
    """Return a line for a launch that is over."""
    so_far = f": so far {ratio(verdict.change)} {interval(verdict.change)}".rstrip() if verdict.change else ""
    disturbed = sum(quad.disturbed for quad in launch.quads)
    told = f", {disturbed} of {len(launch.quads)} quads disturbed" if disturbed else ""
    return f"launch {launch.number + 1} ({launch.seconds:.0f} s{told}){so_far}"


def show(recorded: Recorded, *, interrupted: bool) -> None:
    """Print the comparison in 80 columns: what, the ratios, what else is known, and last the verdict."""
    console = make_console()
    verdict = recorded.verdict()
    console.print()
    for line in _what(recorded):
        console.print(Text(line))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in _HEAD:
        table.add_column(name, justify="left" if name == "queries/s at" else "right")
    for row in _rows(recorded, verdict):
        table.add_row(*(Text(cell) for cell in row))
    if verdict.change is not None:
        console.print(table)
    for note in _notes(recorded, verdict):
        console.print(Text(note))
    name = "interrupted" if interrupted else verdict.name
    style = f"bold {_COLOURS[verdict.name]}"
    console.print(Text(name, style=style), Text(f": {_reason(verdict)}"), sep="")


def as_markdown(recorded: Recorded, *, interrupted: bool) -> str:
    """Return the same as Markdown, the verdict first."""
    verdict = recorded.verdict()
    name = "interrupted" if interrupted else verdict.name
    lines = [f"**{name}**: {_escaped(_reason(verdict))}", ""]
    lines += [f"- {_escaped(line)}" for line in _what(recorded)]
    if verdict.change is not None:
        rows = [_HEAD, *(tuple(row) for row in _rows(recorded, verdict))]
        rows.insert(1, ("---:", "---", ":---", "---:", "---:"))
        lines += ["", *("| " + " | ".join(map(_escaped, row)) + " |" for row in rows), ""]
    lines += [f"- {_escaped(note)}" for note in _notes(recorded, verdict)]
    return "\n".join(lines)


def as_json(recorded: Recorded, *, interrupted: bool) -> dict[str, Any]:
    """Return the plan, every launch, and the verdict that follows from them."""
    verdict = recorded.verdict()
    return {
        "verdict": verdict.name,
        "exit_code": INTERRUPTED if interrupted else verdict.exit_code,
        "reason": verdict.reason,
        "word": verdict.word,
        "interrupted": interrupted,
        "ratio": _plain(verdict.change),
        "at": {
            format(recall, "g"): _plain(found)
            for recall, found in zip(recorded.points[0].recalls, verdict.at, strict=False)
        },
        "control": _plain(verdict.control),
        "smallest_slowdown": verdict.smallest_effect,
        "void_launches": verdict.void,
        "costs": [
            {"name": cost.name, "base": cost.base, "new": cost.new, "ratio": cost.ratio}
            | ({"low": exp(cost.interval.low), "high": exp(cost.interval.high)} if cost.interval else {})
            for cost in compare_costs(recorded.plan)
        ],
        "file": str(recorded.path),
        "plan": recorded.plan,
        "launches": [launch.as_json() for launch in recorded.launches],
    }


def ratio(found: Estimate) -> str:
    """Return `1.023x`: NEW answers so many times the queries of BASE."""
    return f"{exp(found.change):.3f}x"


def interval(found: Estimate) -> str:
    """Return `[0.99, 1.01]` around `ratio`; nothing where there are too few launches for an interval."""
    if found.confidence < 1 - ALPHA:
        return ""
    return f"[{exp(found.low):.3f}, {exp(found.high):.3f}]"


def _plain(found: Estimate | None) -> dict[str, float] | None:
    if found is None:
        return None
    return {
        "ratio": exp(found.change),
        "low": exp(found.low),
        "high": exp(found.high),
        "confidence": found.confidence,
        "launches": found.launches,
    }


def _what(recorded: Recorded) -> Iterator[str]:
    plan = recorded.plan
    dataset, sides = plan["dataset"], plan["sides"]
    clock = {"cpu": "CPU time", "wall": "wall time"}[plan["clock"]]
    core = plan["machine"]["cpus_used"][0]
    yield printable(
        f"{dataset['name']} · {dataset['n']:,} rows · k = {plan['k']} · {recorded.asked} · "
        f"{clock}, core {core}"
    )
    for name in ("base", "new"):
        side = sides[name]
        build = ", ".join(f"{key}={value}" for key, value in side["build"].items())
        state = f", {side['state']}" if side["state"] not in side["title"] else ""
        yield printable(f"{name.upper():5}{side['title']}{state}: {side['algorithm']}({build})")


def _rows(recorded: Recorded, verdict: Verdict) -> Iterator[Row]:
    points = recorded.points[0]
    shown = [
        told
        for launch in recorded.launches
        if (told := show_launch(launch, recorded.points[launch.build], recorded.plan["clock"])) is not None
    ]
    if not shown:
        return
    base, new = (
        np.median([getattr(told, side) for told in shown], axis=0) for side in ("base_logs", "new_logs")
    )
    if verdict.change is not None and points.window[0] < points.window[1]:
        low, high = points.window
        yield Row(ratio(verdict.change), interval(verdict.change), f"recall {low:.2g} to {high:.2g}", "", "")
    for number, found in enumerate(verdict.at):
        qps = (humanise(1e9 / exp(logs[number])) for logs in (base, new))
        yield Row(ratio(found), interval(found), f"recall {points.recalls[number]:.4g}", *qps)


def _notes(recorded: Recorded, verdict: Verdict) -> Iterator[str]:
    plan, launches = recorded.plan, recorded.launches
    if verdict.control is not None:
        yield f"BASE against itself: {ratio(verdict.control)} {interval(verdict.control)}"
    if verdict.smallest_effect is not None:
        yield (
            f"smallest slowdown that these {_launches(len(launches) - verdict.void)} would "
            f"call a regression: {100 * verdict.smallest_effect:.1f} %"
        )
    other: Clock = "wall" if plan["clock"] == "cpu" else "cpu"
    second = recorded.verdict(other).change
    if verdict.change is not None and second is not None and plan["in_process"]:
        apart = second.low > verdict.change.high or second.high < verdict.change.low
        name = {"cpu": "CPU time", "wall": "wall time"}[other]
        yield f"by {name}: {ratio(second)} {interval(second)}{', which disagrees' if apart else ''}"
    points = recorded.points[0]
    for target in plan["targets"]:
        if target not in points.recalls and len(points.recalls) > 1:
            yield f"recall {target:g} is not compared: one side has no settings around it"
    if points.luck:
        yield (
            f"one index of each side: {100 * (exp(LUCK_WIDTH * points.luck[0]) - 1):.1f} % of the interval, "
            "either way, is for luck with indexes and queries"
        )
    if tuning := plan["protocol"].get("tuning_queries"):
        told = plan["dataset"]["queries"] - tuning
        yield f"settings chosen on {tuning:,} queries; recall and speed are those of the {told:,} others"
    if not {"flags", "compiler"} & plan["sides"]["base"]["build_info"].keys():
        yield "how the sides were compiled is unknown: their wrappers do not tell"
    if plan["identical"] is not None:
        yield (
            "both sides give identical answers at every setting they share"
            if plan["identical"]
            else "the sides' answers differ at some settings"
        )
    yield from _proxies(launches)
    for cost in compare_costs(plan):
        within = f" {interval(cost.interval)}" if cost.interval else ""
        values = (_amount(cost.name, value) for value in (cost.base, cost.new))
        yield f"{LABELS[cost.name]}: {cost.ratio:.3f}x{within}, {' to '.join(values)}"
    quads = [quad for launch in launches for quad in launch.quads]
    disturbed = sum(quad.disturbed for quad in quads)
    seconds = sum(launch.seconds for launch in launches)
    left_out = (
        f"{disturbed:,} of {len(quads):,} quads left out, as the core was taken away" if disturbed else ""
    )
    void = f"{_launches(verdict.void)} not counted" if verdict.void else ""
    yield "; ".join(filter(None, (f"{_launches(len(launches))}, {seconds:.0f} s", left_out, void)))


def _proxies(launches: Sequence[Launch]) -> Iterator[str]:
    """Yield how distance computations and instructions compare, where both sides tell them."""
    for name in ("distance_computations", "instructions"):
        told = [
            launch.facts[name] for launch in launches if {"base", "new"} <= launch.facts.get(name, {}).keys()
        ]
        if not told:
            continue
        base, new = (np.mean([np.mean(facts[side]) for facts in told]) for side in ("base", "new"))
        if base > 0:
            label = name.replace("_", " ")
            yield f"{label} per query: {new / base:.4f}x, {humanise(base)} to {humanise(new)}"


def _launches(count: int) -> str:
    return f"{count} launch{'' if count == 1 else 'es'}"


def _amount(name: str, value: float) -> str:
    return humanise(value / 1e9, "s") if name.endswith("_ns") else humanise(value, "B")


def _reason(verdict: Verdict) -> str:
    said = f"NEW is {verdict.word}; " if verdict.word else ""
    return f"{said}{verdict.reason}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
