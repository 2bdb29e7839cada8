"""Reads datasets in ann-benchmarks' HDF5 layout as they are: old files, any number type, strings or bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import psutil

from ann_bench.datasets import sparse
from ann_bench.distances import DISTANCES
from ann_bench.errors import DatasetError
from ann_bench.worker.sets import Rows, Sets

# What other writers (VIBE) call our distances. Only ids are taken from a file, and those are checked:
# "normalized" is 1 - <x, y> of rows of length 1, which is what 1 - cos is for them.
_SYNONYMS = {"cosine": "angular", "normalized": "angular", "ip": "dot"}
_ARRAYS = {"train": "biuf", "test": "biuf", "neighbors": "iu"}
_ARRAYS_OF_SETS = {"train": "iu", "size_train": "iu", "test": "iu", "size_test": "iu", "neighbors": "iu"}
_OPTIONAL = {"distances": "biuf"}
_KINDS = {"biuf": "booleans, integers and floats", "iu": "integers"}
_BLOCK_BYTES = 1 << 26


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes
    ----------
    distance
        One of `distances.DISTANCES`.
    train, test
        Shapes (n, d) and (q, d), C-contiguous float32, or bool for hamming; finite; `Sets` for jaccard.
    neighbors
        Shape (q, K) int32: distinct ids, all of them rows of the file (not only of what was read of `train`).
    stored_distances
        Shape (q, K), as the file has them; None where it has none.
    rows
        Rows of `train` in the file.
    attributes
        The file's attributes and the types it stores, for provenance.
    """

    distance: str
    train: Rows
    test: Rows
    neighbors: npt.NDArray[np.int32]
    stored_distances: npt.NDArray[np.float64] | None
    rows: int
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Header:
    """What a file says about itself, without its vectors having been read."""

    distance: str
    rows: int
    dimension: int
    queries: int
    neighbors: int
    attributes: dict[str, Any]


def read_header(path: Path) -> Header:
    """Return the header of the dataset in `path`; raise `DatasetError` where it is none."""
    with _opened(path) as file:
        return _header(path, file)


def read(path: Path, rows: int | None = None) -> Contents:
    """Return the dataset in `path`, of `train` the first `rows` rows only.

    Raises
    ------
    DatasetError
        The file is no HDF5 file, is damaged, lacks something, or holds numbers that make no sense; one line
        that names the file and the numbers.
    """
    with _opened(path) as file:
        header = _header(path, file)
        _check_memory(path, header, rows)
        neighbors = file["neighbors"][...]
        _check_neighbors(path, neighbors, header.rows)
        stored = file["distances"][...].astype(np.float64) if "distances" in file else None
        read_rows = _sets if header.distance == "jaccard" else _vectors
        return Contents(
            distance=header.distance,
            train=read_rows(path, file, "train", header, rows),
            test=read_rows(path, file, "test", header, None),
            neighbors=neighbors.astype(np.int32),
            stored_distances=stored,
            rows=header.rows,
            attributes=header.attributes,
        )


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open `path`; whatever HDF5 says about it, then or while it is read, becomes a `DatasetError`."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        size = f"{path.stat().st_size:,} bytes" if path.is_file() else "no such file"
        if not path.is_file() or not h5py.is_hdf5(path):
            reason = f"is no HDF5 file ({size})"
        elif "truncated" in str(error):
            reason = f"is cut off after {size}"
        else:
            reason = f"is damaged ({size}): {str(error).splitlines()[0]}"
        raise DatasetError(f"{path}: {reason}; get it again, or name another file") from error
    except (KeyError, RuntimeError, ValueError) as error:  # h5py's, of a file whose parts do not fit
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatasetError(f"{path}: is damaged: {reason}; get it again, or name another file") from error
    except MemoryError as error:
        raise DatasetError(f"{path}: does not fit into memory; use its first rows only (--subset)") from error


