"""Text that fits: its width, line breaks, and places for labels that do not touch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from scipy.optimize import isotonic_regression

LEADING = 1.32  # distance of baselines, in font sizes
EDGE = 6.0  # points of white around a figure
_DPI = 288


class Measure:
    """Tells how wide text comes out, in points."""

    def __init__(self) -> None:
        self._renderer: Any = cast("Any", FigureCanvasAgg(Figure(figsize=(1, 1), dpi=_DPI))).get_renderer()

    def width(self, text: str, size: float, weight: str = "normal") -> float:
        """Return the width of one line of text."""
        width, _, _ = self._renderer.get_text_width_height_descent(
            text, FontProperties(size=size, weight=weight), False
        )
        return float(width) * 72 / _DPI

    def fit(self, text: str, size: float, width: float) -> str:
        """Return `text`, or the longest start of it that fits in `width` followed by an ellipsis."""
        if self.width(text, size) <= width:
            return text
        while text and self.width(text + "…", size) > width:
            text = text[:-1]
        return text.rstrip() + "…"

    def wrap(self, text: str, size: float, width: float, most: int = 2, weight: str = "normal") -> list[str]:
        """Return `text` broken at spaces into lines that fit in `width`; what exceeds `most` lines is cut."""
        lines = [""]
        for word in text.split(" "):
            longer = f"{lines[-1]} {word}" if lines[-1] else word
            if lines[-1] and self.width(longer, size, weight) > width:
                lines.append(word)
            else:
                lines[-1] = longer
        kept = [*lines[: most - 1], " ".join(lines[most - 1 :])] if len(lines) > most else lines
        return [self.fit(line, size, width) for line in kept]

    def wrap_list(self, items: list[str], size: float, width: float, most: int) -> list[str]:
        """Return `items` with commas between in at most `most` lines, and how many more there are."""
        for shown in range(len(items), -1, -1):
            rest = [f"… and {len(items) - shown} more"] if shown < len(items) else []
            lines = self.wrap(", ".join(items[:shown] + rest), size, width, most + 1)
            if len(lines) <= most:
                return lines if items else []
        return []


@dataclass(frozen=True)
class Block:
    """A paragraph above or below the axes, already broken into lines."""

    lines: list[str]
    size: float
    colour: str
    weight: str = "normal"
    space_before: float = 0.0

    @property
    def height(self) -> float:
        """Height in points, the space before it included."""
        return self.space_before + LEADING * self.size * len(self.lines)

    def place(self, figure: Figure, left: float, top: float) -> None:
        """Write the lines on the figure; `left` and `top` in points from its lower left corner."""
        width, height = figure.get_size_inches() * 72
        for i, line in enumerate(self.lines):
            y = top - self.space_before - LEADING * self.size * i
            figure.text(
                left / width,
                y / height,
                line,
                size=self.size,
                color=self.colour,
                weight=self.weight,
                va="top",
            )


def spread(targets: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Return places in low..high, `apart` from each other, that lie nearest to `targets` (ascending)."""
    if not targets:
        return []
    steps = apart * np.arange(len(targets))
    settled = isotonic_regression(np.asarray(targets, dtype=np.float64) - steps).x
    return [float(place) for place in np.clip(settled, low, max(low, high - steps[-1])) + steps]
