"""Arrays as the engine takes them, C-contiguous: float32, float16, int8, uint8; bool for bits."""

import numpy as np
import numpy.typing as npt

_NUMBERS = tuple(np.dtype(kind) for kind in (np.float32, np.float16, np.int8, np.uint8))
_BITS = (np.dtype(np.bool_),)

BIT_DISTANCES = ("hamming", "jaccard")
"""Those of bits; for jaccard, of which items are in a set."""

EngineArray = npt.NDArray[np.float32 | np.float16 | np.int8 | np.uint8 | np.bool_]


def as_engine_array(values: npt.ArrayLike, distance: str, name: str) -> EngineArray:
    """Return `values` as the engine takes them for `distance`: the same array if it fits already, or a copy.

    Parameters
    ----------
    values
        Of any shape. For hamming and jaccard bool, or integers that are 0 or 1; real numbers for every other
        distance.
    distance
        Name of the distance.
    name
        What messages call the array.

    Raises
    ------
    TypeError
        If the dtype holds something else (text, objects, complex numbers, floats for bits).
    ValueError
        If integers for bits are not 0 or 1. (That floats are finite is checked by the engine.)
    """
    bits = distance in BIT_DISTANCES
    wanted = _BITS if bits else _NUMBERS
    if type(values) is np.ndarray and values.dtype in wanted and values.flags.c_contiguous:
        return values
    array = np.asarray(values)
    kind = array.dtype.kind
    if bits:
        if kind not in "bui":
            raise TypeError(
                f"{name}: got dtype {array.dtype}; {distance} takes bool, or integers that are 0 or 1"
            )
        if kind != "b" and array.size and not 0 <= array.min() <= array.max() <= 1:
            outside = array.max() if array.max() > 1 else array.min()
            raise ValueError(
                f"{name}: got the value {outside}; {distance} takes bool, or integers that are 0 or 1"
            )
    elif kind not in "buif":
        raise TypeError(f"{name}: got dtype {array.dtype}; {distance} takes real numbers, used as float32")
    if bits:
        return np.asarray(array, dtype=np.bool_, order="C")
    if array.dtype.newbyteorder("=") in _NUMBERS and array.dtype.isnative:
        return np.asarray(array, order="C")
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and the engine refuses that
        return np.asarray(array, dtype=np.float32, order="C")


def as_row_numbers(rows: npt.ArrayLike, count: int, name: str) -> npt.NDArray[np.uint32]:
    """Return row numbers of an index of `count` rows, given as such or as a bool array of shape (count,).

    Raises
    ------
    TypeError
        If these are neither integers nor bool.
    ValueError
        If the shape is another, or there is no such row.
    """
    array = np.asarray(rows)
    if array.dtype == np.bool_:
        if array.shape != (count,):
            raise ValueError(f"{name}: got bool of shape {array.shape}; it is of shape ({count},)")
        return np.flatnonzero(array).astype(np.uint32)
    if array.size == 0:
        return np.empty(0, dtype=np.uint32)
    if array.dtype.kind not in "ui":
        raise TypeError(f"{name}: got dtype {array.dtype}; it is row numbers, or bool of shape ({count},)")
    if array.ndim > 1:
        raise ValueError(f"{name}: got shape {array.shape}; row numbers have one axis")
    if array.min() < 0 or array.max() >= count:
        wrong = array.min() if array.min() < 0 else array.max()
        raise ValueError(f"{name}: got row {wrong}; the index has rows 0 to {count - 1}")
    return np.atleast_1d(array).astype(np.uint32)


def as_row_bits(rows: npt.ArrayLike, count: int, name: str) -> npt.NDArray[np.uint64]:
    """Return a bit for each row of an index of `count` rows, in words; see `as_row_numbers`."""
    array = np.asarray(rows)
    if array.dtype != np.bool_ or array.shape != (count,):
        mask = np.zeros(count, dtype=np.bool_)
        mask[as_row_numbers(array, count, name)] = True
        array = mask
    words = np.zeros((count + 63) // 64, dtype="<u8")
    packed = np.packbits(array, bitorder="little")
    words.view(np.uint8)[: len(packed)] = packed
    return words