def _plain(value: Any) -> Any:
    """Return an attribute as a plain Python value; MATLAB and Julia write each as an array of one."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    elif isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value


def _header(path: Path, file: h5py.File) -> Header:
    attributes = {key: _plain(value) for key, value in file.attrs.items()}
    distance = attributes.get("distance")
    if distance is None:
        raise DatasetError(f"{path}: has no attribute `distance`; it is one of {', '.join(DISTANCES)}")
    ours = _SYNONYMS.get(str(distance), distance)
    if ours not in DISTANCES:
        allowed = ", ".join((*DISTANCES, *_SYNONYMS))
        raise DatasetError(f"{path}: attribute `distance` is {distance!r}; it is one of {allowed}")
    arrays = {key: file[key] for key in file if isinstance(file.get(key), h5py.Dataset)}
    of_sets = attributes.get("type") == "sparse" or "size_train" in file
    if of_sets != (ours == "jaccard"):
        kind = "sets (sparse)" if of_sets else "dense vectors"
        raise DatasetError(
            f"{path}: attribute `distance` is {distance!r}, its rows are {kind}; sets go with jaccard, "
            "vectors with the others"
        )
    expected = _ARRAYS_OF_SETS if of_sets else _ARRAYS
    missing = [key for key in expected if key not in arrays]
    if missing:
        has = ", ".join(sorted(arrays)) or "nothing"
        raise DatasetError(f"{path}: lacks {', '.join(missing)}; the arrays that it has are: {has}")
    if "distances" in file and "distances" not in arrays:
        raise DatasetError(f"{path}: `distances` is no array; write one, or leave it out")
    for key, kinds in {**expected, **_OPTIONAL}.items():
        if key not in arrays:
            continue
        shape, dtype = arrays[key].shape or (), arrays[key].dtype
        flat = of_sets and key not in ("neighbors", "distances")
        if flat and len(shape) != 1:
            raise DatasetError(f"{path}: `{key}` has shape {shape}; of sets it has one dimension")
        if not flat and (len(shape) != 2 or 0 in shape):
            raise DatasetError(f"{path}: `{key}` has shape {shape}; it has two dimensions, neither of them 0")
        if dtype.kind not in kinds:
            raise DatasetError(f"{path}: `{key}` holds {dtype}; allowed are {_KINDS[kinds]}")
    queries, k = arrays["neighbors"].shape
    if of_sets:
        rows = len(arrays["size_train"])
        dimension = sparse.count_items((arrays["train"], arrays["test"]), attributes.get("dimension"))
        if len(arrays["size_test"]) != queries or rows == 0:
            raise DatasetError(
                f"{path}: `size_train` has {rows:,} sets, `size_test` {len(arrays['size_test']):,}, "
                f"`neighbors` {queries:,} rows; a row for each of `size_test`, and one set at least"
            )
    else:
        rows, dimension = _check_vectors(path, arrays, attributes)
    if arrays.get("distances", arrays["neighbors"]).shape != (queries, k):
        raise DatasetError(
            f"{path}: `distances` has shape {arrays['distances'].shape}, "
            f"`neighbors` {(queries, k)}; they are equal"
        )
    stored_as = {key: str(array.dtype) for key, array in arrays.items()}
    return Header(
        distance=ours,
        rows=rows,
        dimension=dimension,
        queries=queries,
        neighbors=k,
        attributes={**attributes, "stored_as": stored_as},
    )


def _check_vectors(
    path: Path, arrays: dict[str, h5py.Dataset], attributes: dict[str, Any]
) -> tuple[int, int]:
    """Return the rows of `train` and their dimension; raise `DatasetError` where shapes do not fit."""
    rows, width = arrays["train"].shape
    queries = len(arrays["neighbors"])
    if arrays["test"].shape != (queries, width):
        raise DatasetError(
            f"{path}: `test` has shape {arrays['test'].shape}; `train` has {width:,} components and "
            f"`neighbors` {queries:,} rows, so it must be {(queries, width)}"
        )
    if attributes.get("point_type") == "binary":
        dimension = attributes.get("dimension", 8 * width)
        whole = isinstance(dimension, int | float) and dimension % 1 == 0
        if not (whole and 8 * (width - 1) < dimension <= 8 * width) or arrays["train"].dtype != np.uint8:
            raise DatasetError(
                f"{path}: `dimension` is {dimension!r}, `train` has {width} {arrays['train'].dtype} a row; "
                'with point_type "binary" it has one uint8 for every eight bits'
            )
        return rows, int(dimension)
    return rows, width


def _check_memory(path: Path, header: Header, rows: int | None) -> None:
    """Raise `DatasetError` where more is to be read than the machine has memory for; allocating may work."""
    if header.distance == "jaccard":  # sets take as much as they do in the file, which could be made here
        return
    rows = min(rows or header.rows, header.rows)
    vectors = (rows + header.queries) * header.dimension * (1 if header.distance == "hamming" else 4)
    needed, memory = vectors + 4 * header.queries * header.neighbors, psutil.virtual_memory().total
    if needed > memory:
        raise DatasetError(
            f"{path}: {rows:,} rows and {header.queries:,} queries of {header.dimension:,} components are "
            f"{needed >> 20:,} MiB; this machine has {memory >> 20:,} MiB; use fewer rows (--subset)"
        )


def _check_neighbors(path: Path, neighbors: npt.NDArray[Any], rows: int) -> None:
    outside = (neighbors < 0) | (neighbors >= rows)
    if outside.any():
        query = int(outside.any(axis=1).argmax())
        raise DatasetError(
            f"{path}: `neighbors` has {int(outside.sum()):,} ids that are not in 0 to {rows - 1:,}, "
            f"the first is {neighbors[query][outside[query]][0]} of query {query}"
        )
    ordered = np.sort(neighbors, axis=1)
    repeated = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    if repeated.any():
        raise DatasetError(
            f"{path}: `neighbors` repeats an id in {int(repeated.sum()):,} of {len(neighbors):,} queries, "
            f"the first is query {int(repeated.argmax())}"
        )


def _sets(path: Path, file: h5py.File, key: str, header: Header, rows: int | None) -> Sets:
    """Return the first `rows` sets of an array."""
    try:
        return sparse.read_sets(file[key], file["size_" + key], header.dimension, rows)
    except ValueError as error:
        raise DatasetError(f"{path}: `{key}` and `size_{key}`: {error}") from error


def _vectors(
    path: Path, file: h5py.File, key: str, header: Header, rows: int | None
) -> npt.NDArray[np.generic]:
    """Return the first `rows` rows, cast once, block by block: one whole copy and one block are in memory."""
    source = file[key]
    packed_bits = header.dimension if header.attributes.get("point_type") == "binary" else None
    hamming = header.distance == "hamming"
    n = len(source) if rows is None else min(rows, len(source))
    out = np.empty((n, packed_bits or source.shape[1]), dtype=bool if hamming else np.float32)
    block = max(1, _BLOCK_BYTES // (source.shape[1] * source.dtype.itemsize))
    if source.chunks:  # whole chunks, so that none is decompressed twice
        block = -(-block // source.chunks[0]) * source.chunks[0]
    for first in range(0, n, block):
        values = source[first : min(first + block, n)]
        target = out[first : first + block]
        if packed_bits:
            target[...] = np.unpackbits(values, axis=1, count=packed_bits)
        elif hamming:
            _check(path, key, first, values, (values == 0) | (values == 1), "neither 0 nor 1")
            target[...] = values
        else:
            with np.errstate(over="ignore"):
                target[...] = values
            if values.dtype.kind == "f":
                _check(path, key, first, values, np.isfinite(target), "not finite as float32")
    return out


def _check(
    path: Path, key: str, first: int, values: npt.NDArray[Any], good: npt.NDArray[np.bool_], fault: str
) -> None:
    if not good.all():
        row, column = np.argwhere(~good)[0]
        raise DatasetError(
            f"{path}: `{key}` has {int((~good).sum()):,} values in rows from {first:,} that are {fault}; "
            f"the first is {values[row, column]} in row {first + row:,}, column {column}"
        )
