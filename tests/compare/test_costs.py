"""What building cost both sides, from the plans of comparisons."""

import numpy as np
import pytest

from ann_bench.compare.costs import LABELS, compare_costs
from ann_bench.compare.indexes import COSTS
from tests.compare.plans import make_plan, make_side


def test_a_single_build_tells_the_size_of_the_index_alone() -> None:
    """One build, which may be an old one, says nothing of times and peaks; a size needs no interval."""
    sides = {"base": make_side("BASE"), "new": make_side("NEW", {"index_bytes": 15e6, "build_wall_ns": 9e9})}
    (cost,) = compare_costs(make_plan(sides=sides))
    assert (cost.name, cost.base, cost.new, cost.ratio, cost.interval) == (
        "index_bytes",
        12e6,
        15e6,
        1.25,
        None,
    )


def test_several_builds_tell_everything_with_an_interval() -> None:
    """The ratio of builds in pairs is the planted one, within its interval; the medians are each side's."""
    noise = np.exp(0.02 * np.random.default_rng(1).standard_normal((2, 8)))
    base, new = ([{"build_wall_ns": 2e9 * factor} for factor in row] for row in (noise[0], 1.5 * noise[1]))
    sides = {"base": make_side("BASE", *base), "new": make_side("NEW", *new)}
    costs = {cost.name: cost for cost in compare_costs(make_plan(sides=sides, builds=8))}
    assert list(costs) == list(COSTS) == list(LABELS)
    cost = costs["build_wall_ns"]
    assert cost.interval is not None
    assert cost.interval.low < np.log(1.5) < cost.interval.high
    assert cost.ratio == pytest.approx(1.5, rel=0.03)
    assert (cost.base, cost.new) == tuple(
        np.median([told["build_wall_ns"] for told in side]) for side in (base, new)
    )
    assert costs["index_bytes"].ratio == 1.0


@pytest.mark.parametrize("unknown", [None, 0])
@pytest.mark.parametrize("side", ["base", "new"])
def test_what_one_side_does_not_know_is_left_out(side: str, unknown: float | None) -> None:
    """A cost that is unknown, or nothing, in any build of either side has no ratio."""
    sides = {name: make_side(name, {}, {}) for name in ("base", "new")}
    sides[side] = make_side(side, {}, {"index_bytes": unknown})
    names = [cost.name for cost in compare_costs(make_plan(sides=sides, builds=2))]
    assert names == [name for name in COSTS if name != "index_bytes"]
