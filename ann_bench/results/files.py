"""One HDF5 file per measurement: written whole or not at all, never overwritten."""

import contextlib
import errno
import hashlib
import itertools
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from ann_bench.errors import ResultsError
from ann_bench.results.record import SCHEMA_VERSION, Measurement, Record, identity_hash, to_json
from ann_bench.results.schema import parse_record

_DTYPES = {"neighbors": np.int32, "distances": np.float32}  # every other array is int64
_TEXTS = ("lock", "log")
_LINKS_UNSUPPORTED = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV}
_CHUNK_BYTES = 4 << 20
_STALE_SECONDS = 3600.0


def write(measurement: Measurement, root: Path) -> Path:
    """Return the path of a new file that holds `measurement`, complete and on disk.

    Nothing is ever overwritten: a further measurement of the same identity becomes HASH.2.hdf5 and so on.
    `schema_version` and `identity_hash` of the record are set here. Arrays are stored as int32 (`neighbors`),
    float32 (`distances`) or int64 (all others).

    Raises
    ------
    ResultsError
        If the record lacks a part or has a wrong one, or the file cannot be written (the disk is full, no
        permission). Nothing of it is left then.
    """
    digest = identity_hash(measurement.record.get("identity", {}))
    record = {**measurement.record, "schema_version": SCHEMA_VERSION, "identity_hash": digest}
    parse_record(to_json(record), Path(digest))
    folder = _folder(record, Path(root))
    temporary = folder / f".{digest}.{uuid.uuid4().hex}.tmp"
    image = _image(record, measurement, name=temporary.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder)
        try:
            _write_through(temporary, image)
            return _place(temporary, folder, digest)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ResultsError(_cannot_write(folder, len(image), error)) from error


def read(path: Path) -> Measurement:
    """Return the measurement stored at `path`, arrays and texts included.

    Raises
    ------
    ResultsError
        If the file is not there, damaged, or of another schema version.
    """
    with _opened(path) as file:
        record = _record(file, path)
        arrays = {name: file[name][()] for name in file if name not in _TEXTS}
        lock, log = (file[name][()].tobytes().decode("utf-8", "surrogatepass") for name in _TEXTS)
        return Measurement(record, arrays, lock, log)


def read_record(path: Path) -> Record:
    """Return the record stored at `path` without reading anything else of the file; raises as `read` does."""
    with _opened(path) as file:
        return _record(file, path)


def path_part(name: str) -> str:
    """Return `name` as one part of a path: ASCII, no separator, no leading dot, at most 100 characters.

    A name that had to be changed gets eight digits of its hash, so that different names stay different.
    """
    plain = re.sub(r"[^A-Za-z0-9._+-]", "_", name)
    plain = re.sub(r"^[.]+", "_", plain)[:91]
    if plain and plain == name:
        return plain
    return f"{plain}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _folder(record: Record, root: Path) -> Path:
    algorithm, dataset = record["algorithm"]["name"], record["dataset"]["name"]
    return (
        root / path_part(dataset) / str(int(record["k"])) / path_part(record["mode"]) / path_part(algorithm)
    )


def _image(record: Record, measurement: Measurement, *, name: str) -> bytes:
    """Return the bytes of the HDF5 file, made in memory so that a full disk is met by one plain write.

    `record` may be of any size: h5py stores a str as variable-length, outside the attribute's 64 KiB. The
    file format is that of HDF5 1.10, the first with checksums on its own structures (and less of them).
    """
    with h5py.File(name, "w", driver="core", backing_store=False, libver=("v110", "v110")) as file:
        file.attrs["schema_version"] = SCHEMA_VERSION
        file.attrs["record"] = to_json(record)
        with np.errstate(over="ignore"):  # a distance beyond float32 is stored as infinity
            arrays = {
                key: np.asarray(array).astype(_DTYPES.get(key, np.int64))
                for key, array in measurement.arrays.items()
            }
        for key in _TEXTS:
            text: str = getattr(measurement, key)
            arrays[key] = np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)
        for key, array in arrays.items():
            if array.size == 0:
                file.create_dataset(key, data=array)
                continue
            rows = max(1, _CHUNK_BYTES * len(array) // array.nbytes)
            chunks = (min(rows, len(array)), *array.shape[1:])
            file.create_dataset(
                key, data=array, chunks=chunks, shuffle=True, compression="gzip", compression_opts=1
            )
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


def _write_through(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _place(temporary: Path, folder: Path, digest: str) -> Path:
    """Give the file the first free name, in one step that fails if another process took it meanwhile."""
    for number in itertools.count(1):
        path = folder / (f"{digest}.hdf5" if number == 1 else f"{digest}.{number}.hdf5")
        try:
            os.link(temporary, path)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno not in _LINKS_UNSUPPORTED:
                raise
            # No hard links here (exFAT, some network mounts): claim the name, then move the file onto it.
            try:
                path.touch(exist_ok=False)
            except FileExistsError:
                continue
            temporary.replace(path)
        break
    directory = os.open(folder, os.O_RDONLY)
    with contextlib.suppress(OSError):  # a file system that cannot: the file is in place nevertheless
        os.fsync(directory)
    os.close(directory)
    return path


def _remove_stale(folder: Path) -> None:
    """Remove what a writer that was killed left behind an hour ago or earlier."""
    for temporary in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - temporary.stat().st_mtime > _STALE_SECONDS:
                temporary.unlink()


def _cannot_write(folder: Path, size: int, error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        existing = next((parent for parent in (folder, *folder.parents) if parent.exists()), Path())
        free = shutil.disk_usage(existing).free
        reason += f" ({size:,} bytes to write, {free:,} free)"
    return (
        f"{folder}: cannot write a measurement: {reason}; make room or name another folder with --results DIR"
    )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open a results file; whatever HDF5 raises on a damaged one becomes one clear error."""
    try:
        # A file never changes once it is there, so no lock is needed (and some network mounts have none).
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except FileNotFoundError as error:
        raise ResultsError(f"{path}: no such file; `ann-bench results list` shows what there is") from error
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ResultsError(
            f"{path}: damaged, or not a results file ({reason}); if it is one, measure again"
        ) from error


def _record(file: h5py.File, path: Path) -> Record:
    """Return the record, checked."""
    version = int(file.attrs["schema_version"])
    if version != SCHEMA_VERSION:
        raise ResultsError(
            f"{path}: schema_version is {version}, this ann_bench reads {SCHEMA_VERSION};"
            " read it with the version that wrote it, or measure again"
        )
    return parse_record(file.attrs["record"], path)
