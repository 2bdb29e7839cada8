"""The trend as a figure: qps at a recall run by run, the mean of each level, a mark at each shift."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ann_bench.history import Entry
from ann_bench.report.captions import one_line
from ann_bench.report.curves import marker_of
from ann_bench.report.figure import quiet
from ann_bench.report.style import FAINT, GREY, INK, LAYOUTS, drawing, style
from ann_bench.report.typeset import EDGE, LEADING, Block, Measure, spread
from ann_bench.report.units import humanise, plural
from ann_bench.trend import FEWEST, Series

_LAYOUT = LAYOUTS["page"]
_WIDTH = _LAYOUT.width * 72 - 2 * EDGE
_MOST = 24  # panels
_GUTTER = 12.0  # points between panels
_LONGEST_NAME = 64.0  # points that a run's name takes
_LEAST_RANGE = 0.06  # of the y axis, so that noise does not look like news


def facts(series: Sequence[Series]) -> list[list[str]]:
    """Return what each series was measured on, and how; where two would read the same, what differs."""
    plain = [_facts(one) for one in series]
    counts = Counter((one.algorithm, *told) for one, told in zip(series, plain, strict=True))
    return [
        told
        if counts[(one.algorithm, *told)] == 1
        else [*told, f"data {one.newest.dataset.sha256[:6]}", f"settings {one.settings[:6]}"]
        for one, told in zip(series, plain, strict=True)
    ]


def _facts(series: Series) -> list[str]:
    run = series.newest
    return [
        one_line(run.dataset.name),
        f"k = {run.k}",
        _mode(run),
        *([plural(run.threads, "thread")] if run.threads is not None else []),
        *([f"preset {one_line(run.preset)}"] if run.preset else []),
        *(["comparisons"] if run.kind == "comparison" else []),
        one_line(run.cpu, 60),
    ]


def _mode(run: Entry) -> str:
    if run.mode != "batch":
        return "one query at a time"
    return "all queries in one batch" if run.kind == "sweep" else "queries in batches"


def findings(series: Series) -> list[str]:
    """Return how many runs there are, from when to when, how many shifts, and what could have been seen."""
    points = series.points
    told = []
    if points:
        days = sorted({point.entry.when[:10] for point in (points[0], points[-1])})
        told.append(f"{plural(len(points), 'run')}, {' to '.join(days)}")
    if series.unreached:
        told.append(f"{plural(series.unreached, 'run')} below recall {series.recall:g}")
    if series.noise is None or series.smallest_ratio is None:
        return [*told, f"shifts are looked for from {FEWEST} runs on"]
    return [
        *told,
        plural(len(series.shifts), "shift") if series.shifts else "no shift",
        f"noise {100 * series.noise:.1f} % a run",
        f"a shift half-way shows from about {100 * (series.smallest_ratio - 1):.1f} %",
    ]


@dataclass(frozen=True)
class _Panel:
    """A series and its place in points; `left` and `top` from the upper left corner of all panels."""

    series: Series
    head: list[Block]
    names: list[str]
    left: float
    top: float
    width: float
    axes_top: float
    axes_height: float
    bottom: float


def draw(series: Sequence[Series]) -> Figure:
    """Return a figure with a panel for each series: runs in the order of time, named by their states.

    Parameters
    ----------
    series
        All at one recall, at least one of them with points; those without get no panel, nor do those after
        the 24th.
    """
    drawn = [one for one in series if one.points][:_MOST]
    with drawing(), quiet():
        measure = Measure()
        told = facts(drawn)
        shared = [fact for fact in told[0] if all(fact in others for others in told)]
        above = _above(series[0].recall, shared, measure)
        below = _below(drawn, len(series) - len(drawn), measure)
        panels = _panels(drawn, [[fact for fact in own if fact not in shared] for own in told], measure)
        foot = EDGE + sum(block.height for block in below)
        top = foot + panels[-1].bottom
        height = top + sum(block.height for block in above) + EDGE
        figure = Figure(figsize=(_LAYOUT.width, height / 72), dpi=_LAYOUT.dpi, facecolor="white")
        FigureCanvasAgg(figure)
        _place(figure, above, EDGE, height - EDGE)
        _place(figure, below, EDGE, foot)
        for panel in panels:
            _place(figure, panel.head, EDGE + panel.left, top - panel.top)
            _draw_panel(figure, panel, top, measure)
    return figure


def _place(figure: Figure, blocks: Sequence[Block], left: float, top: float) -> None:
    for block in blocks:
        block.place(figure, left, top)
        top -= block.height


def _above(recall: float, shared: list[str], measure: Measure) -> list[Block]:
    title, small = _LAYOUT.title, _LAYOUT.small
    name = f"Queries per second at recall {recall:g}, run by run"
    blocks = [Block([name], title, "#111111", "bold")]
    return (
        [*blocks, Block(measure.wrap(_joined(shared), small, _WIDTH, 3), small, GREY)] if shared else blocks
    )


def _below(drawn: Sequence[Series], undrawn: int, measure: Measure) -> list[Block]:
    keys = ["bars: 95 % intervals within each run"]
    keys += ["lines: mean of a level"] if any(len(one.points) > 1 for one in drawn) else []
    keys += ["dashed: a shift, and the ratio of the levels"] if any(one.shifts for one in drawn) else []
    texts = [" · ".join(keys)]
    if undrawn:
        texts.append(f"{undrawn} more series not drawn: no run reached that recall, or no room is left")
    lines = [line for text in texts for line in measure.wrap(text, _LAYOUT.small, _WIDTH)]
    return [Block(lines, _LAYOUT.small, GREY, space_before=6)]


def _joined(parts: Sequence[str]) -> str:
    """Return parts with dots between; none of them will be broken over two lines."""
    return " · ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)


def _panels(drawn: Sequence[Series], own: list[list[str]], measure: Measure) -> list[_Panel]:
    """Return the panels: few one above the other, more in two columns, with their axes side by side."""
    columns = 2 if len(drawn) > 3 else 1
    across = (_WIDTH - (columns - 1) * _GUTTER) / columns
    axes_height = _LAYOUT.axes_height * 72 * (0.62 if len(drawn) == 1 else 0.42)
    panels: list[_Panel] = []
    bottom = 0.0
    for first in range(0, len(drawn), columns):
        row = drawn[first : first + columns]
        heads = [_head(*pair, across, measure) for pair in zip(row, own[first:], strict=False)]
        names = [[_fitted(point.name, measure) for point in series.points] for series in row]
        top = bottom + _GUTTER
        axes_top = top + max(sum(block.height for block in head) for head in heads) + 4
        if any(series.shifts for series in row):
            axes_top += LEADING * _LAYOUT.small
        bottom = axes_top + axes_height + max(_foot(one, across, measure) for one in names)
        panels += [
            _Panel(series, head, named, i * (across + _GUTTER), top, across, axes_top, axes_height, bottom)
            for i, (series, head, named) in enumerate(zip(row, heads, names, strict=True))
        ]
    return panels


def _head(series: Series, own: list[str], width: float, measure: Measure) -> list[Block]:
    name = measure.fit(one_line(series.algorithm), _LAYOUT.text, width)
    told = measure.wrap(_joined([*own, *findings(series)]), _LAYOUT.small, width, 4)
    return [Block([name], _LAYOUT.text, INK, "bold"), Block(told, _LAYOUT.small, GREY)]


def _fitted(name: str, measure: Measure) -> str:
    return measure.fit(one_line(name), _LAYOUT.small, _LONGEST_NAME)


def _foot(names: list[str], width: float, measure: Measure) -> float:
    """Return the height of the names beneath the axes."""
    return 7 + (
        LEADING * _LAYOUT.small if _fit_side_by_side(names, width, measure) else _longest(names, measure)
    )


def _longest(names: list[str], measure: Measure) -> float:
    return max(measure.width(name, _LAYOUT.small) for name in names)


def _fit_side_by_side(names: list[str], width: float, measure: Measure) -> bool:
    return (_longest(names, measure) + 8) * len(names) <= width * 0.85  # the rest is the y axis' labels


def _draw_panel(figure: Figure, panel: _Panel, top: float, measure: Measure) -> None:
    """Draw the axes of a panel; `top` is where all panels start, from the figure's lower edge."""
    page_width, page_height = figure.get_size_inches() * 72
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    _draw_runs(axes, panel.series)
    labels = [measure.width(label.get_text(), _LAYOUT.small) for label in axes.get_yticklabels()]
    left = EDGE + panel.left + max(labels, default=0.0) + 6
    width = EDGE + panel.left + panel.width - 4 - left
    bottom = top - panel.axes_top - panel.axes_height
    axes.set_position(
        (left / page_width, bottom / page_height, width / page_width, panel.axes_height / page_height)
    )
    _name_runs(axes, panel, width, measure)
    _mark_shifts(axes, panel.series, width, measure)


