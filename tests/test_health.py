"""What is made of the facts about a machine."""

from pathlib import Path
from typing import Any

import pytest

from ann_bench.health import Activity, Watched, examine
from tests.fake_kernel import fake_kernel

CALM: dict[str, Any] = {
    "hypervisor": False,
    "governor": "performance",
    "turbo": False,
    "smt_siblings": [],
    "cpus_used": [1],
    "cpu_quota_cores": "unlimited",
    "load_1m": 0.1,
    "logical_cores": 4,
    "steal_percent_since_boot": 0.0,
    "huge_pages": "madvise",
    "on_battery": False,
}
QUIET = Activity(busy_percent=1.0, sibling_percent=None, steal_percent=0.0)


def test_a_calm_machine_gets_no_advice() -> None:
    """Where nothing disturbs, every fact is told and nothing more."""
    findings = examine(CALM, QUIET)
    assert all(finding.value and not finding.advice for finding in findings)
    names = ["hypervisor", "governor", "turbo", "SMT sibling", "core in use", "CPU quota", "load", "steal"]
    assert [finding.name for finding in findings] == [*names, "huge pages", "battery"]


def test_what_is_not_told_is_unknown() -> None:
    """With no facts at all, no check has a value."""
    nothing = dict.fromkeys(CALM) | {"cpus_used": [1]}
    assert {finding.value for finding in examine(nothing, Activity())} == {None}


@pytest.mark.parametrize(
    ("name", "facts", "activity", "value", "advice"),
    [
        ("hypervisor", {"hypervisor": True}, QUIET, "yes", "CPU time"),
        ("governor", {"governor": "powersave"}, QUIET, "powersave", "cpupower frequency-set -g performance"),
        ("governor", {"governor": None, "hypervisor": True}, QUIET, None, "the host sets it"),
        ("turbo", {"turbo": True}, QUIET, "on", "no_turbo"),
        ("SMT sibling", {"smt_siblings": [5]}, Activity(1, 2, 0), "core 5, idle", "keep it idle"),
        ("SMT sibling", {"smt_siblings": [5]}, Activity(1, 40, 0), "core 5, 40 % busy", "--cpus"),
        ("SMT sibling", {"smt_siblings": [5]}, Activity(1, None, 0), "core 5", "keep it idle"),
        ("SMT sibling", {"smt_siblings": [5], "cpus_used": [1, 5]}, QUIET, "core 5", "leave out 5"),
        ("SMT sibling", {"hypervisor": True}, QUIET, "none", "the host may still share"),
        ("core in use", {}, Activity(60, None, 0), "60 % of the time", "--cpus"),
        ("CPU quota", {"cpu_quota_cores": 1.5}, QUIET, "1.5 cores", "ask for 2 cores"),
        ("CPU quota", {"cpu_quota_cores": 2.0}, QUIET, "2 cores", ""),
        ("CPU quota", {"cpu_quota_cores": 2.0, "cpus_used": [0, 1]}, QUIET, "2 cores", "ask for 3 cores"),
        ("load", {"load_1m": 2.1}, QUIET, "2.10 on 4 cores", "others are at work"),
        ("load", {"load_1m": 1.9}, QUIET, "1.90 on 4 cores", ""),
        ("steal", {"steal_percent_since_boot": 0.2}, Activity(1, 1, 1.5), "1.5 % of the time", "CPU time"),
        ("steal", {"steal_percent_since_boot": 0.2}, Activity(1, 1, 0.5), "0.5 % of the time", ""),
        ("steal", {"hypervisor": True}, QUIET, None, "may not report it"),
        ("huge pages", {"huge_pages": "always"}, QUIET, "always", "launches differ"),
        ("battery", {"on_battery": True}, QUIET, "in use", "plug in"),
    ],
)
def test_each_disturbance_gets_its_advice(
    name: str, facts: dict[str, Any], activity: Activity, value: str | None, advice: str
) -> None:
    """What disturbs is told with what to do; below the threshold it is told alone."""
    found = next(finding for finding in examine(CALM | facts, activity) if finding.name == name)
    assert found.value == value
    assert advice in found.advice
    assert bool(advice) == bool(found.advice)


def test_a_core_is_watched_from_then_on(tmp_path: Path) -> None:
    """What others did counts since the start, and of several siblings the busiest."""
    kernel = fake_kernel(
        tmp_path, {"proc/stat": "cpu1 9 0 0 9 0 0 0 9 0 0\n" + "cpu2 0 0 0 0 0 0 0 0\ncpu3 0 0 0 0 0 0 0 0"}
    )
    watched = Watched(1, [2, 3], kernel)
    assert watched.so_far() == Activity(None, None, None)
    fake_kernel(
        tmp_path,
        {"proc/stat": "cpu1 29 0 0 79 0 0 0 19 0 0\n" + "cpu2 1 0 0 99 0 0 0 0\ncpu3 70 0 0 30 0 0 0 0"},
    )
    assert watched.so_far() == Activity(busy_percent=20, sibling_percent=70, steal_percent=10)
    assert Watched(7, [], kernel).so_far() == Activity()
