"""Axis scales: logarithmic with readable ticks, and stretched near recall 1 with a place for 1 itself."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ann_bench.errors import UsageError
from ann_bench.report.units import tick_text

Floats = npt.NDArray[np.float64]

# Ticks of a share, in the order in which they give way where there is no room for all.
_SHARES = (
    1.0,
    0.0,
    0.9,
    0.99,
    0.999,
    0.9999,
    0.99999,
    0.999999,
    0.5,
    0.8,
    0.95,
    0.1,
    0.01,
    0.001,
    0.98,
    0.995,
)
_STARTS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99)  # where an axis may begin
_NARROW = ("distance_ratio", "candidates")  # metrics whose values lie close together
_MARGIN = 0.02  # white before and after, as a share of the axis
_GAP = 0.09  # what the step to 1 takes of the axis


@dataclass(frozen=True)
class Scale:
    """A scale as asked for: its kind, and N of `aN`."""

    kind: Literal["linear", "log", "symlog", "logit", "near-one", "power"]
    power: float = 1.0

    def draws(self, value: float) -> bool:
        """Tell whether a value has a place on the scale."""
        if self.kind == "log":
            return value > 0
        return 0 <= value <= 1 if self.kind in ("logit", "near-one", "power") else True


def parse(text: str, metric: str, flag: str) -> Scale:
    """Return the scale that `text` names ("auto" goes by the metric), or raise `UsageError`."""
    if text == "auto":
        return Scale("near-one" if "recall" in metric else "linear" if metric in _NARROW else "log")
    if text == "logit" and "recall" not in metric:
        raise UsageError(
            f"{flag}: got 'logit' for {metric}; that scale is for shares between 0 and 1, such as recall"
        )
    if text in ("linear", "log", "symlog", "logit"):
        return Scale(text)  # type: ignore[arg-type]
    if re.fullmatch(r"a\d+(\.\d+)?", text) and float(text[1:]) > 0:
        return Scale("power", float(text[1:]))
    raise UsageError(
        f"{flag}: got {text!r}; it is auto, linear, log, symlog, logit, or aN with a number N > 0 "
        "(1-(1-x)^(1/N): a3, say, gives more room near 1)"
    )


def apply(
    axes: Any, which: Literal["x", "y"], scale: Scale, values: Sequence[float], unit: str, room: float
) -> float | None:
    """Set scale, limits, ticks and tick labels of one axis of `axes` so that `values` fit.

    Parameters
    ----------
    values
        What will be drawn, at least one value, each of which `scale.draws`.
    unit
        Unit of the values; see `units.humanise`.
    room
        Length that one tick label takes along the axis, as a share of the axis.

    Returns
    -------
    break_at
        Where along the axis (0 to 1) the step to recall 1 lies, if there is one; it is not to scale.
    """
    axis = axes.xaxis if which == "x" else axes.yaxis
    set_scale = axes.set_xscale if which == "x" else axes.set_yscale
    set_limits = axes.set_xlim if which == "x" else axes.set_ylim
    break_at = None
    if scale.kind in ("near-one", "logit", "power"):
        shares = (
            _Power(scale.power, values) if scale.kind == "power" else _Shares(scale.kind == "logit", values)
        )
        set_scale("function", functions=(shares.forward, shares.inverse))
        set_limits(*shares.limits())
        ticks, minor = shares.ticks(room)
        labels = [f"{tick:.10g}" for tick in ticks]
        break_at = shares.break_at()
    else:
        low, high = _log_limits(values) if scale.kind == "log" else _limits(values)
        if scale.kind == "symlog":
            set_scale("symlog", linthresh=min((abs(value) for value in values if value), default=1.0))
        else:
            set_scale(scale.kind)
        set_limits(low, high)
        if scale.kind == "log":
            ticks, minor = _log_ticks(low, high, room), _log_minor(low, high)
        else:
            ticks, minor = [float(tick) for tick in axis.get_major_locator().tick_values(low, high)], []
        ticks = [tick for tick in ticks if low <= tick <= high]
        labels = [tick_text(tick, unit) for tick in ticks]
    axis.set_ticks(ticks, labels=labels)
    axis.set_ticks([tick for tick in minor if tick not in ticks], minor=True)
    axis.set_ticklabels([], minor=True)
    return break_at


class _Shares:
    """Places of shares on -log10(1 - x), or on logit, which have none for 1 (and 0).

    Beyond the value nearest to it the axis goes on linearly to a place that stands a little apart.
    """

    def __init__(self, symmetric: bool, values: Sequence[float]) -> None:
        inner = [value for value in values if value < 1 and (value > 0 or not symmetric)] or [0.5]
        self._symmetric = symmetric
        self._last, self._first = max(*inner, 0.9), min(*inner, 0.5) if symmetric else -0.9
        self._top, self._bottom = (float(self._place(np.array(share))) for share in (self._last, self._first))
        start = self._bottom if symmetric else max(-math.log10(1 - t) for t in _STARTS if t <= min(inner))
        self._gap = _GAP * max(self._top - start, 0.5)
        self._start = start - self._gap if symmetric and min(values) <= 0 else start
        self._end = self._top + self._gap
        self._upper = self._gap / (1 - self._last)
        self._lower = self._gap / self._first if symmetric else 1.0

    def _place(self, x: Floats) -> Floats:
        return np.log10(x / (1 - x)) if self._symmetric else -np.log10(1 - x)

    def forward(self, x: Floats) -> Floats:
        """Return places of shares."""
        inside = self._place(np.clip(x, self._first, self._last))
        return (
            inside
            + np.maximum(x - self._last, 0) * self._upper
            - np.maximum(self._first - x, 0) * self._lower
        )

    def inverse(self, p: Floats) -> Floats:
        """Return shares at places."""
        inside = np.clip(p, self._bottom, self._top)
        inside = 1 / (1 + 10.0**-inside) if self._symmetric else 1 - 10.0**-inside
        return (
            inside
            + np.maximum(p - self._top, 0) / self._upper
            - np.maximum(self._bottom - p, 0) / self._lower
        )

    def limits(self) -> tuple[float, float]:
        """Return the shares at the ends of the axis."""
        margin = _MARGIN * (self._end - self._start)
        low, high = self.inverse(np.array([self._start - margin, self._end + margin]))
        return float(low), float(high)

    def ticks(self, room: float) -> tuple[list[float], list[float]]:
        """Return ticks that have room for their labels, and those that have none."""
        candidates = [
            t for t in _SHARES if t in (0.0, 1.0) or (t <= self._last and (t >= 0.5 or self._symmetric))
        ]
        places = {tick: float(self.forward(np.array(tick))) for tick in candidates}
        inside = {tick: p for tick, p in places.items() if self._start - 1e-9 <= p <= self._end + 1e-9}
        return _thin(inside, room * (self._end - self._start)), list(inside)

    def break_at(self) -> float | None:
        """Return where on the axis, 0 to 1, the step to share 1 lies."""
        span = self._end - self._start
        return 1 - (_MARGIN * span + self._gap / 2) / (span * (1 + 2 * _MARGIN))


class _Power(_Shares):
    """Places of shares on 1 - (1 - x)^(1/N)."""

    def __init__(self, power: float, values: Sequence[float]) -> None:
        self._power, self._last, self._symmetric = power, 1.0, False
        self._start, self._end = float(self.forward(np.array(min(*values, 0.9)))), 1.0

    def forward(self, x: Floats) -> Floats:
        """Return places of shares."""
        return 1 - np.sign(1 - x) * np.abs(1 - x) ** (1 / self._power)

    def inverse(self, p: Floats) -> Floats:
        """Return shares at places."""
        return 1 - np.sign(1 - p) * np.abs(1 - p) ** self._power

    def break_at(self) -> float | None:
        """Return None: the scale has a place for 1."""
        return None


def _thin(places: dict[float, float], apart: float) -> list[float]:
    """Return the ticks that keep `apart` from those before them in the order of `_SHARES`."""
    kept: list[float] = []
    for tick, place in places.items():
        if all(abs(place - places[other]) >= apart for other in kept):
            kept.append(tick)
    return sorted(kept)


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Return limits a little outside the values, but not below 0 if they are not."""
    low, high = min(values), max(values)
    pad = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return (low - pad if low < 0 else max(0.0, low - pad)), high + pad