def _draw_runs(axes: Axes, series: Series) -> None:
    """Draw points, their intervals, and the mean of each level, with limits that hold them."""
    look = style(series.algorithm)
    speeds = [point.speed for point in series.points]
    qps = [speed.qps for speed in speeds]
    lows, highs = [speed.low or speed.qps for speed in speeds], [speed.high or speed.qps for speed in speeds]
    places = range(len(speeds))
    middle = sum(qps) / len(qps)
    # Few or very wide intervals must not press all points flat: they are cut off.
    reach = (
        max(float(np.quantile(lows, 0.1)), 0.8 * min(qps)),
        min(float(np.quantile(highs, 0.9)), 1.2 * max(qps)),
    )
    low = min(*qps, reach[0], middle * (1 - _LEAST_RANGE / 2))
    high = max(*qps, reach[1], middle * (1 + _LEAST_RANGE / 2))
    axes.set_xlim(-0.6, len(speeds) - 0.4)
    axes.set_ylim(low - 0.08 * (high - low), high + 0.08 * (high - low))
    thin: Any = {"linewidth": _LAYOUT.line * 0.8}
    axes.vlines(places, lows, highs, color=look.colour, alpha=0.45, zorder=2, **thin)
    for level in series.levels if len(speeds) > 1 else ():
        axes.hlines(level.qps, level.first - 0.4, level.stop - 0.6, color=INK, zorder=3, **thin)
    axes.plot(places, qps, linestyle="none", zorder=4, **marker_of(look, _LAYOUT))
    locator = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
    ticks = [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high]
    axes.set_yticks(ticks, labels=[humanise(tick, digits=4) for tick in ticks])
    axes.grid(visible=True, axis="y", color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=_LAYOUT.small, width=0.6, length=2.5, pad=2, color=INK)


