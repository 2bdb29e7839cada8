"""Facts about the machine that a measurement was taken on; what cannot be known is None."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

_SYSTEM = Path("/sys/devices/system/cpu")


def machine_facts(cpus: list[int]) -> dict[str, Any]:
    """Return what is worth knowing about the machine and about the cores `cpus` that workers run on."""
    memory = psutil.virtual_memory()
    first = cpus[0] if cpus else 0
    return {
        "cpu": cpu_model(),
        "architecture": platform.machine(),
        "logical_cores": psutil.cpu_count(),
        "physical_cores": psutil.cpu_count(logical=False),
        "cpus_used": cpus,
        "flags": _cpuinfo("flags") or _cpuinfo("Features"),
        "caches": _caches(first),
        "governor": _text(_SYSTEM / f"cpu{first}/cpufreq/scaling_governor"),
        "smt": _text(_SYSTEM / "smt/active"),
        "hypervisor": None if (flags := _cpuinfo("flags")) is None else "hypervisor" in flags.split(),
        "memory_bytes": memory.total,
        "memory_available_bytes": memory.available,
        "load_1m": os.getloadavg()[0],
        "steal_percent": getattr(psutil.cpu_times_percent(), "steal", None),
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


def cpu_model() -> str:
    """Return the processor's name."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def cpu_vendor() -> str:
    """Return who made the processor, as /proc/cpuinfo tells it; nothing where it does not."""
    return _cpuinfo("vendor_id") or ""


def _cpuinfo(key: str) -> str | None:
    text = _text(Path("/proc/cpuinfo")) or ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


def _caches(cpu: int) -> dict[str, str] | None:
    caches = {}
    for folder in sorted((_SYSTEM / f"cpu{cpu}/cache").glob("index*")):
        level, kind, size = (_text(folder / name) for name in ("level", "type", "size"))
        if level and kind and size:
            caches[f"L{level} {kind.lower()}"] = size
    return caches or None


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
