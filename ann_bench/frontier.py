"""Pareto frontiers of settings, and reading a value off them at a recall nobody measured exactly.

Settings are compared at equal recall. "The fastest setting with recall >= 0.9" jumps by 8-28 % when a
parameter grid moves by half a step; an interpolated frontier does not. Between two measured settings log(qps)
falls nearly linearly in -log10(1 - recall), the number of nines: those are the axes of the interpolation.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def pareto(
    x: Sequence[float | None], y: Sequence[float | None], *, x_higher: bool = True, y_higher: bool = False
) -> list[int]:
    """Return the indices of the points that no other point beats, from the worst to the best in `x`.

    A point beats another if it is at least as good in both coordinates and better in one. Of equal points the
    first is kept. A point with a coordinate that is None, NaN or infinite is on no frontier.

    Parameters
    ----------
    x, y
        Two metrics of the same settings.
    x_higher, y_higher
        Whether more of it is better (`metrics.METRICS[name].higher_is_better`).
    """
    xs = np.array(x, dtype=np.float64) * (1 if x_higher else -1)
    ys = np.array(y, dtype=np.float64) * (1 if y_higher else -1)
    best = -np.inf
    frontier = []
    for index in np.lexsort((-ys, -xs)):  # best x first; among equals best y first
        if np.isfinite(xs[index]) and np.isfinite(ys[index]) and ys[index] > best:
            best = ys[index]
            frontier.append(int(index))
    return frontier[::-1]


def nines(recall: npt.ArrayLike, answers: int) -> Floats:
    """Return -log10(1 - recall): 1 at 0.9, 2 at 0.99.

    A recall of 1 says that of `answers` (queries times k) none was wrong. It is taken as half an answer being
    wrong, so that it lies beyond every recall below it and not at infinity.
    """
    return -np.log10(np.maximum(1.0 - np.asarray(recall, dtype=np.float64), 0.5 / answers))


def interpolate(
    recall: Sequence[float | None],
    values: Sequence[float | None],
    target: float,
    *,
    answers: int,
    higher_is_better: bool = True,
    along: Sequence[float | None] | None = None,
) -> float | None:
    """Return the value (qps by default) at which the frontier of the settings reaches the recall `target`.

    Linear in log(value) against `nines`, between the two settings of the frontier that enclose the target.
    Where even the setting of lowest recall on the frontier exceeds the target, the answer is that setting's
    value: it has at least the recall asked for, and nothing better was measured. Above the highest recall
    there is no answer: None.

    Parameters
    ----------
    recall, values
        Two metrics of the same settings, in any order; settings off the frontier are left out, and so are
        values that have no logarithm.
    target
        Recall, 0 to 1.
    answers
        Number of answers that recall was counted over: queries times k.
    higher_is_better
        Direction of `values`; False for times and sizes.
    along
        The metric whose frontier is followed, if not that of `values`: qps for the ends of its interval, so
        that they are read off between the settings that it is. None if one of these has no value.
    """
    on = _frontier(recall, values if along is None else along, higher_is_better)
    if not on or target > _at(recall, on)[-1] or any((values[index] or 0.0) <= 0 for index in on):
        return None
    logs = np.log(_at(values, on))
    return float(np.exp(np.interp(nines(target, answers), nines(_at(recall, on), answers), logs)))


def nearest(
    recall: Sequence[float | None],
    values: Sequence[float | None],
    target: float,
    *,
    answers: int,
    higher_is_better: bool = True,
) -> int | None:
    """Return the index of the setting on the frontier whose recall is nearest to `target`, in `nines`.

    None where `interpolate` gives None. Parameters as there.
    """
    on = _frontier(recall, values, higher_is_better)
    if not on or target > _at(recall, on)[-1]:
        return None
    return on[int(np.argmin(np.abs(nines(_at(recall, on), answers) - nines(target, answers))))]


def _frontier(recall: Sequence[float | None], values: Sequence[float | None], higher: bool) -> list[int]:
    positive = [value if value is not None and value > 0 else None for value in values]
    return pareto(recall, positive, x_higher=True, y_higher=higher)


def _at(values: Sequence[float | None], indices: list[int]) -> Floats:
    return np.array([values[index] for index in indices], dtype=np.float64)
