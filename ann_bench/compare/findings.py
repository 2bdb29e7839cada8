"""What a comparison of two results folders found, and what of it fails."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Decision = Literal["better", "within", "worse"]
VerdictName = Literal["pass", "regression", "failed"]
Parameters = dict[str, Any]

EXIT_CODES: dict[VerdictName, int] = {"pass": 0, "regression": 1, "failed": 5}
EXACT = ("index_bytes_saved", "index_bytes_reported")
RESIDENT = ("index_bytes_resident", "build_peak_bytes", "search_peak_bytes")
BYTES = (*EXACT, *RESIDENT)
# 14 builds of four libraries, indexes of 1 to 20 MB, made three times: resident growth moved by up to 2.1 %,
# peaks by up to 4.4 %; what libraries saved and reported not at all.
RESIDENT_MARGIN = 0.05


@dataclass(frozen=True)
class Margins:
    """Changes that are tolerated: of ratios (0.02 is 2 %), and of recall."""

    ratio: float = 0.02
    recall: float = 0.005

    def of(self, quantity: str) -> float:
        """Return the margin of a ratio; what is read off a running process has one of at least 5 %."""
        return max(self.ratio, RESIDENT_MARGIN) if quantity in RESIDENT else self.ratio


@dataclass(frozen=True)
class RecallChange:
    """How recall changed at one setting, or on average over all.

    Attributes
    ----------
    setting
        Build and query parameters; None for the mean over all settings.
    base, new, change
        Recall of both sides over the queries that both were asked, and NEW's minus BASE's.
    low, high
        Interval of the change; None where recall is the stored one.
    queries
        How many queries the interval is made from; 0 without one.
    margin
        The loss that is tolerated.
    """

    setting: Parameters | None
    base: float
    new: float
    change: float
    low: float | None
    high: float | None
    queries: int
    margin: float

    @property
    def decision(self) -> Decision:
        """``worse`` or ``better`` if the change is the margin or more, and the interval leaves 0 out."""
        low, high = (self.change if end is None else end for end in (self.low, self.high))
        if self.change <= -self.margin and high < 0:
            return "worse"
        return "better" if self.change >= self.margin and low > 0 else "within"

    @property
    def unclear(self) -> bool:
        """Whether the queries are too few to leave out a loss of the margin, though they show none."""
        return self.decision == "within" and self.low is not None and self.low <= -self.margin


@dataclass(frozen=True)
class Part:
    """One of the ratios that a `RatioChange` is the mean of: at a recall, or of a build's parameters."""

    at: float | Parameters
    base: float
    new: float


@dataclass(frozen=True)
class RatioChange:
    """How a quantity changed: NEW over BASE. `margin` and `decision` are None for what is not gated."""

    quantity: str
    parts: tuple[Part, ...]
    margin: float | None

    @property
    def ratio(self) -> float:
        """Geometric mean of the parts' ratios; exactly 1 where no part changed."""
        return _geometric_mean(self.parts, lambda part: part.new / part.base)

    @property
    def base(self) -> float:
        """Geometric mean of BASE's values."""
        return _geometric_mean(self.parts, lambda part: part.base)

    @property
    def new(self) -> float:
        """Geometric mean of NEW's values."""
        return _geometric_mean(self.parts, lambda part: part.new)

    @property
    def decision(self) -> Decision | None:
        """``worse`` if it grew by more than the margin, ``better`` if it shrank by more."""
        if self.margin is None:
            return None
        change, margin = math.log(self.ratio), math.log1p(self.margin)
        return "worse" if change > margin else "better" if change < -margin else "within"


@dataclass(frozen=True)
class Findings:
    """What was found about one algorithm on one dataset at one k in one mode.

    Attributes
    ----------
    dataset, k, mode, threads, algorithm
        What was measured; `dataset` as in the records.
    base_versions, new_versions
        Versions of the library.
    matched
        Number of settings that both sides measured.
    only_base, only_new
        Parameters of settings that only one side measured.
    broken
        Parameters of settings that BASE measured and NEW failed at, and how. Running out of time
        is no failure here: time is not gated.
    recalls
        First the mean over all settings, then each.
    ratios, times
        Ratios that are gated, and those that are not.
    remarks
        What was not compared and why, a line each.
    """

    dataset: dict[str, Any]
    k: int
    mode: str
    threads: int | None
    algorithm: str
    base_versions: tuple[str, ...]
    new_versions: tuple[str, ...]
    matched: int
    only_base: tuple[Parameters, ...]
    only_new: tuple[Parameters, ...]
    broken: tuple[tuple[Parameters, str], ...]
    recalls: tuple[RecallChange, ...]
    ratios: tuple[RatioChange, ...]
    times: tuple[RatioChange, ...]
    remarks: tuple[str, ...]

    @property
    def worse(self) -> list[RecallChange | RatioChange]:
        """What fails the comparison."""
        changes: list[RecallChange | RatioChange] = [*self.recalls, *self.ratios]
        return [change for change in changes if change.decision == "worse"]


@dataclass(frozen=True)
class Comparison:
    """All that was found. `only_base` and `only_new` name what has no counterpart at all."""

    base: str
    new: str
    margins: Margins
    targets: tuple[float, ...]
    findings: tuple[Findings, ...]
    only_base: tuple[str, ...]
    only_new: tuple[str, ...]

    @property
    def verdict(self) -> VerdictName:
        """``regression`` if anything got worse, else ``failed`` if anything broke, else ``pass``."""
        if any(found.worse for found in self.findings):
            return "regression"
        return "failed" if any(found.broken for found in self.findings) else "pass"

    @property
    def exit_code(self) -> int:
        """What the process ends with."""
        return EXIT_CODES[self.verdict]


def as_plain(comparison: Comparison) -> dict[str, Any]:
    """Return everything for JSON: every figure and margin, and the decisions and ratios made of them."""
    return {
        "verdict": comparison.verdict,
        "exit_code": comparison.exit_code,
        **asdict(comparison),
        "findings": [
            asdict(found)
            | {
                "recalls": [asdict(change) | {"decision": change.decision} for change in found.recalls],
                "ratios": [_plain_ratio(change) for change in found.ratios],
                "times": [_plain_ratio(change) for change in found.times],
            }
            for found in comparison.findings
        ],
    }


def _plain_ratio(change: RatioChange) -> dict[str, Any]:
    return asdict(change) | {"ratio": change.ratio, "decision": change.decision}


def _geometric_mean(parts: tuple[Part, ...], value: Callable[[Part], float]) -> float:
    return math.exp(sum(math.log(value(part)) for part in parts) / len(parts))
