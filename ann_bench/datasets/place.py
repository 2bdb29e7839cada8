"""Puts a dataset's file into its place, by one process at a time."""

from collections.abc import Callable
from pathlib import Path

import filelock

from ann_bench.errors import DatasetError


def place(
    name: str,
    folder: Path,
    make: Callable[[Path], None],
    doing: str,
    report: Callable[[str], None],
) -> Path:
    """Return the path of dataset `name` in `folder`; where it is not there, `make` is called with its path.

    Parameters
    ----------
    name, folder
        What, and where to; the folder is made if missing.
    make
        Makes the file that it is given the path of, whole or not at all.
    doing
        What `make` does, for whoever must wait: "downloading".
    report
        Gets a line where another process must be waited for.

    Raises
    ------
    DatasetError
        The folder cannot be written to; and what `make` raises.
    """
    target = folder / f"{name}.hdf5"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / f".{name}.lock")
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            report(f"{name}: another process is {doing} it; waiting")
            lock.acquire()
        try:
            if not target.is_file():
                make(target)
        finally:
            lock.release()
    except OSError as error:
        raise DatasetError(
            f"{name}: cannot be written to {folder}: {error.strerror or error}; "
            "make room there, or point ANN_BENCH_CACHE at another folder"
        ) from error
    return target


def unfinished(target: Path) -> Path:
    """Return the path of what is not yet whole: beside its place, so that renaming it is atomic."""
    return target.with_name(f".{target.name}.part")
