"""Bytes that this process holds, from Linux's /proc where there is one."""

from __future__ import annotations

import os
import resource
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_PAGE = resource.getpagesize()


def resident_bytes() -> int | None:
    """Return the resident set size of this process."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, ValueError):
        return None


def peak_bytes() -> int:
    """Return the largest resident set since `reset_peak` (since the start where that cannot be reset)."""
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def reset_peak() -> None:
    """Make `peak_bytes` start again from what is resident now."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def touch(array: np.ndarray) -> int:
    """Read one value a page, so that a mapped array's pages are resident before anything is measured."""
    flat = array.reshape(-1).view("u1")
    return int(flat[::_PAGE].sum())


def bytes_on_disk(path: str) -> int:
    """Return the bytes of the file at `path`, or of all files of the folder."""
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(
        os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names
    )
