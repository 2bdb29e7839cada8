"""A memory limit that the kernel keeps, where cgroup v2 lets us make a group; elsewhere the watch does."""

import contextlib
import os
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")


class MemoryGroup:
    """A cgroup v2 of its own for one worker, with a memory limit and no swap."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def make(
        cls, name: str, limit_bytes: int, *, mount: Path = _MOUNT, own: str | None = None
    ) -> "MemoryGroup | None":
        """Return a new group, or None where that cannot be had.

        It is made below our own or beside it, whichever hands the memory controller down and may be written.
        """
        own = _own_group() if own is None else own
        if own is None:
            return None
        here = mount / own.lstrip("/")
        for parent in (here, here.parent):
            if parent != mount.parent and (folder := _make_in(parent, name, limit_bytes)):
                return cls(folder)
        return None

    @property
    def procs(self) -> Path:
        """The file that a process writes its id to in order to join."""
        return self._folder / "cgroup.procs"

    def killed(self) -> bool:
        """Whether the kernel ended a process of the group for its memory."""
        with contextlib.suppress(OSError):
            events = dict(line.split() for line in (self._folder / "memory.events").read_text().splitlines())
            return int(events.get("oom_kill", 0)) > 0
        return False

    def remove(self) -> None:
        """Remove the group; its processes are gone by then."""
        with contextlib.suppress(OSError):
            self._folder.rmdir()


def _own_group() -> str | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::"):
                return line[3:]
    return None


def _make_in(parent: Path, name: str, limit_bytes: int) -> Path | None:
    folder = parent / name
    try:
        if "memory" not in (parent / "cgroup.subtree_control").read_text().split():
            return None
        if not os.access(parent / "cgroup.procs", os.W_OK):
            return None
        folder.mkdir()
        (folder / "memory.max").write_text(str(limit_bytes))
        with contextlib.suppress(OSError):  # a kernel without swap accounting
            (folder / "memory.swap.max").write_text("0")
    except OSError:
        with contextlib.suppress(OSError):
            folder.rmdir()
        return None
    return folder
