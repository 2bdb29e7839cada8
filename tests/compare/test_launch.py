"""What a launch shows."""

import numpy as np
import pytest

from ann_bench.compare.launch import Launch, Quad, show
from tests.compare.simulated import Machine, points


def quad(*ns: float, swapped: bool = False, control: bool = False, pair: int = 0) -> Quad:
    """Return a quad with these times by both clocks."""
    return Quad(pair, control, swapped, 100, ns, ns)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_drift_within_a_quad_falls_out(swapped: bool) -> None:
    """B takes twice as long as A while the machine slows down steadily: the ratio is a half."""
    a, b = np.log(100), np.log(200)
    order = (b, a, a, b) if swapped else (a, b, b, a)
    first, second = quad(*np.exp(order + 0.1 * np.arange(4)), swapped=swapped).logs("cpu")
    assert first - second == pytest.approx(np.log(0.5))


def test_a_quad_that_was_disturbed_does_not_count() -> None:
    """A launch shows the same with a disturbed quad of any time as without it."""
    launch = next(Machine(1).launches())
    there = show(launch, points(), "cpu")
    wild = Quad(0, False, False, 100, [1, 1e9, 1e9, 1], [1, 1e9, 1e9, 1], disturbed=True)
    also = show(Launch(0, 0, [*launch.quads, wild]), points(), "cpu")
    assert there is not None
    assert also is not None
    assert there.change == also.change


def test_a_launch_without_one_of_its_pairs_shows_nothing() -> None:
    """Where each quad of a pair was disturbed the launch does not count."""
    launch = next(Machine(1).launches())
    for one in launch.quads:
        one.disturbed |= one.pair == 2 and not one.control
    assert show(launch, points(), "cpu") is None


def test_one_level_shift_does_not_move_a_launch() -> None:
    """A quad that the machine's speed changed in is outvoted by the pair's others."""
    quads = [quad(100, 100, 100, 100, pair=pair, control=c) for pair in range(4) for c in (0, 1)] * 3
    quads[0] = quad(100, 100, 140, 140)
    shown = show(Launch(0, 0, quads), points(), "cpu")
    assert shown is not None
    assert (shown.change, shown.control) == (0, 0)


def test_a_launch_survives_being_written() -> None:
    """It comes back from plain values as it was."""
    launch = next(Machine(2).launches())
    assert Launch.from_json(launch.as_json()) == launch
