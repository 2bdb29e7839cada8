"""Processes of tests: when they are there, and when they are gone."""

import time
from pathlib import Path


def wait_for(path: Path) -> str:
    """Return what is in a file, once it is there."""
    for _ in range(3000):
        if path.exists():
            return path.read_text(encoding="utf-8")
        time.sleep(0.01)
    raise AssertionError(f"{path} did not appear")


def are_gone(ids: str) -> bool:
    """Return whether none of the processes is left, or will be in a moment."""
    for _ in range(1000):
        if not any(Path("/proc", number).exists() for number in ids.split()):
            return True
        time.sleep(0.01)
    return False
