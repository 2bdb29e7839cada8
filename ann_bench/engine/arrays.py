"""Arrays as the engine takes them, C-contiguous: float32, float16, int8, uint8; bool for hamming."""

import numpy as np
import numpy.typing as npt

_NUMBERS = tuple(np.dtype(kind) for kind in (np.float32, np.float16, np.int8, np.uint8))
_BITS = (np.dtype(np.bool_),)

EngineArray = npt.NDArray[np.float32 | np.float16 | np.int8 | np.uint8 | np.bool_]


def as_engine_array(values: npt.ArrayLike, distance: str, name: str) -> EngineArray:
    """Return `values` as the engine takes them for `distance`: the same array if it fits already, or a copy.

    Parameters
    ----------
    values
        Of any shape. For hamming bool, or integers that are 0 or 1; real numbers for every other distance.
    distance
        Name of the distance.
    name
        What messages call the array.

    Raises
    ------
    TypeError
        If the dtype holds something else (text, objects, complex numbers, floats for hamming).
    ValueError
        If integers for hamming are not 0 or 1. (That floats are finite is checked by the engine.)
    """
    wanted = _BITS if distance == "hamming" else _NUMBERS
    if type(values) is np.ndarray and values.dtype in wanted and values.flags.c_contiguous:
        return values
    array = np.asarray(values)
    kind = array.dtype.kind
    if distance == "hamming":
        if kind not in "bui":
            raise TypeError(
                f"{name}: got dtype {array.dtype}; hamming takes bool, or integers that are 0 or 1"
            )
        if kind != "b" and array.size and not 0 <= array.min() <= array.max() <= 1:
            outside = array.max() if array.max() > 1 else array.min()
            raise ValueError(
                f"{name}: got the value {outside}; hamming takes bool, or integers that are 0 or 1"
            )
    elif kind not in "buif":
        raise TypeError(f"{name}: got dtype {array.dtype}; {distance} takes real numbers, used as float32")
    if distance == "hamming":
        return np.asarray(array, dtype=np.bool_, order="C")
    if array.dtype.newbyteorder("=") in _NUMBERS and array.dtype.isnative:
        return np.asarray(array, order="C")
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and the engine refuses that
        return np.asarray(array, dtype=np.float32, order="C")
