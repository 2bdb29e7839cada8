"""Arguments as Annoy's compiled methods take them, and the errors that they raise about others."""

import operator
import os
from array import array
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Filename = str | os.PathLike[str]


class Vector(Protocol):
    """Anything with a length and numbers at 0, 1, ..: a list, an array, a dict."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


def to_int32(value: Any) -> int:
    """Return an integer, or what stands for one, that fits 32 bits. TypeError, OverflowError."""
    number: int = operator.index(value)
    if number >= 2**31:
        raise OverflowError("signed integer is greater than maximum")
    if number < -(2**31):
        raise OverflowError("signed integer is less than minimum")
    return number


def to_count(name: str, value: int) -> int:
    """Return a number that is -1 or at least 1. TypeError, OverflowError, ValueError."""
    number = to_int32(value)
    if number < 1 and number != -1:
        raise ValueError(f"{name}: got {number}; it is 1 or more, or -1 for an automatic choice")
    return number


def to_path(fn: Filename) -> str:
    """Return a path that the system takes. TypeError, ValueError."""
    if not isinstance(fn, str | os.PathLike):
        raise TypeError(f"argument 1 must be str, not {type(fn).__name__}")
    path = os.fsdecode(fn)
    if "\0" in path:
        raise ValueError("embedded null character")
    return path


def to_vector(values: Vector, f: int) -> npt.NDArray[np.float32]:
    """Return float32 values, converted one by one as Annoy does, or all at once where that is the same.

    IndexError if there are not `f` of them, TypeError.
    """
    length = len(values)
    if length != f:
        raise IndexError(f"Vector has wrong length (expected {f}, got {length})")
    with np.errstate(over="ignore"):  # what overflows is infinite
        if type(values) is np.ndarray and values.ndim == 1 and values.dtype.kind in "fiub":
            return np.ascontiguousarray(values, dtype=np.float32)
        listed = values if isinstance(values, list | tuple) else [values[z] for z in range(f)]
        return np.frombuffer(array("d", listed)).astype(np.float32)
