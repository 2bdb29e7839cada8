"""Facts about the machine that a measurement was taken on; what cannot be known is None."""

import math
import os
import platform
from datetime import UTC, datetime
from typing import Any

import psutil

from ann_bench.kernel import Kernel

_HERE = Kernel()


def machine_facts(cpus: list[int], kernel: Kernel = _HERE) -> dict[str, Any]:
    """Return what is worth knowing about the machine and about the cores `cpus` that workers run on.

    Of a core's own facts (governor, turbo, SMT siblings, caches, steal since the start of the machine) those
    of the first of `cpus`. `cpu_quota_cores` is a number, "unlimited", or None.
    """
    memory = psutil.virtual_memory()
    first = cpus[0] if cpus else 0
    flags = kernel.cpuinfo("flags")
    ticks = kernel.ticks(first)
    quota = kernel.cpu_quota_cores()
    return {
        "cpu": cpu_model(kernel),
        "architecture": platform.machine(),
        "logical_cores": psutil.cpu_count(),
        "physical_cores": psutil.cpu_count(logical=False),
        "cpus_used": cpus,
        "flags": flags or kernel.cpuinfo("Features"),
        "caches": kernel.caches(first),
        "governor": kernel.governor(first),
        "turbo": kernel.turbo(first),
        "smt": kernel.smt(),
        "smt_siblings": kernel.smt_siblings(first),
        "hypervisor": None if flags is None else "hypervisor" in flags.split(),
        "cpu_quota_cores": "unlimited" if quota == math.inf else quota,
        "memory_bytes": memory.total,
        "memory_available_bytes": memory.available,
        "huge_pages": kernel.huge_pages(),
        "load_1m": os.getloadavg()[0],
        "steal_percent": getattr(psutil.cpu_times_percent(), "steal", None),
        "steal_percent_since_boot": ticks and ticks.steal_percent,
        "on_battery": _on_battery(),
        "kernel": platform.release(),
        "system": platform.system(),
        "python": platform.python_version(),
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def allowed_cpus() -> list[int]:
    """Return the cores that this process may use."""
    try:
        return sorted(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return list(range(os.cpu_count() or 1))


def cpu_model(kernel: Kernel = _HERE) -> str:
    """Return the processor's name."""
    return kernel.cpuinfo("model name") or platform.processor() or platform.machine()


def cpu_vendor() -> str:
    """Return who made the processor, as /proc/cpuinfo tells it; nothing where it does not."""
    return _HERE.cpuinfo("vendor_id") or ""


def _on_battery() -> bool | None:
    """Return whether the machine lives on its battery; None where none is seen, or its state is not told."""
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    return None if battery is None or battery.power_plugged is None else not battery.power_plugged
