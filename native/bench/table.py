"""The table of what was compared: `python native/bench/table.py FILE.json` prints it again from a file.

Every figure of it is computed here from the comparisons as they were measured (`against.py --json`).
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grids import bars
from indexes import describe
from pairs import coverage, ratio, times_us

_WITHOUT_ROWS = ("mrpt",)  # their files hold no rows, so that bytes do not compare
_LARGE_TREES = 100
_LOUD = 0.05
_FORM = "{:<13} {:>6}  {:<21} {:>9}  {:<15} {:<8} {:<6} {}"


@dataclass(frozen=True)
class Ratio:
    """Ours over theirs, with what is asked for: at least `bar`, or at most."""

    name: str
    value: float
    figures: str
    bar: float | None = None
    at_least: bool = False
    interval: tuple[float, float] | None = None

    @property
    def met(self) -> str:
        """Whether the bar is met: yes or no where the whole interval says so, else unsure."""
        if self.bar is None:
            return ""
        ends = self.interval or (self.value, self.value)
        good = [end >= self.bar if self.at_least else end <= self.bar for end in ends]
        return "unsure" if len(set(good)) > 1 else "yes" if good[0] else "NO"

    @property
    def asked(self) -> str:
        """The bar in words."""
        return "" if self.bar is None else f"{'>=' if self.at_least else '<='} {self.bar:.3g}"


def ratios(comparison: Mapping[str, Any]) -> Iterator[Ratio]:
    """Yield the ratios of one comparison."""
    ours, theirs = comparison["ours"], comparison["theirs"]
    asked = bars(comparison["opponent"], comparison["dataset"], comparison["k"])
    weights = (ours["weight"], theirs["weight"])
    value, low, high = ratio(comparison["timed"], weights)
    ours_us, theirs_us = times_us(comparison["timed"], weights)
    qps = f"{1e6 / ours_us:,.0f} / {1e6 / theirs_us:,.0f} a second"
    yield Ratio("qps", value, qps, asked.qps.get(comparison["recall"]), True, (low, high))
    mine, other = ours["facts"], theirs["facts"]
    if comparison["opponent"] not in _WITHOUT_ROWS:
        large = theirs["build"].get("n_trees", 0) >= _LARGE_TREES
        size = f"{mine['bytes'] / 1e6:,.1f} / {other['bytes'] / 1e6:,.1f} MB"
        bar = asked.bytes_large if large else asked.bytes_always
        yield Ratio("bytes", mine["bytes"] / other["bytes"], size, bar)
    cpu = f"{mine['cpu_s']:,.1f} / {other['cpu_s']:,.1f} s"
    yield Ratio("build CPU", mine["cpu_s"] / other["cpu_s"], cpu, asked.build_cpu)
    if equal := comparison["equal_trees"]:
        cpu = f"{equal['ours']['cpu_s']:,.1f} / {equal['theirs']['cpu_s']:,.1f} s"
        of = equal["ours"]["cpu_s"] / equal["theirs"]["cpu_s"]
        yield Ratio(f"build CPU, {equal['n_trees']} trees", of, cpu, asked.build_cpu_equal_trees)


def lines(comparisons: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table of one data set and one k."""
    first = comparisons[0]
    mode = "all in one call" if first["batch"] else "one a call"
    yield ""
    yield (
        f"{first['dataset']}: {first['rows']:,} x {first['dimension']}, {first['distance']}; "
        f"k = {first['k']}; {first['queries']:,} queries, {mode}"
    )
    launches = max((len(comparison.get("timed", ())) for comparison in comparisons), default=0)
    interval = f"{coverage(launches):.0%} interval" if launches > 1 else "interval"
    yield _FORM.format(
        "against", "recall", "ours over theirs", "ratio", interval, "bar", "met", "ours / theirs"
    )
    for comparison in comparisons:
        heads = [comparison["opponent"], f"{comparison['recall']:g}"]
        if "timed" not in comparison:
            yield f"{heads[0]:<13} {heads[1]:>6}  not compared: {comparison['reason']}"
            continue
        for one in ratios(comparison):
            ends = "{:.2f} to {:.2f}".format(*one.interval) if one.interval and launches > 1 else ""
            value = f"{one.value:.2f} x"
            yield _FORM.format(*heads, one.name, value, ends, one.asked, one.met, one.figures).rstrip()
            heads = ["", ""]
        for side in ("ours", "theirs"):
            yield f"{'':<22}{side}: {_settings(comparison[side])}"
        weights = (comparison["ours"]["weight"], comparison["theirs"]["weight"])
        cpu, wall = (ratio(comparison["timed"], weights, clock)[0] for clock in ("cpu_us", "wall_us"))
        if abs(wall / cpu - 1) > _LOUD:
            yield f"{'':<22}by wall time the ratio of qps is {wall:.2f}: something else used the core"


def _settings(side: Mapping[str, Any]) -> str:
    low, high = side["enclosing"]
    text = describe(side["build"])
    for name, value in high["query"].items():
        same = low["query"][name] == value
        text += f", {name} {value if same else '{}..{}'.format(low['query'][name], value)}"
    return f"{text} (recall {low['recall']:.4f}..{high['recall']:.4f})"


def main(arguments: Sequence[str]) -> None:
    """Print the tables of a file."""
    if len(arguments) != 1:
        sys.exit("usage: table.py FILE.json, a file that against.py --json wrote")
    tables: dict[tuple[str, int], list[Any]] = {}
    for comparison in json.loads(Path(arguments[0]).read_text())["comparisons"]:
        tables.setdefault((comparison["dataset"], comparison["k"]), []).append(comparison)
    for comparisons in tables.values():
        print("\n".join(lines(comparisons)))


if __name__ == "__main__":
    main(sys.argv[1:])
