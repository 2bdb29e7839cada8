"""Figures: one metric against another, a frontier for each series, and the words around them."""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ann_bench.errors import ResultsError, UsageError
from ann_bench.metrics import METRICS
from ann_bench.report import captions, scales
from ann_bench.report.charts import Chart
from ann_bench.report.curves import Curve, View, curves_of, draw_axes, name_axes
from ann_bench.report.legend import Legend
from ann_bench.report.panels import Panel, panels_of
from ann_bench.report.style import GREY, INK, LAYOUTS, drawing
from ann_bench.report.typeset import EDGE, LEADING, Block, Measure

FORMATS = (".png", ".svg", ".pdf")
_GUTTER = 10.0  # points between panels
_PANEL_WIDTH = 240.0  # about; the figure's width is divided evenly
_PANEL_HEIGHT = 0.54  # of the first panel's axes


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

    More series than one pair of axes shows legibly get several, along the same x: the first ones, then family
    by family.

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
    with drawing(), quiet():
        measure = Measure()
        return _compose(
            chart,
            panels_of(chart, curves, view),
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
    with drawing(), quiet():
        try:
            figure.savefig(path, dpi=dpi or figure.dpi, metadata=dates.get(path.suffix.lower()))
        except OSError as error:
            raise ResultsError(
                f"{path}: cannot be written: {error.strerror or error}; try another place with -o"
            ) from error


class quiet(warnings.catch_warnings):  # noqa: N801
    """Lets a label in a script that our font lacks come out as boxes, without a line per letter on stderr."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")


@dataclass(frozen=True)
class _Cell:
    """A panel's place; lengths in points, `left` and `top` from the upper left corner of all panels."""

    panel: Panel
    view: View
    legend: Legend
    left: float
    top: float
    width: float

    @property
    def head(self) -> float:
        """What stands above the axes: the panel's title, or room for the word on what is better."""
        return LEADING * (self.view.layout.text + 4 if self.panel.title else self.view.layout.small) + 3

    @property
    def axes_height(self) -> float:
        return max(self.view.layout.axes_height * 72, self.legend.height_beside)

    @property
    def axis_foot(self) -> float:
        """What stands beneath the axes: the labels of ticks and, in the first panel, the axis' name."""
        return (2.9 if self.is_first else 1.6) * self.view.layout.text

    @property
    def is_first(self) -> bool:
        return self.top == 0

    @property
    def bottom(self) -> float:
        return self.top + self.head + self.axes_height + self.axis_foot + self.legend.height_beneath


def _cells(panels: list[Panel], view: View, measure: Measure) -> list[_Cell]:
    """Return the places of panels: the first over the whole width, the others in as many columns as fit."""
    layout = view.layout
    whole = layout.width * 72 - 2 * EDGE
    cells = [_Cell(panels[0], view, Legend.plan(panels[0].curves, layout, measure), 0.0, 0.0, whole)]
    columns = max(1, round(whole / _PANEL_WIDTH))
    width = (whole - (columns - 1) * _GUTTER) / columns
    small = replace(
        layout,
        width=(width + 2 * EDGE) / 72,
        axes_height=layout.axes_height if columns == 1 else layout.axes_height * _PANEL_HEIGHT,
        marker=layout.marker * 0.85,
        legend_beside=False,
    )
    for first in range(1, len(panels), columns):
        top = max(cell.bottom for cell in cells) + _GUTTER
        cells += [
            _Cell(
                panel,
                replace(view, layout=small),
                Legend.plan(panel.curves, small, measure),
                column * (width + _GUTTER),
                top,
                width,
            )
            for column, panel in enumerate(panels[first : first + columns])
        ]
    return cells


def _compose(
    chart: Chart, panels: list[Panel], view: View, above: list[Block], below: list[Block], measure: Measure
) -> Figure:
    """Return the figure, as high as its parts are; all lengths in points."""
    layout = view.layout
    cells = _cells(panels, view, measure)
    foot = EDGE + sum(block.height for block in below)
    top = foot + max(cell.bottom for cell in cells)
    height = top + sum(block.height for block in above) + EDGE
    figure = Figure(figsize=(layout.width, height / 72), dpi=layout.dpi, facecolor="white")
    FigureCanvasAgg(figure)
    for cell in cells:
        _draw_cell(figure, cell, chart.k, top, measure)
    for blocks, start in ((above, height - EDGE), (below, foot)):
        for block in blocks:
            block.place(figure, EDGE, start)
            start -= block.height
    return figure


def _draw_cell(figure: Figure, cell: _Cell, k: int, top: float, measure: Measure) -> None:
    """Draw a panel with its legend; `top` is where all panels start, from the figure's lower edge."""
    layout = cell.view.layout
    width, height = figure.get_size_inches() * 72
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    room = 2.9 * layout.small / (cell.width * 0.7), 1.8 * layout.small / cell.axes_height
    draw_axes(axes, cell.panel.curves, cell.panel.behind, cell.view, room)
    labels = [measure.width(label.get_text(), layout.small) for label in axes.get_yticklabels()]
    left = EDGE + cell.left + max(labels, default=0.0) + 8
    if cell.is_first:
        name_axes(axes, cell.view, k)
        left += LEADING * layout.text
    right = EDGE + cell.left + cell.width - cell.legend.width_beside
    bottom = top - cell.top - cell.head - cell.axes_height
    axes.set_position((left / width, bottom / height, (right - left) / width, cell.axes_height / height))
    cell.legend.draw(figure, axes, EDGE + cell.left, bottom - cell.axis_foot)
    if cell.panel.title:
        title = Block([cell.panel.title], layout.text, INK, "bold", space_before=4)
        title.place(figure, left, top - cell.top)


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
