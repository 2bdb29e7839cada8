"""Numbers as people write them: 12.3k, 41 MB, 3.1 s, 85 µs."""

import math

# Steps of a unit, smallest first: (how many base units make one, its name).
_STEPS: dict[str, tuple[tuple[float, str], ...]] = {
    "B": ((1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB")),
    "s": ((1e-6, "µs"), (1e-3, "ms"), (1.0, "s"), (60.0, "min"), (3600.0, "h")),
    "µs": ((1e-3, "ns"), (1.0, "µs"), (1e3, "ms"), (1e6, "s")),
}
_COUNTS = ((1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"))

MISSING = "–"  # noqa: RUF001 - an en dash is what a typeset table uses for "no value"


def humanise(value: float | None, unit: str = "", digits: int = 3) -> str:
    """Return `value` with `digits` significant digits and a readable unit; an en dash for no value.

    The units "B", "s" and "µs" move to the step that suits the size; everything else is a count: 12.3k,
    followed by its unit if it has one.
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if unit in _STEPS:
        return _stepped(value, _STEPS[unit], digits, " ")
    text = _stepped(value, _COUNTS, digits, "") if abs(value) >= 1 else _significant(value, digits)
    return f"{text} {unit}" if unit else text


def tick_text(value: float, unit: str) -> str:
    """Return the label of an axis tick, with its unit only where that changes along the axis."""
    return humanise(value, unit if unit in _STEPS else "")


def _stepped(value: float, steps: tuple[tuple[float, str], ...], digits: int, space: str) -> str:
    """Return `value` over the largest step that leaves at least 1, rounding first: 999.9 kB is 1 MB."""
    rounded = float(f"{value:.{digits - 1}e}")
    size, name = next((step for step in reversed(steps) if abs(rounded) >= step[0]), steps[0])
    if value == 0:
        name = "s" if name in ("µs", "ns") else name
    return f"{_significant(value / size, digits)}{space if name else ''}{name}"


def _significant(value: float, digits: int) -> str:
    """Return plain decimal notation with `digits` significant digits and no zeros at its end."""
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    text = f"{round(value, decimals):.{max(0, decimals)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def thousands(value: int) -> str:
    """Return an integer with commas: 25,000."""
    return f"{value:,}"


def plural(count: int, noun: str) -> str:
    """Return "1 setting", "2 settings"."""
    return f"{thousands(count)} {noun}{'' if count == 1 else 's'}"
