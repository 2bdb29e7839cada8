"""The inside of a figure: axes, frontiers, points off them, intervals."""

from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.axes import Axes

from ann_bench.metrics import METRICS
from ann_bench.report import scales
from ann_bench.report.charts import Chart, Point, Series, frontier_of
from ann_bench.report.style import FAINT, GREY, INK, Layout, Style, style

_BEHIND = "#D8D8D8"
_RULE = {"color": "#BBBBBB", "linewidth": 0.6, "linestyle": (0, (2, 2)), "zorder": 1}


@dataclass(frozen=True)
class View:
    """What is drawn against what, on which scales, at which size."""

    x: str
    y: str
    x_scale: scales.Scale
    y_scale: scales.Scale
    raw: bool
    layout: Layout


@dataclass(frozen=True)
class Curve:
    """A series as it is drawn: its frontier, and the points that others of its own beat."""

    series: Series
    style: Style
    front: list[Point]
    others: list[Point]


def curves_of(chart: Chart, view: View) -> tuple[list[Curve], int]:
    """Return the curves of a chart, and the number of settings that have no place on it."""
    curves, undrawn = [], 0
    for series in chart.series:
        points = [
            point
            for point in series.points(view.x, view.y)
            if view.x_scale.draws(point.x) and view.y_scale.draws(point.y)
        ]
        undrawn += len(series.records) - len(points)
        if points:
            front = frontier_of(points, view.x, view.y)
            others = [point for point in points if not any(point is chosen for chosen in front)]
            curves.append(Curve(series, style(series.algorithm, series.variant), front, others))
    return curves, undrawn


def draw_axes(
    axes: Axes, curves: list[Curve], behind: list[Curve], view: View, room: tuple[float, float]
) -> None:
    """Draw the curves on `axes`, with scales and ticks; those `behind` them in grey, as far as they fit.

    `room` is the length of a tick label as a share of the x axis, and its height as a share of the y axis.
    """
    layout = view.layout
    shown = [p for curve in curves for p in (*curve.front, *(curve.others if view.raw else ()))]
    _axis(axes, "x", view.x, view.x_scale, [p.x for p in (*shown, *_fronts(behind))], room[0])
    _axis(axes, "y", view.y, view.y_scale, [p.y for p in shown], room[1])
    axes.grid(visible=True, color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=layout.small, width=0.6, length=2.5, pad=2, color=INK)
    axes.tick_params(which="minor", width=0.4, length=1.5, color=INK)
    for curve in behind:
        xs, ys = [p.x for p in curve.front], [p.y for p in curve.front]
        axes.plot(xs, ys, color=_BEHIND, linewidth=layout.line * 0.7, zorder=1.5, marker=".", markersize=1.5)
    for order, curve in enumerate(curves):
        _draw(axes, curve, view, 3 + order / 1000)
    if not curves:
        axes.text(
            0.5,
            0.5,
            "no setting to draw",
            transform=axes.transAxes,
            ha="center",
            size=layout.text,
            color=GREY,
        )


def name_axes(axes: Axes, view: View, k: int) -> None:
    """Write what stands along the axes, and in which direction things get better."""
    layout = view.layout
    axes.set_xlabel(_name(view.x, k), size=layout.text, labelpad=2)
    axes.set_ylabel(_name(view.y, k), size=layout.text, labelpad=3)
    right, up = METRICS[view.x].higher_is_better, METRICS[view.y].higher_is_better
    arrow = {(True, True): "↗", (True, False): "↘", (False, True): "↖", (False, False): "↙"}[right, up]
    axes.annotate(
        f"better {arrow}", (1.0, 1.0), (0, 2), xycoords="axes fraction", textcoords="offset points",
        ha="right", va="bottom", size=layout.small, color="#8A8A8A", annotation_clip=False,
    )  # fmt: skip


def marker_of(look: Style, layout: Layout) -> dict[str, Any]:
    """Return matplotlib's arguments for the marker of a style."""
    return {
        "marker": look.marker,
        "markersize": layout.marker * look.marker_scale,
        "markerfacecolor": "white" if look.hollow else look.colour,
        "markeredgecolor": look.colour if look.hollow else "white",
        "markeredgewidth": 0.8 if look.hollow else 0.4,
    }


def _fronts(curves: list[Curve]) -> list[Point]:
    return [point for curve in curves for point in curve.front]


def _name(metric: str, k: int) -> str:
    return f"{METRICS[metric].label} (k = {k})" if "recall" in metric else METRICS[metric].label


def _axis(
    axes: Axes, which: Literal["x", "y"], metric: str, scale: scales.Scale, values: list[float], room: float
) -> None:
    """Scale an axis; where the step to recall 1 is not to scale, cut it and mark the place of 1."""
    break_at = scales.apply(axes, which, scale, values or [0.5, 1.0], METRICS[metric].unit, room)
    if break_at is None:
        return
    (axes.axvline if which == "x" else axes.axhline)(1.0, **_RULE)  # type: ignore[arg-type]
    for shift in (-0.006, 0.006):
        ends = ([break_at + shift - 0.004, break_at + shift + 0.004], [-0.012, 0.012])
        xs, ys = ends if which == "x" else ends[::-1]
        axes.plot(xs, ys, transform=axes.transAxes, color=INK, linewidth=0.6, clip_on=False, zorder=10)


def _draw(axes: Axes, curve: Curve, view: View, order: float) -> None:
    look, layout = curve.style, view.layout
    if view.raw and curve.others:
        faint = marker_of(look, layout) | {"markeredgewidth": 0, "markerfacecolor": look.colour}
        faint["markersize"] *= 0.7
        axes.plot(
            [p.x for p in curve.others], [p.y for p in curve.others], linestyle="none", alpha=0.28, zorder=2,
            label=f"{curve.series.label} (off the frontier)", **faint,
        )  # fmt: skip
    xs, ys = [p.x for p in curve.front], [p.y for p in curve.front]
    x_bars = _bars([(p.x, p.x_interval) for p in curve.front])
    y_bars = _bars([(p.y, p.y_interval) for p in curve.front])
    if x_bars or y_bars:
        axes.errorbar(
            xs, ys, yerr=y_bars, xerr=x_bars, fmt="none", ecolor=look.colour, elinewidth=layout.line * 0.8,
            alpha=0.55, zorder=order,
        )  # fmt: skip
    axes.plot(
        xs, ys, label=curve.series.label, color=look.colour, linestyle=look.line, linewidth=layout.line,
        zorder=order, clip_on=False, **marker_of(look, layout),
    )  # fmt: skip


def _bars(values: list[tuple[float, tuple[float, float] | None]]) -> list[list[float]] | None:
    """Return how far each interval reaches down and up; None if there are no intervals."""
    if not any(interval for _, interval in values):
        return None
    reaches = [
        (max(0.0, at - low), max(0.0, high - at)) for at, (low, high) in ((v, i or (v, v)) for v, i in values)
    ]
    return [[down for down, _ in reaches], [up for _, up in reaches]]
