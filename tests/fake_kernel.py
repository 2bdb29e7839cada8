"""A made-up /proc and /sys."""

from collections.abc import Mapping
from pathlib import Path

from ann_bench.kernel import Kernel

CPU = "sys/devices/system/cpu"


def fake_kernel(root: Path, files: Mapping[str, str]) -> Kernel:
    """Return a kernel whose files are these, and no others, by their paths below / ."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    return Kernel(root)
