"""The A/A probe: what it makes of blocks, on made-up numbers, and one short look at this machine."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from filelock import FileLock

from ann_bench.compare.estimate import LOOKS, alpha_of
from ann_bench.compare.launch import Quad
from ann_bench.compare.probe import run_probe, smallest_effect, summarise
from ann_bench.machine import allowed_cpus
from tests.runner.conftest import alive_below


def quad(
    ratio: float, *, order: Literal["ABBA", "BAAB"] = "ABBA", wall: float = 0.0, drift: float = 0.0
) -> Quad:
    """Return a quad in which A takes exp(ratio) of B's time; each block adds `drift`, in log units."""
    blocks = [(ratio if side == "A" else 0.0) + drift * place for place, side in enumerate(order)]
    cpu_ns = tuple(round(2e10 * math.exp(block)) for block in blocks)
    wall_ns = (round(ns * math.exp(wall * (s == "A"))) for ns, s in zip(cpu_ns, order, strict=True))
    return Quad(0, True, order == "BAAB", 1, cpu_ns, tuple(wall_ns))


def test_spread_within_launches_is_told_from_spread_across_them() -> None:
    """The first is pooled over launches about their means, the second is that of their medians."""
    launches = [[quad(level - 0.01), quad(level), quad(level + 0.01)] for level in (-0.03, 0.0, 0.03)]
    probe = summarise(launches)
    assert probe.cpu.within_sd == pytest.approx(0.01, rel=1e-6)
    assert probe.cpu.across_sd is not None
    assert probe.cpu.across_sd.value == pytest.approx(0.03, rel=1e-6)
    # chi-square with 2 degrees of freedom: 0.0506 and 7.378 cut 2.5 % off each end
    assert probe.cpu.across_sd.low == pytest.approx(0.03 * math.sqrt(2 / 7.3778), rel=1e-4)
    assert probe.cpu.across_sd.high == pytest.approx(0.03 * math.sqrt(2 / 0.050636), rel=1e-4)
    for launches_asked, effect in probe.cpu.smallest_effects.items():
        assert effect.value == pytest.approx(smallest_effect(0.03, launches_asked), rel=1e-6)
        assert effect.low < effect.value < effect.high


def test_an_outlier_among_the_quads_of_a_launch_does_not_move_it() -> None:
    """A launch is its median quad: one burst does not become a difference between launches."""
    launches = [[quad(0.001 * i), quad(0.001 * i), quad(0.5)] for i in range(4)]
    across = summarise(launches).cpu.across_sd
    assert across is not None
    assert across.value == pytest.approx(0.001 * np.std(range(4), ddof=1), rel=1e-4)


def test_by_each_clock_the_spread_is_its_own() -> None:
    """What only wall time shows does not reach CPU time."""
    probe = summarise([[quad(0.0, wall=wall)] * 2 for wall in (-0.05, 0.05, 0.0)])
    assert probe.cpu.across_sd is not None
    assert probe.wall.across_sd is not None
    assert probe.cpu.across_sd.value < 1e-9
    assert probe.wall.across_sd.value == pytest.approx(0.05, rel=1e-6)
    assert probe.block_wall_ns == pytest.approx(2e10, rel=0.05)


def test_what_too_few_launches_cannot_tell_is_unknown() -> None:
    """One launch knows nothing of others, one quad nothing of others; few launches are said to be few."""
    one = summarise([[quad(0.01), quad(0.02)]])
    assert one.cpu.within_sd is not None
    assert one.cpu.across_sd is None
    assert one.cpu.smallest_effects == {}
    assert not one.enough_launches
    assert summarise([[quad(0.01)], [quad(0.02)]]).cpu.within_sd is None
    assert not summarise([[quad(0.01)]] * 8).enough_launches
    assert summarise([[quad(0.01)]] * 16).enough_launches


def signed_rank_interval(changes: Sequence[float], alpha: float) -> tuple[float, float]:
    """Return the exact interval of the signed-rank test: an oracle, apart from the code under test."""
    n = len(changes)
    counts = np.ones(1)
    for rank in range(1, n + 1):
        counts = np.convolve(counts, np.r_[1.0, np.zeros(rank - 1), 1.0])
    outside = int(np.searchsorted((counts / 2**n).cumsum(), alpha / 2, side="right"))
    means = np.sort([(changes[i] + changes[j]) / 2 for i in range(n) for j in range(i, n)])
    return float(means[outside - 1]), float(means[-outside])


@pytest.mark.parametrize("launches", LOOKS)
def test_the_smallest_effect_is_found_half_the_time_and_twice_of_it_nearly_always(launches: int) -> None:
    """In simulated comparisons the signed-rank interval is as wide as Student's and finds what is told."""
    rng = np.random.default_rng(launches)
    effect = math.log1p(smallest_effect(0.01, launches))
    intervals = np.array(
        [signed_rank_interval(rng.normal(0, 0.01, launches), alpha_of(launches)) for _ in range(400)]
    )
    half_widths = (intervals[:, 1] - intervals[:, 0]) / 2
    assert half_widths.mean() == pytest.approx(effect, rel=0.12)
    assert 0.35 < (intervals[:, 0] + effect > 0).mean() < 0.65
    assert (intervals[:, 0] + 2 * effect > 0).mean() > 0.95


def test_a_probe_holds_two_workers_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One launch at least, two quads each; afterwards nothing is left of it, and other runs are told of."""
    monkeypatch.setenv("ANN_BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    before = os.sched_getaffinity(0)
    with FileLock(tmp_path / "cache" / "measuring.lock"):
        probe = run_probe(allowed_cpus()[-1], 0.1)
    (launch,) = probe.launches
    assert [len(quad.cpu_ns) for quad in launch] == [len(quad.wall_ns) for quad in launch] == [4, 4]
    assert all(ns > 0 for quad in launch for ns in (*quad.cpu_ns, *quad.wall_ns))
    assert probe.messages == ["another run is measuring on this machine: the two disturb each other"]
    assert os.sched_getaffinity(0) == before
    assert list((tmp_path / "cache" / "runs").iterdir()) == []
    assert alive_below(tmp_path) == []
