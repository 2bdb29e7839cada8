"""The facts that are stored with every measurement."""

import json
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from ann_bench.machine import cpu_model, machine_facts
from tests.fake_kernel import CPU, fake_kernel


def test_facts_can_be_stored_and_name_the_processor() -> None:
    """Everything is JSON, what cannot be known is null, and the cores that were used are named."""
    facts = machine_facts([0])
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["cpu"] == cpu_model() != ""
    assert facts["cpus_used"] == [0]
    assert facts["memory_bytes"] > facts["memory_available_bytes"] > 0
    for name in ("governor", "smt", "caches", "flags", "steal_percent", "load_1m", "kernel"):
        assert name in facts


def test_facts_are_those_of_the_first_core(tmp_path: Path) -> None:
    """Clock, siblings and steal are told of the core that workers run on, limits of the whole process."""
    files = {
        f"{CPU}/cpu2/cpufreq/scaling_governor": "performance",
        f"{CPU}/cpu2/cpufreq/boost": "0",
        f"{CPU}/cpu2/topology/thread_siblings_list": "2,6",
        "sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never",
        "sys/fs/cgroup/cgroup.controllers": "cpu",
        "proc/self/cgroup": "0::/",
        "proc/stat": "cpu2 50 0 0 49 0 0 0 1 0 0",
        "proc/cpuinfo": "model name : Testcore 9000\nflags : fpu hypervisor",
    }
    facts = machine_facts([2, 0], fake_kernel(tmp_path, files))
    expected = {
        "cpu": "Testcore 9000",
        "governor": "performance",
        "turbo": False,
        "smt_siblings": [6],
        "hypervisor": True,
        "cpu_quota_cores": "unlimited",
        "huge_pages": "always",
        "steal_percent_since_boot": 1.0,
    }
    assert {name: facts[name] for name in expected} == expected


def test_what_a_machine_does_not_tell_is_none(tmp_path: Path) -> None:
    """No fact is made up where /proc and /sys are empty."""
    facts = machine_facts([0], fake_kernel(tmp_path, {}))
    unknown = ("governor", "turbo", "smt", "smt_siblings", "hypervisor", "cpu_quota_cores", "huge_pages")
    assert {name: facts[name] for name in (*unknown, "steal_percent_since_boot", "caches", "flags")} == (
        dict.fromkeys((*unknown, "steal_percent_since_boot", "caches", "flags"))
    )


@pytest.mark.parametrize(("plugged", "on_battery"), [(True, False), (False, True), (None, None)])
def test_a_battery_is_in_use_or_not(
    monkeypatch: pytest.MonkeyPatch, plugged: bool | None, on_battery: bool | None
) -> None:
    """On mains it is not; where its state is not told, or there is none, nobody knows."""
    battery = SimpleNamespace(power_plugged=plugged)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    assert machine_facts([0])["on_battery"] is on_battery
    monkeypatch.setattr(psutil, "sensors_battery", lambda: None, raising=False)
    assert machine_facts([0])["on_battery"] is None
