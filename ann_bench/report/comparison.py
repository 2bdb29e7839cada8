"""A paired comparison as a figure: both curves with what launches differ by, and the ratio over recall."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ann_bench.compare.estimate import alpha_of, estimate
from ann_bench.compare.launch import Shown, show
from ann_bench.compare.store import Recorded
from ann_bench.compare.verdict import LUCK_WIDTH, units
from ann_bench.frontier import nines
from ann_bench.report import scales
from ann_bench.report.captions import one_line
from ann_bench.report.curves import marker_of
from ann_bench.report.figure import quiet
from ann_bench.report.style import FAINT, GREY, INK, LAYOUTS, Style, drawing
from ann_bench.report.typeset import EDGE, Block, Measure

_LAYOUT = LAYOUTS["page"]
_WIDTH = _LAYOUT.width * 72 - 2 * EDGE
_RECALLS = 41
_LEAST_RANGE = 0.03  # of the ratio about 1: noise is not to fill the panel
_CURVES_HEIGHT, _RATIO_HEIGHT, _BETWEEN, _LABELS = 190.0, 110.0, 16.0, 34.0
_BASE, _NEW = Style("#5F5F5F", "o", 1.0, "-"), Style("#0072B2", "s", 1.0, "-")
_LEFT = 52.0


def draw(recorded: Recorded) -> Figure | None:
    """Return the figure of a comparison, or None where no two launches count, or there is but one recall."""
    points = recorded.points[0]
    low, high = points.window
    grid = np.array([low])
    if low < high:
        ends = nines([low, high], points.answers)
        grid = 1 - 10.0 ** -np.linspace(ends[0], ends[1], _RECALLS)
    everywhere = [replace(each, targets=tuple(grid.tolist())) for each in recorded.points]
    counting = [
        (launch.build, told)
        for launch in recorded.launches
        if (told := show(launch, everywhere[launch.build], recorded.plan["clock"])) is not None
    ]
    shown = [told for _, told in counting]
    if len(shown) < 2 or len(grid) < 2:
        return None
    with drawing(), quiet():
        measure = Measure()
        above = _above(recorded, measure)
        below = _below(recorded, len(shown), measure)
        foot = EDGE + sum(block.height for block in below)
        head = sum(block.height for block in above)
        height = foot + _LABELS + _RATIO_HEIGHT + _BETWEEN + _CURVES_HEIGHT + 8 + head + EDGE
        figure = Figure(figsize=(_LAYOUT.width, height / 72), dpi=_LAYOUT.dpi, facecolor="white")
        FigureCanvasAgg(figure)
        _place(figure, above, height - EDGE)
        _place(figure, below, foot)
        bottom = foot + _LABELS
        ratio = _axes(figure, bottom, _RATIO_HEIGHT)
        curves = _axes(figure, bottom + _RATIO_HEIGHT + _BETWEEN, _CURVES_HEIGHT)
        _draw_curves(curves, recorded, grid, shown)
        _draw_ratio(ratio, recorded, grid, units([build for build, _ in counting], shown))
    return figure


def _axes(figure: Figure, bottom: float, height: float) -> Axes:
    width_pt, height_pt = figure.get_size_inches() * 72
    width = _WIDTH - _LEFT - 8
    axes = figure.add_axes(
        ((EDGE + _LEFT) / width_pt, bottom / height_pt, width / width_pt, height / height_pt)
    )
    axes.grid(visible=True, color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(which="both", labelsize=_LAYOUT.small, width=0.6, length=2.5, pad=2, color=INK)
    return axes


def _place(figure: Figure, blocks: Sequence[Block], top: float) -> None:
    for block in blocks:
        block.place(figure, EDGE, top)
        top -= block.height


def _above(recorded: Recorded, measure: Measure) -> list[Block]:
    plan, verdict = recorded.plan, recorded.verdict()
    sides = [one_line(plan["sides"][name]["title"], 60) for name in ("new", "base")]
    names = sorted({plan["sides"][name]["algorithm"] for name in ("new", "base")})
    dataset = plan["dataset"]
    facts = (
        f"{one_line(dataset['name'])} · {dataset['n']:,} × {dataset['dimension']:,} · {dataset['distance']}"  # noqa: RUF001
        f" · {' and '.join(names)} · k = {plan['k']} · {recorded.asked}"
    )
    said = f"NEW is {verdict.word}; " if verdict.word else ""
    text = f"{verdict.name}: {said}{verdict.reason}"
    return [
        Block(
            [measure.fit(f"{sides[0]} against {sides[1]}", _LAYOUT.title, _WIDTH)],
            _LAYOUT.title,
            "#111111",
            "bold",
        ),
        Block(measure.wrap(facts, _LAYOUT.small, _WIDTH, 2), _LAYOUT.small, GREY),
        Block(measure.wrap(text, _LAYOUT.text, _WIDTH, 2), _LAYOUT.text, INK),
    ]


def _below(recorded: Recorded, launches: int, measure: Measure) -> list[Block]:
    clock = "CPU time" if recorded.plan["clock"] == "cpu" else "wall time"
    text = (
        f"{launches} launches, by {clock}. Bands about the curves: what nine launches in ten lie within, "
        "the noise of both sides included. Band about the ratio: its interval from paired launches, at each "
        "recall by itself. Red: slower by more than the margin."
    )
    return [Block(measure.wrap(text, _LAYOUT.small, _WIDTH), _LAYOUT.small, GREY, space_before=4)]


def _draw_curves(
    axes: Axes, recorded: Recorded, grid: npt.NDArray[np.float64], shown: Sequence[Shown]
) -> None:
    values: list[float] = []
    for name, look in (("base", _BASE), ("new", _NEW)):
        qps = 1e9 / np.exp(np.array([getattr(told, f"{name}_logs") for told in shown]))
        middle = np.median(qps, axis=0)
        low, high = np.quantile(qps, (0.05, 0.95), axis=0)
        values += [*low, *high]
        axes.fill_between(grid, low, high, color=look.colour, alpha=0.18, linewidth=0)
        settings = getattr(recorded.points[0], name)
        axes.plot(grid, middle, color=look.colour, linewidth=_LAYOUT.line)
        recalls = sorted({s.recall for s in settings if grid[0] <= s.recall <= grid[-1]})
        marks: dict[str, Any] = marker_of(look, _LAYOUT)
        axes.plot(recalls, np.interp(recalls, grid, middle), linestyle="none", **marks)
        side = recorded.plan["sides"][name]
        label = f"{name.upper()}: {one_line(side['title'], 50)}"
        axes.plot(
            [], [], color=look.colour, linewidth=_LAYOUT.line, marker=look.marker, label=label, markersize=4
        )
    scales.apply(axes, "y", scales.parse("log", "qps", ""), values, "", 0.08)
    _recall_axis(axes, grid, labels=False)
    axes.set_ylabel("Queries per second", size=_LAYOUT.text, color=INK)
    axes.legend(loc="upper right", fontsize=_LAYOUT.small, frameon=False, labelcolor=INK)


def _draw_ratio(
    axes: Axes, recorded: Recorded, grid: npt.NDArray[np.float64], shown: Sequence[Shown]
) -> None:
    alpha = alpha_of(len(recorded.launches))
    found = [estimate(changes, alpha) for changes in zip(*(told.at for told in shown), strict=True)]
    luck = LUCK_WIDTH * max(recorded.points[0].luck, default=0.0)
    middle = np.exp([one.change for one in found])
    low, high = np.exp([one.low - luck for one in found]), np.exp([one.high + luck for one in found])
    margin = 1 - recorded.plan["margin"]
    bottom = min(*low, 1 - _LEAST_RANGE, margin - 0.01)
    top = max(*high, 1 + _LEAST_RANGE)
    axes.set_ylim(bottom - 0.05 * (top - bottom), top + 0.05 * (top - bottom))
    axes.axhspan(axes.get_ylim()[0], margin, color="#D55E00", alpha=0.10, linewidth=0)
    axes.axhline(1.0, color=INK, linewidth=0.8)
    axes.fill_between(grid, low, high, color=_NEW.colour, alpha=0.25, linewidth=0)
    axes.plot(grid, middle, color=_NEW.colour, linewidth=_LAYOUT.line)
    _recall_axis(axes, grid, labels=True)
    axes.yaxis.set_major_formatter(lambda value, _place: f"{value:g}")
    axes.set_ylabel("NEW / BASE", size=_LAYOUT.text, color=INK)
    axes.set_xlabel(f"Recall (k = {recorded.plan['k']})", size=_LAYOUT.text, color=INK)


def _recall_axis(axes: Axes, grid: npt.NDArray[np.float64], *, labels: bool) -> None:
    """Set the axis as recall is interpolated: linear in the number of nines."""
    axes.set_xscale(
        "function",
        functions=(
            lambda recall: -np.log10(np.maximum(1 - np.asarray(recall), 1e-9)),
            lambda nine: 1 - 10.0 ** -np.asarray(nine),
        ),
    )
    axes.set_xlim(grid[0], grid[-1])
    ticks = [0.5, 0.6, 0.7, 0.8, 0.9, 0.92, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999]
    ticks = [tick for tick in ticks if grid[0] - 1e-9 <= tick <= grid[-1] + 1e-9]
    axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks] if labels else [""] * len(ticks))
    axes.set_xticks([], minor=True)
