"""Figures: one metric against another, a frontier for each series, and the words around them."""

import warnings
from dataclasses import replace
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ann_bench.errors import ResultsError, UsageError
from ann_bench.metrics import METRICS
from ann_bench.report import captions, scales
from ann_bench.report.charts import Chart
from ann_bench.report.curves import Curve, View, curves_of, draw_axes
from ann_bench.report.legend import Legend
from ann_bench.report.style import GREY, INK, LAYOUTS, drawing
from ann_bench.report.typeset import EDGE, LEADING, Block, Measure

FORMATS = (".png", ".svg", ".pdf")
_CROWD = 14  # with more curves, lines and markers get lighter


def draw(
    chart: Chart,
    x: str = "recall",
    y: str = "qps",
    *,
    x_scale: str = "auto",
    y_scale: str = "auto",
    raw: bool = False,
    width: str = "page",
    title: str | None = None,
) -> Figure:
    """Return a figure of metric `y` against metric `x`, a frontier for each series of the chart.

    Parameters
    ----------
    x, y
        Names in `metrics.METRICS`.
    x_scale, y_scale
        "auto", "linear", "log", "symlog", "logit" or "aN", as `scales.parse` reads them.
    raw
        Whether points off the frontiers are drawn as well, faintly.
    width
        "page" (7 inches) or "column" (3.3 inches).
    title
        The first line; the dataset's name if None.
    """
    kinds = scales.parse(x_scale, x, "--x-scale"), scales.parse(y_scale, y, "--y-scale")
    view = View(x, y, *kinds, raw, LAYOUTS[width])
    curves, undrawn = curves_of(chart, view)
    if len(curves) > _CROWD:
        layout = replace(view.layout, line=view.layout.line * 0.75, marker=view.layout.marker * 0.8)
        view = replace(view, layout=layout)
    with drawing(), _quiet():
        measure = Measure()
        return _compose(
            chart,
            curves,
            view,
            _above(chart, view, measure, title),
            _below(chart, curves, undrawn, view, measure),
            measure,
        )


def check_path(path: Path) -> None:
    """Raise `UsageError` unless `path` ends as a figure's name does and lies in a folder that exists."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: a figure is written as {', '.join(FORMATS)}; give a name that ends so")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}; make it first, or name another")


def save(figure: Figure, path: Path, dpi: int | None = None) -> None:
    """Write a figure as PNG, SVG or PDF, by the path's suffix; the same figure gives the same bytes.

    Raises
    ------
    UsageError
        As `check_path`.
    ResultsError
        If the file cannot be written.
    """
    check_path(path)
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with drawing(), _quiet():
        try:
            figure.savefig(path, dpi=dpi or figure.dpi, metadata=dates.get(path.suffix.lower()))
        except OSError as error:
            raise ResultsError(
                f"{path}: cannot be written: {error.strerror or error}; try another place with -o"
            ) from error


class _quiet(warnings.catch_warnings):  # noqa: N801
    """Lets a label in a script that our font lacks come out as boxes, without a line per letter on stderr."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")


def _compose(
    chart: Chart, curves: list[Curve], view: View, above: list[Block], below: list[Block], measure: Measure
) -> Figure:
    """Return the figure, as high as its parts are; all lengths in points."""
    layout = view.layout
    legend = Legend.plan(curves, layout, measure)
    width = layout.width * 72
    head = sum(block.height for block in above) + LEADING * layout.small + 3
    axis_foot = 2.9 * layout.text  # tick labels and the axis' name
    axes_height = max(layout.axes_height * 72, legend.height_beside)
    foot = EDGE + sum(block.height for block in below)
    bottom = foot + legend.height_beneath + axis_foot
    height = EDGE + head + axes_height + bottom

    figure = Figure(figsize=(layout.width, height / 72), dpi=layout.dpi, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    room = 2.9 * layout.small / (width * 0.7), 1.8 * layout.small / axes_height
    draw_axes(axes, curves, view, chart.k, room)
    labels = [measure.width(label.get_text(), layout.small) for label in axes.get_yticklabels()]
    left = EDGE + LEADING * layout.text + max(labels, default=0.0) + 8
    right = width - EDGE - legend.width_beside
    axes.set_position((left / width, bottom / height, (right - left) / width, axes_height / height))
    legend.draw(figure, axes, bottom - axis_foot)
    for blocks, top in ((above, height - EDGE), (below, foot)):
        for block in blocks:
            block.place(figure, EDGE, top)
            top -= block.height
    return figure


def _above(chart: Chart, view: View, measure: Measure, title: str | None) -> list[Block]:
    layout = view.layout
    width = layout.width * 72 - 2 * EDGE
    name = captions.one_line(title or chart.dataset["name"], 200)
    return [
        Block(measure.wrap(name, layout.title, width, 2, "bold"), layout.title, "#111111", "bold"),
        Block(measure.wrap(captions.subtitle(chart), layout.small, width, 3), layout.small, GREY),
    ]


def _below(chart: Chart, curves: list[Curve], undrawn: int, view: View, measure: Measure) -> list[Block]:
    """Return the paragraphs beneath a chart: what failed, what to know, where the numbers come from."""
    size, width = view.layout.small, view.layout.width * 72 - 2 * EDGE
    bars = any(point.x_interval or point.y_interval for curve in curves for point in curve.front)
    labels = [METRICS[name].label.lower() for name in (view.x, view.y)]
    sources = measure.wrap(captions.provenance(chart, bars), size, width, 4)
    sources += measure.wrap_list(captions.versions(chart), size, width, 4)
    paragraphs = [
        ([line for text in captions.failures(chart) for line in measure.wrap(text, size, width)], INK),
        (
            [
                line
                for text in captions.remarks(chart, undrawn, labels)
                for line in measure.wrap(text, size, width)
            ],
            GREY,
        ),
        (sources, GREY),
    ]
    return [Block(lines, size, colour, space_before=4) for lines, colour in paragraphs if lines]
