"""Where two sides are compared: query settings that enclose the wanted recalls, chosen once and then kept.

Times are compared at equal recall. On each side log(time) is taken as linear in -log10(1 - recall) between
two neighbouring settings, as everywhere (`frontier`). Settings are measured in pairs, one of BASE with one of
NEW, and what machines do to a pair falls out of its ratio; so the change at a recall is made of the pairs'
ratios, and only where the two sides' recalls differ also of the slope of BASE's curve.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ann_bench.errors import InvalidComparisonError
from ann_bench.frontier import nines, pareto

Floats = npt.NDArray[np.float64]
NARROWEST = 0.02
# What one look takes for quicker has to be so by more than one look can be wrong.
QUICKER = 0.95
_GRID = 201  # recalls at which the mean over a window is taken


@dataclass(frozen=True)
class Searched:
    """One query setting of one side, as a look at all queries showed it before the comparison began."""

    query: dict[str, Any]
    recall: float
    ns_per_query: float

    @property
    def key(self) -> str:
        """What tells the setting from others."""
        return repr(sorted(self.query.items()))


@dataclass(frozen=True)
class Points:
    """The frozen points of a comparison: pairs of settings, and the recalls at which they tell the change.

    Attributes
    ----------
    base, new
        The settings of each side, pair by pair.
    targets
        The recalls asked for that both sides enclose.
    window
        The recalls over which the primary figure is the mean; both ends alike where there is one target, or
        none (sides that have one recall only).
    answers
        Number of answers that recall was counted over: queries times k.
    missed
        The recalls asked for that BASE reaches and NEW does not.
    luck
        Where the answers of a single index of each side differ: the standard deviation, in log units, that
        drawing the queries anew gives the change in the window and at each of `recalls`. Otherwise empty.
    """

    base: tuple[Searched, ...]
    new: tuple[Searched, ...]
    targets: tuple[float, ...]
    window: tuple[float, float]
    answers: int
    missed: tuple[float, ...] = ()
    luck: tuple[float, ...] = ()

    @cached_property
    def recalls(self) -> tuple[float, ...]:
        """Return the recalls that a change is told at: the targets, or the one that there is."""
        return self.targets or (self.window[0],)

    def changes(self, ratios: npt.ArrayLike, base_logs: npt.ArrayLike) -> tuple[float, Floats]:
        """Return the change in the window and at each of `recalls`: logs, positive where NEW is faster.

        Parameters
        ----------
        ratios
            log(time of BASE / time of NEW) of each pair.
        base_logs
            log(time of BASE) of each pair.
        """
        ratio_weights, base_weights = self._weights
        told = ratio_weights @ np.asarray(ratios, dtype=np.float64)
        told = told + base_weights @ np.asarray(base_logs, dtype=np.float64)
        return float(told[0]), told[1:]

    def curve(self, side: str, logs: npt.ArrayLike) -> Floats:
        """Return what a side's values (logs, one for each pair) come to at each of `recalls`."""
        weights = _weights_at(self.base if side == "base" else self.new, self.recalls, self.answers)
        return np.asarray(weights @ np.asarray(logs, dtype=np.float64))

    @cached_property
    def _weights(self) -> tuple[Floats, Floats]:
        """Return the weights of ratios, and of BASE's logs: first row the window, then each of `recalls`."""
        low, high = (float(value) for value in nines(self.window, self.answers))
        window = 1 - 10.0 ** -np.linspace(low, high, _GRID if high > low else 1)
        base, new = (
            np.vstack(
                [
                    _weights_at(side, window, self.answers).mean(axis=0),
                    _weights_at(side, self.recalls, self.answers),
                ]
            )
            for side in (self.base, self.new)
        )
        return new, base - new

    def at_recalls(self, base: Sequence[Searched], new: Sequence[Searched]) -> Self:
        """Return the same points with the recalls and times that these looks showed, of another build."""
        looked = [{setting.key: setting for setting in side} for side in (base, new)]
        found = (
            tuple(by_key[setting.key] for setting in side)
            for by_key, side in zip(looked, (self.base, self.new), strict=True)
        )
        return replace(self, base=next(found), new=next(found))

    def reported(self, base: Sequence[Searched], new: Sequence[Searched], answers: int) -> Self:
        """Return the same pairs as a look at other queries showed them, at those recalls that they enclose.

        Parameters
        ----------
        answers
            Number of answers that these recalls were counted over.

        Raises
        ------
        InvalidComparisonError
            If both sides enclose none of the window any more.
        """
        moved = self.at_recalls(base, new)
        reach = _reach(moved.base, moved.new)
        low, high = _common(reach)
        if self.targets or self.window[0] < self.window[1]:
            low, high = max(low, self.window[0]), min(high, self.window[1])
        if high < low:
            raise _nothing_in_common(reach, self.window)
        lost = tuple(target for target in self.targets if reach[1][1] < target <= reach[0][1])
        return replace(
            moved,
            targets=tuple(target for target in self.targets if low <= target <= high),
            window=(low, high),
            answers=answers,
            missed=tuple(sorted({*self.missed, *lost})),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the points as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return the points that `as_json` told of."""
        return cls(
            base=tuple(Searched(**setting) for setting in values["base"]),
            new=tuple(Searched(**setting) for setting in values["new"]),
            targets=tuple(values["targets"]),
            window=(values["window"][0], values["window"][1]),
            answers=values["answers"],
            missed=tuple(values["missed"]),
            luck=tuple(values["luck"]),
        )


def choose(
    base: Sequence[Searched],
    new: Sequence[Searched],
    targets: Sequence[float],
    *,
    answers: int,
    room: tuple[float, float] = (0.0, 0.0),
) -> Points:
    """Return the points at which two sides are compared.

    For each target, and for both ends of the window, the two settings of a side that enclose it. Where the
    settings of BASE do so on NEW as well, and NEW has no others that are quicker, they are taken on both
    sides: what is alike is compared like with like.

    Parameters
    ----------
    base, new
        All settings of a side on one index.
    targets
        Recalls, ascending.
    answers
        Number of answers that recall was counted over: queries times k.
    room
        How much less, and more, recall than the window's the settings are to enclose where there are such.

    Raises
    ------
    InvalidComparisonError
        If the recalls that both sides enclose are fewer than 0.02 wide, and no setting of theirs is alike.
    """
    reach = _reach(base, new)
    lowest, highest = _common(reach)
    low, high = max(targets[0], lowest), min(targets[-1], highest)
    if high - low < (0 if len(targets) == 1 else min(NARROWEST, (targets[-1] - targets[0]) / 2)):
        return _one_recall(base, new, reach, targets, answers)
    inside = tuple(target for target in targets if low <= target <= high)
    recalls = sorted({max(low - room[0], lowest), low, *inside, high, min(high + room[1], highest)})
    base_front, new_front = _front(base), _front(new)
    alike = _same_queries(base_front, new)
    base_chosen: list[Searched] = []
    new_chosen: list[Searched] = []
    for recall in recalls:
        pair = _enclosing(base_front, recall)
        other = [setting for wanted in pair for setting in alike if setting.query == wanted.query]
        own = list(_enclosing(new_front, recall))
        if (
            len(other) < len(pair)
            or not other[0].recall <= recall <= other[-1].recall
            or _time_at(own, recall, answers) < QUICKER * _time_at(other, recall, answers)
        ):
            other = own
        for one, two in zip(pair, other, strict=True):
            if not any(one is a and two is b for a, b in zip(base_chosen, new_chosen, strict=True)):
                base_chosen.append(one)
                new_chosen.append(two)
    missed = tuple(target for target in targets if reach[1][1] < target <= reach[0][1])
    return Points(tuple(base_chosen), tuple(new_chosen), inside, (low, high), answers, missed)


def _time_at(settings: Sequence[Searched], recall: float, answers: int) -> float:
    """Return the ns per query that settings come to at a recall."""
    logs = np.log([setting.ns_per_query for setting in settings])
    return float(np.exp(_weights_at(settings, [recall], answers) @ logs)[0])


def _one_recall(
    base: Sequence[Searched],
    new: Sequence[Searched],
    reach: Sequence[tuple[float, float]],
    targets: Sequence[float],
    answers: int,
) -> Points:
    """Return the one point of sides with one setting and one recall, such as exact search."""
    if len(base) == len(new) == 1 and abs(base[0].recall - new[0].recall) < 1 / answers:
        return Points(tuple(base), tuple(new), (), (base[0].recall, base[0].recall), answers)
    raise _nothing_in_common(reach, targets)


def _reach(*sides: Sequence[Searched]) -> list[tuple[float, float]]:
    """Return the lowest and the highest recall of each side."""
    return [(min(s.recall for s in side), max(s.recall for s in side)) for side in sides]


def _common(reach: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the ends of the recalls that all sides enclose; the lower end is above where there are none."""
    return max(low for low, _ in reach), min(high for _, high in reach)


def _nothing_in_common(
    reach: Sequence[tuple[float, float]], targets: Sequence[float]
) -> InvalidComparisonError:
    spans = " and ".join(
        f"{name} reaches {low:.3f} to {high:.3f}"
        for name, (low, high) in zip(("BASE", "NEW"), reach, strict=True)
    )
    wanted = f"{targets[0]:g}" if targets[0] == targets[-1] else f"{targets[0]:g} to {targets[-1]:g}"
    return InvalidComparisonError(
        f"no recalls to compare at: {spans}, asked for was {wanted}; recalls that both sides enclose must "
        f"span {NARROWEST} or more: name others with --recall, or a larger grid with --preset"
    )


def _front(settings: Sequence[Searched]) -> list[Searched]:
    """Return the settings that no other beats, by recall; the lowest and highest recall are always kept."""
    on = pareto([s.recall for s in settings], [1 / s.ns_per_query for s in settings], y_higher=True)
    front = [settings[index] for index in on]
    lowest = min(settings, key=lambda s: s.recall)
    return front if front[0].recall <= lowest.recall else [lowest, *front]


def _same_queries(wanted: Sequence[Searched], side: Sequence[Searched]) -> list[Searched]:
    return [setting for one in wanted for setting in side if setting.query == one.query]


def _enclosing(front: Sequence[Searched], recall: float) -> tuple[Searched, Searched]:
    """Return the neighbours on the frontier between which the recall lies."""
    above = next(i for i, setting in enumerate(front) if setting.recall >= recall or i == len(front) - 1)
    above = max(above, 1) if len(front) > 1 else above
    return front[max(above - 1, 0)], front[above]


def _weights_at(side: Sequence[Searched], recalls: npt.ArrayLike, answers: int) -> Floats:
    """Return how much each setting of a side tells of its curve at each recall, shape (recalls, settings)."""
    x = nines([setting.recall for setting in side], answers)
    knots, places, counts = np.unique(x, return_inverse=True, return_counts=True)
    at = nines(recalls, answers)
    hats = np.stack([np.interp(at, knots, row) for row in np.eye(len(knots))], axis=-1)
    return np.asarray((hats / counts)[:, places])