def _log_limits(values: Sequence[float]) -> tuple[float, float]:
    """Return limits a little outside the values and at least a factor of 5 apart."""
    low, high = min(values) / 1.25, max(values) * 1.25
    if high / low < 5:
        middle = math.sqrt(low * high)
        return middle / math.sqrt(5), middle * math.sqrt(5)
    return low, high


def _log_minor(low: float, high: float) -> list[float]:
    """Return 1, 2, …, 9 of every decade, where they are not too many."""
    if high / low > 1e7:
        return []
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [m * 10.0**e for e in decades for m in range(1, 10) if low <= m * 10.0**e <= high]


def _log_ticks(low: float, high: float, room: float) -> list[float]:
    """Return the densest of 1-2-5, 1-3 and whole decades that leaves room for the labels."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    span = math.log10(high / low)
    choices = [
        ([1, 2, 5], 1, 0.3),
        ([1, 3], 1, 0.47),
        *(([1], step, float(step)) for step in (1, 2, 3, 4, 6, 9, 12)),
    ]
    for factors, step, spacing in choices:
        ticks = [f * 10.0**e for e in decades if e % step == 0 for f in factors if low <= f * 10.0**e <= high]
        if spacing / span >= room * 1.25 and len(ticks) <= 9:
            return ticks
    return ticks
