"""What Linux tells about the machine in /proc and /sys; None where it does not tell, as on other systems."""

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ticks:
    """How long a core was busy, was idle, and was held by the host while it had work, in clock ticks."""

    busy: int
    idle: int
    steal: int

    def since(self, before: "Ticks") -> "Ticks":
        """Return what was added since `before`."""
        return Ticks(self.busy - before.busy, self.idle - before.idle, self.steal - before.steal)

    @property
    def busy_percent(self) -> float | None:
        """The share of the time that the core worked for someone here; None where no tick passed."""
        return self._percent(self.busy)

    @property
    def steal_percent(self) -> float | None:
        """The share of the time that the host held the core; None where no tick passed."""
        return self._percent(self.steal)

    def _percent(self, part: int) -> float | None:
        everything = self.busy + self.idle + self.steal
        return 100 * part / everything if everything > 0 else None


@dataclass(frozen=True)
class Kernel:
    """Reads facts from the folders proc and sys below `root`; every fact may be None, which is *unknown*."""

    root: Path = Path("/")

    def cpuinfo(self, key: str) -> str | None:
        """Return the first processor's value of `key` in /proc/cpuinfo."""
        for line in (self._text("proc/cpuinfo") or "").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
        return None

    def caches(self, cpu: int) -> dict[str, str] | None:
        """Return the sizes of the core's caches by level and kind."""
        caches = {}
        for folder in sorted((self.root / _cpu(cpu) / "cache").glob("index*")):
            level, kind, size = (_read(folder / name) for name in ("level", "type", "size"))
            if level and kind and size:
                caches[f"L{level} {kind.lower()}"] = size
        return caches or None

    def governor(self, cpu: int) -> str | None:
        """Return what decides on the core's clock rate: performance, powersave, schedutil, ..."""
        return self._text(f"{_cpu(cpu)}/cpufreq/scaling_governor")

    def turbo(self, cpu: int) -> bool | None:
        """Return whether the core may run faster than its base clock; any switch that is off keeps it off."""
        on = {"1": True, "0": False}
        boosts = [
            on.get(self._text(f"{_cpu(cpu)}/cpufreq/boost") or ""),
            on.get(self._text("sys/devices/system/cpu/cpufreq/boost") or ""),
        ]
        no_turbo = on.get(self._text("sys/devices/system/cpu/intel_pstate/no_turbo") or "")
        known = [boost for boost in boosts if boost is not None]
        if no_turbo is not None:
            known.append(not no_turbo)
        return all(known) if known else None

    def smt(self) -> str | None:
        """Return "1" where cores run several hardware threads each, "0" where not."""
        return self._text("sys/devices/system/cpu/smt/active")

    def smt_siblings(self, cpu: int) -> list[int] | None:
        """Return the other hardware threads of the same core."""
        threads = _numbers(self._text(f"{_cpu(cpu)}/topology/thread_siblings_list"))
        return None if threads is None else [thread for thread in threads if thread != cpu]

    def huge_pages(self) -> str | None:
        """Return who gets transparent huge pages: always, madvise (whoever asks) or never."""
        text = self._text("sys/kernel/mm/transparent_hugepage/enabled") or ""
        chosen = [word.strip("[]") for word in text.split() if word.startswith("[")]
        return chosen[0] if chosen else None

    def ticks(self, cpu: int) -> Ticks | None:
        """Return what the core did since the machine was started."""
        for line in (self._text("proc/stat") or "").splitlines():
            name, *numbers = line.split()
            if name == f"cpu{cpu}" and len(numbers) >= 8:
                # Time in guests of this machine is counted in user and nice already.
                user, nice, system, idle, iowait, irq, softirq, steal = (int(text) for text in numbers[:8])
                return Ticks(user + nice + system + irq + softirq, idle + iowait, steal)
        return None

    def cpu_quota_cores(self) -> float | None:
        """Return how many cores' worth of time this process may use, infinity where no limit is seen.

        The smallest limit counts, of its own control group and of those above. In a container the groups
        above its own are out of sight.
        """
        limits: list[float] = []
        for line in (self._text("proc/self/cgroup") or "").splitlines():
            _, controllers, own = line.split(":", 2)
            for mount in self._cpu_mounts(controllers):
                limits += [math.inf, *(limit for group in _upwards(mount, own) if (limit := _quota(group)))]
        return min(limits, default=None)

    def _cpu_mounts(self, controllers: str) -> list[Path]:
        """Return where the control groups lie whose line names `controllers`, if those deal with the CPU."""
        mounts = self.root / "sys/fs/cgroup"
        if controllers:  # version 1
            names = {"cpu", controllers} if "cpu" in controllers.split(",") else set()
            return [path for name in sorted(names) if (path := mounts / name).is_dir()][:1]
        candidates = (mounts, mounts / "unified")
        return [path for path in candidates if "cpu" in (_read(path / "cgroup.controllers") or "").split()]

    def _text(self, path: str) -> str | None:
        return _read(self.root / path)


def _upwards(mount: Path, own: str) -> list[Path]:
    """Return the control group `own` and those above it, up to the mount.

    A container may show its own group as the mount and still name it by its place on the host; what is not
    there has no limit to read.
    """
    parts = Path(own.lstrip("/")).parts
    if ".." in parts:  # outside what this namespace shows
        return [mount]
    return [mount.joinpath(*parts[:count]) for count in range(len(parts), -1, -1)]


def _quota(group: Path) -> float | None:
    """Return a control group's limit in cores, None where it has none."""
    both = (_read(group / "cpu.max") or "").split()
    if not both:
        both = [_read(group / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period")]
    with contextlib.suppress(ValueError):  # "max", or nothing
        quota, period = (int(text) for text in both)
        if quota > 0 and period > 0:
            return quota / period
    return None


def _numbers(text: str | None) -> list[int] | None:
    """Return a list such as 0,2-4 as numbers."""
    numbers: list[int] = []
    try:
        for part in (text or "").split(","):
            first, _, last = part.partition("-")
            numbers += range(int(first), int(last or first) + 1)
    except ValueError:
        return None
    return numbers


def _cpu(number: int) -> str:
    return f"sys/devices/system/cpu/cpu{number}"


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