def _name_runs(axes: Axes, panel: _Panel, width: float, measure: Measure) -> None:
    """Write the runs' names beneath, on end where they do not fit; first those at which a level begins."""
    names = panel.names
    fit = _fit_side_by_side(names, panel.width, measure)
    apart = 0.0 if fit else LEADING * _LAYOUT.small / (width / len(names))
    kept: set[int] = set()
    for i in (*(level.first for level in panel.series.levels), len(names) - 1, *range(len(names))):
        if all(abs(i - other) >= apart for other in kept):
            kept.add(i)
    shown = sorted(kept)
    axes.set_xticks(shown, labels=[names[i] for i in shown], rotation=0 if fit else 90)


def _mark_shifts(axes: Axes, series: Series, width: float, measure: Measure) -> None:
    """Draw a line between the two runs of each shift, and above it the ratio of the levels."""
    shifts = series.shifts
    texts = [f"×{shift.ratio:.3f}" for shift in shifts]  # noqa: RUF001 - a ratio, not a letter
    room = 4 + max((measure.width(text, _LAYOUT.small) for text in texts), default=0.0)
    at = [width * (shift.at + 0.1) / len(series.points) for shift in shifts]
    for shift, text, place in zip(shifts, texts, spread(at, room, room / 2, width - room / 2), strict=True):
        axes.axvline(shift.at - 0.5, color=INK, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1.5)
        axes.annotate(
            text, (place / width, 1.0), (0, 3), xycoords="axes fraction", textcoords="offset points",
            ha="center", va="bottom", size=_LAYOUT.small, color=INK, annotation_clip=False,
        )  # fmt: skip
