"""Which curves share axes: all of them, or, where they would be a crowd, few in each of several panels."""

from collections.abc import Sequence
from dataclasses import dataclass

from ann_bench import frontier
from ann_bench.metrics import METRICS
from ann_bench.report.charts import Chart
from ann_bench.report.curves import Curve, View

CROWD = 14
"""The most curves that one pair of axes shows legibly."""
_LEADERS = 12
_MOST = 10
_TARGET = 0.9

_FAMILIES = {
    "graph": "graphs",
    "tree": "trees",
    "hash": "hashing",
    "quantisation": "quantisation",
    "cluster": "clusters",
    "exact": "exact search",
    "store": "vector stores",
}


@dataclass(frozen=True)
class Panel:
    """Curves with a pair of axes of their own, and those that stand behind them, grey and without names."""

    title: str
    curves: list[Curve]
    behind: list[Curve]


def panels_of(chart: Chart, curves: Sequence[Curve], view: View) -> list[Panel]:
    """Return one panel of all curves; of more than `CROWD`, the leaders first and then family by family."""
    if len(curves) <= CROWD:
        return [Panel("", list(curves), [])]
    ranked = sorted(curves, key=lambda curve: _rank(chart, curve, view))
    by_recall = _is_recall(view.x)
    title = f"the first {_LEADERS} of {len(curves)}" + (f" at recall {_TARGET:g}" if by_recall else "")
    panels = [_panel(title, ranked[:_LEADERS], ranked)]
    families: dict[str, list[Curve]] = {}
    for curve in ranked:
        family = str(curve.series.records[0]["algorithm"]["family"])
        families.setdefault(_FAMILIES.get(family, family or "of no known family"), []).append(curve)
    for name, members in families.items():
        parts = -(-len(members) // _MOST)
        size = -(-len(members) // parts)
        for part in range(parts):
            chosen = members[part * size : (part + 1) * size]
            places = (
                f", {part * size + 1} to {part * size + len(chosen)} of {len(members)}" if parts > 1 else ""
            )
            panels.append(_panel(name + places, chosen, ranked))
    return panels


def _panel(title: str, chosen: list[Curve], ranked: Sequence[Curve]) -> Panel:
    return Panel(title, chosen, [curve for curve in ranked if not any(curve is own for own in chosen)])


def _rank(chart: Chart, curve: Curve, view: View) -> tuple[float, float, str]:
    """Return what curves are sorted by: the better at the recall that is looked at first, by name the rest.

    Without recall along x, by the best value along y.
    """
    sign = -1.0 if METRICS[view.y].higher_is_better else 1.0
    xs, ys = [point.x for point in curve.front], [point.y for point in curve.front]
    if not _is_recall(view.x):
        return 0.0, min(sign * y for y in ys), curve.series.label
    answers = max(1, chart.dataset["queries"] * chart.k)
    at_target = frontier.interpolate(xs, ys, _TARGET, answers=answers, higher_is_better=sign < 0)
    if at_target is None:
        return 1.0, -max(xs), curve.series.label
    return 0.0, sign * at_target, curve.series.label


def _is_recall(metric: str) -> bool:
    return metric in ("recall", "id_recall", "ann_benchmarks_recall")
