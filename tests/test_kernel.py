"""What is read from /proc and /sys, on made-up machines."""

import math
from pathlib import Path

import pytest

from ann_bench.kernel import Kernel, Ticks
from tests.fake_kernel import CPU, fake_kernel

V2 = {"sys/fs/cgroup/cgroup.controllers": "cpuset cpu memory"}
V1 = {"proc/self/cgroup": "4:memory:/a/b\n3:cpu,cpuacct:/a/b\n0::/"}


def test_a_machine_that_tells_nothing_is_unknown(tmp_path: Path) -> None:
    """Without /proc and /sys, as on other systems, each fact is None and nothing is raised."""
    kernel = Kernel(tmp_path)
    facts = [kernel.governor(0), kernel.turbo(0), kernel.smt(), kernel.smt_siblings(0), kernel.huge_pages()]
    facts += [kernel.ticks(0), kernel.cpu_quota_cores(), kernel.cpuinfo("flags"), kernel.caches(0)]
    assert facts == [None] * len(facts)


def test_facts_are_those_of_the_core_that_is_asked_for(tmp_path: Path) -> None:
    """Governor, siblings and caches differ by core, and the core itself is not its sibling."""
    kernel = fake_kernel(
        tmp_path,
        {
            f"{CPU}/cpu3/cpufreq/scaling_governor": "powersave",
            f"{CPU}/cpu0/cpufreq/scaling_governor": "performance",
            f"{CPU}/cpu3/topology/thread_siblings_list": "3,8-9",
            f"{CPU}/cpu0/topology/thread_siblings_list": "0",
            f"{CPU}/cpu3/cache/index0/level": "1",
            f"{CPU}/cpu3/cache/index0/type": "Data",
            f"{CPU}/cpu3/cache/index0/size": "48K",
            f"{CPU}/smt/active": "1",
            "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
            "proc/cpuinfo": "processor\t: 0\nmodel name\t: Testcore 9000: fast\nflags\t\t: fpu hypervisor",
        },
    )
    assert [kernel.governor(cpu) for cpu in (0, 3, 4)] == ["performance", "powersave", None]
    assert [kernel.smt_siblings(cpu) for cpu in (0, 3, 4)] == [[], [8, 9], None]
    assert kernel.caches(3) == {"L1 data": "48K"}
    assert kernel.smt() == "1"
    assert kernel.huge_pages() == "madvise"
    assert kernel.cpuinfo("model name") == "Testcore 9000: fast"


@pytest.mark.parametrize(
    ("files", "turbo"),
    [
        ({f"{CPU}/cpufreq/boost": "1"}, True),
        ({f"{CPU}/cpufreq/boost": "0"}, False),
        ({f"{CPU}/intel_pstate/no_turbo": "0"}, True),
        ({f"{CPU}/intel_pstate/no_turbo": "1"}, False),
        ({f"{CPU}/cpufreq/boost": "1", f"{CPU}/cpu1/cpufreq/boost": "0"}, False),
        ({f"{CPU}/cpufreq/boost": "nonsense"}, None),
    ],
)
def test_turbo_is_on_unless_a_switch_is_off(
    tmp_path: Path, files: dict[str, str], turbo: bool | None
) -> None:
    """AMD's and Intel's switches mean opposite things; one that is off counts; nonsense is unknown."""
    assert fake_kernel(tmp_path, files).turbo(1) is turbo


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        (V2 | {"proc/self/cgroup": "0::/"}, math.inf),
        (V2 | {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "150000 100000"}, 1.5),
        (V2 | {"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/b/cpu.max": "max 100000"}, math.inf),
        (
            V2
            | {"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/cpu.max": "50000 100000"}
            | {"sys/fs/cgroup/a/b/cpu.max": "200000 100000"},
            0.5,
        ),
        # A container that is told its place on the host, and sees its own group as the mount.
        (V2 | {"proc/self/cgroup": "0::/docker/5f", "sys/fs/cgroup/cpu.max": "200000 100000"}, 2.0),
        (V2 | {"proc/self/cgroup": "0::/../pod", "sys/fs/cgroup/cpu.max": "200000 100000"}, 2.0),
        # The CPU is handed down to nobody here: who limits it is out of sight.
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cgroup.controllers": "memory"}, None),
        (V1 | {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1"}, math.inf),
        (
            V1
            | {f"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_{name}_us": str(value) for name, value in
               (("quota", 250_000), ("period", 100_000))},
            2.5,
        ),
    ],
)  # fmt: skip
def test_the_quota_is_the_smallest_from_the_own_group_up(
    tmp_path: Path, files: dict[str, str], cores: float | None
) -> None:
    """Version 1 and 2, nested groups, containers; without a limit it is infinite, out of sight None."""
    assert fake_kernel(tmp_path, files).cpu_quota_cores() == cores


def test_ticks_tell_work_from_rest_and_from_steal(tmp_path: Path) -> None:
    """Time in guests is not counted twice, waiting for a disk is rest, and shares are of the time between."""
    others = "cpu 0\ncpu20 8 8 8 8 8 8 8 8\ncpu3 0 0\n"
    before = fake_kernel(tmp_path, {"proc/stat": others + "cpu2 1 2 3 10 4 5 6 9 1 2"})
    first = before.ticks(2)
    assert first == Ticks(busy=17, idle=14, steal=9)
    assert before.ticks(3) is None
    later = fake_kernel(tmp_path, {"proc/stat": "cpu2 31 2 3 70 4 5 6 19 1 2"}).ticks(2)
    assert later is not None
    assert later.since(first).busy_percent == 30
    assert later.since(first).steal_percent == 10
    assert later.since(later).steal_percent is None
