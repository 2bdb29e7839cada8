"""The names of the curves: each at the height where its curve ends, or in columns beneath, in that order."""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ann_bench.report.captions import one_line
from ann_bench.report.curves import Curve, marker_of
from ann_bench.report.style import Layout
from ann_bench.report.typeset import EDGE, LEADING, Measure, spread

_KEY = 20.0  # length of a key and the space after it, in points
_GAP = 8.0  # between columns


@dataclass(frozen=True)
class Legend:
    """Names and the room they take, in points. `columns` is 0 if they stand beside the axes."""

    curves: list[Curve]
    names: list[str]
    layout: Layout
    columns: int
    entry_width: float

    @classmethod
    def plan(cls, curves: list[Curve], layout: Layout, measure: Measure) -> "Legend":
        """Return a legend beside the axes if the layout wants that and the names are short, else beneath."""
        width = layout.width * 72 - 2 * EDGE
        names = [measure.fit(one_line(c.series.label), layout.small, width - _KEY) for c in curves]
        entry = _KEY + max((measure.width(name, layout.small) for name in names), default=0.0)
        beside = layout.legend_beside and entry < width * 0.38
        columns = 0 if beside else max(1, int((width + _GAP) // (entry + _GAP)))
        return cls(curves, names, layout, columns, entry)

    @property
    def pitch(self) -> float:
        """Distance of two entries, one under the other."""
        return LEADING * self.layout.small

    @property
    def width_beside(self) -> float:
        """What the legend takes to the right of the axes."""
        return self.entry_width + 6 if self.columns == 0 and self.curves else 10.0

    @property
    def height_beside(self) -> float:
        """What the axes have to be high for the legend to fit beside them."""
        return len(self.curves) * self.pitch if self.columns == 0 else 0.0

    @property
    def height_beneath(self) -> float:
        """What the legend takes below the axes."""
        return 8 + -(-len(self.curves) // self.columns) * self.pitch if self.columns and self.curves else 0.0

    def draw(self, figure: Figure, axes: Axes, left: float, top: float) -> None:
        """Draw the entries, sorted by where curves end; beneath, the first one starts at `left`, `top`."""
        width, height = figure.get_size_inches() * 72
        box = axes.get_position()
        named = zip(self.curves, self.names, strict=True)
        ends = sorted(((self._end(axes, curve), name, curve) for curve, name in named), key=lambda e: e[:2])
        if self.columns == 0:
            low, high = box.y0 * height + self.pitch / 3, box.y1 * height - self.pitch / 3
            heights = spread(
                [box.y0 * height + end * box.height * height for end, *_ in ends], self.pitch, low, high
            )
            places = [(box.x1 * width + 4, y) for y in heights]
        else:
            rows = -(-len(ends) // self.columns)
            first = top - 5 - self.pitch / 2
            places = [
                (left + i // rows * (self.entry_width + _GAP), first - i % rows * self.pitch)
                for i in reversed(range(len(ends)))
            ]
        for (x_key, y), (_, name, curve) in zip(places, ends, strict=True):
            xs = [(x_key + x) / width for x in (0.0, _KEY / 2 - 2, _KEY - 4)]
            look = curve.style
            key = Line2D(
                xs, [y / height] * 3, color=look.colour, linestyle=look.line, linewidth=self.layout.line,
                markevery=[1], **marker_of(look, self.layout),
            )  # fmt: skip
            figure.add_artist(key)
            figure.text(
                (x_key + _KEY) / width,
                y / height,
                name,
                size=self.layout.small,
                color=look.ink,
                va="center_baseline",
            )

    @staticmethod
    def _end(axes: Axes, curve: Curve) -> float:
        """Return the height at which a curve ends, as a share of the axes."""
        last = axes.transData.transform((curve.front[-1].x, curve.front[-1].y))
        return float(axes.transAxes.inverted().transform(last)[1])
