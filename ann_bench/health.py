"""What the facts about a machine mean for a measurement on it, and what to do about them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ann_bench.kernel import Kernel, Ticks

_HERE = Kernel()
_BUSY_PERCENT = 5.0
_LOAD_PER_CORE = 0.5
_STEAL_PERCENT = 1.0


@dataclass(frozen=True)
class Activity:
    """What others did with the core for a moment, in percent of the time; None where unknown.

    Attributes
    ----------
    busy_percent
        Others' work on the core itself.
    sibling_percent
        Work on the busiest of the hardware threads that share the core.
    steal_percent
        Time in which the host held the core although it had work.
    """

    busy_percent: float | None = None
    sibling_percent: float | None = None
    steal_percent: float | None = None


@dataclass(frozen=True)
class Finding:
    """A fact in words (None: unknown), and, where it matters, what it means and what to do."""

    name: str
    value: str | None
    advice: str = ""


class Watched:
    """A core that is watched from now on, with the hardware threads that share it."""

    def __init__(self, cpu: int, siblings: Sequence[int], kernel: Kernel = _HERE) -> None:
        self._kernel = kernel
        self._cpu = cpu
        self._siblings = siblings
        self._at_first = {each: kernel.ticks(each) for each in (cpu, *siblings)}

    def so_far(self) -> Activity:
        """Return what the core and its siblings did since the start."""
        own, *others = (self._since(each) for each in (self._cpu, *self._siblings))
        busy = [ticks.busy_percent for ticks in others if ticks]
        return Activity(
            busy_percent=own.busy_percent if own else None,
            sibling_percent=max((percent for percent in busy if percent is not None), default=None),
            steal_percent=own.steal_percent if own else None,
        )

    def _since(self, cpu: int) -> Ticks | None:
        now, before = self._kernel.ticks(cpu), self._at_first[cpu]
        return now.since(before) if now and before else None


Facts = Mapping[str, Any]


def examine(facts: Facts, activity: Activity) -> list[Finding]:
    """Return what is found, one for each check.

    Parameters
    ----------
    facts
        What `machine_facts` tells.
    activity
        What the core did while the harness let it be; its steal, while it had work.
    """
    return [Finding(name, *check(facts, activity)) for name, check in _CHECKS.items()]


Found = tuple[str | None] | tuple[str | None, str]


def _hypervisor(facts: Facts, _: Activity) -> Found:
    if facts["hypervisor"] is None:
        return (None,)
    if not facts["hypervisor"]:
        return ("none",)
    return "yes", "wall time holds the neighbours' noise too: compare single-threaded libraries by CPU time"


def _governor(facts: Facts, _: Activity) -> Found:
    governor = facts["governor"]
    if governor is None:
        return None, "the host sets it and does not tell" if facts["hypervisor"] else ""
    if governor == "performance":
        return (governor,)
    return governor, "the clock follows the load: `sudo cpupower frequency-set -g performance`"


def _turbo(facts: Facts, _: Activity) -> Found:
    if facts["turbo"] is None:
        return None, "the host sets it and does not tell" if facts["hypervisor"] else ""
    if not facts["turbo"]:
        return ("off",)
    return "on", (
        "the clock depends on heat and on the other cores; steadier without: in /sys/devices/system/cpu "
        "write 0 to cpufreq/boost, or 1 to intel_pstate/no_turbo"
    )


def _siblings(facts: Facts, activity: Activity) -> Found:
    siblings = facts["smt_siblings"]
    if siblings is None:
        return (None,)
    if not siblings:
        return "none", "seen by this guest: the host may still share the core" if facts["hypervisor"] else ""
    busy = activity.sibling_percent
    state = "" if busy is None else f", {busy:.0f} % busy" if busy > _BUSY_PERCENT else ", idle"
    value = f"core {', '.join(map(str, siblings))}{state}"
    if both := set(siblings) & set(facts["cpus_used"]):
        return value, f"--cpus names two threads of one core: leave out {min(both)}"
    if busy is not None and busy > _BUSY_PERCENT:
        return value, "what runs there slows this core: stop it, or name another core with --cpus"
    return value, "keep it idle: what runs there slows this core"


def _busy(_: Facts, activity: Activity) -> Found:
    busy = activity.busy_percent
    if busy is None:
        return (None,)
    advice = "something else runs on this core: stop it, or name another core with --cpus"
    return f"{busy:.0f} % of the time", advice if busy > _BUSY_PERCENT else ""


def _quota(facts: Facts, _: Activity) -> Found:
    quota, cores = facts["cpu_quota_cores"], len(facts["cpus_used"])
    if quota is None:
        return (None,)
    if quota == "unlimited":
        return ("no limit is seen",)
    value = f"{quota:.3g} cores"
    if quota >= cores + 1:
        return (value,)
    return value, (
        f"workers (on {cores}) and the harness may use it up, and are then stopped for a part of every "
        f"period: ask for {cores + 1} cores"
    )


def _load(facts: Facts, _: Activity) -> Found:
    load, cores = facts["load_1m"], facts["logical_cores"]
    if load is None or not cores:
        return (None,)
    advice = "others are at work: wait for them, or intervals are wider than they need be"
    return f"{load:.2f} on {cores} cores", advice if load / cores > _LOAD_PER_CORE else ""


def _steal(facts: Facts, activity: Activity) -> Found:
    steal, ever = activity.steal_percent, facts["steal_percent_since_boot"]
    if steal is None or ever is None:
        return (None,)
    if ever == steal == 0 and facts["hypervisor"] is not False:
        return None, "none since the machine was started: its host may not report it"
    value = f"{steal:.1f} % of the time"
    if steal > _STEAL_PERCENT:
        return value, "the host gives the core to others: trust CPU time only, or measure at another hour"
    return (value,)


def _huge_pages(facts: Facts, _: Activity) -> Found:
    if facts["huge_pages"] != "always":
        return (facts["huge_pages"],)
    return "always", (
        "which indexes get them depends on what memory is free: launches differ; `echo madvise | sudo tee "
        "/sys/kernel/mm/transparent_hugepage/enabled`"
    )


def _battery(facts: Facts, _: Activity) -> Found:
    if facts["on_battery"] is None:
        return None, "none is seen"
    if facts["on_battery"]:
        return "in use", "processors slow down to spare it: plug in"
    return ("on mains",)


_CHECKS: dict[str, Callable[[Facts, Activity], Found]] = {
    "hypervisor": _hypervisor,
    "governor": _governor,
    "turbo": _turbo,
    "SMT sibling": _siblings,
    "core in use": _busy,
    "CPU quota": _quota,
    "load": _load,
    "steal": _steal,
    "huge pages": _huge_pages,
    "battery": _battery,
}
