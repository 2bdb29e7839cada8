"""Instructions that this process retires in user space, where Linux lets it count them (perf_event_open)."""

from __future__ import annotations

import ctypes
import os
import platform
import struct

_SYSTEM_CALLS = {"x86_64": 298, "aarch64": 241}
_ATTRIBUTES = 112  # bytes of struct perf_event_attr since Linux 4.1
_HARDWARE = 0
_RETIRED = 1
_INHERITED, _NOT_KERNEL, _NOT_HYPERVISOR = 1 << 1, 1 << 5, 1 << 6
_CLOSED_ON_EXEC = 8


class Instructions:
    """A count of this process's instructions, its later threads included, where the machine has one."""

    def __init__(self) -> None:
        self._fd = _opened()

    def read(self) -> int | None:
        """Return the instructions so far, None where they are not counted."""
        return None if self._fd < 0 else int(struct.unpack("Q", os.read(self._fd, 8))[0])


def _opened() -> int:
    """Return a descriptor of the counter, below 0 where the machine has none or does not let us."""
    number = _SYSTEM_CALLS.get(platform.machine())
    if number is None or platform.system() != "Linux":
        return -1
    flags = _INHERITED | _NOT_KERNEL | _NOT_HYPERVISOR
    attributes = struct.pack("<IIQQQQQ", _HARDWARE, _ATTRIBUTES, _RETIRED, 0, 0, 0, flags)
    try:
        call = ctypes.CDLL(None, use_errno=True).syscall
    except (OSError, AttributeError):
        return -1
    return int(call(number, attributes.ljust(_ATTRIBUTES, b"\0"), 0, -1, -1, _CLOSED_ON_EXEC))
