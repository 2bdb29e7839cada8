"""Downloads a dataset: mirrors in order, whole and checked or not at all."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Self

import h5py
import pooch
import requests
from rich.progress import DownloadColumn

from ann_bench import __version__
from ann_bench.datasets.catalog import Entry
from ann_bench.datasets.place import place, unfinished
from ann_bench.datasets.progress import progress_bar
from ann_bench.errors import DatasetError

_CHUNK_BYTES = 1 << 18
# The content network in front of ann-benchmarks.com refuses the default agents of Python's HTTP libraries.
_HEADERS = {"User-Agent": f"Mozilla/5.0 (compatible; ann_bench/{__version__})", "Accept-Encoding": "identity"}


def download(
    name: str,
    entry: Entry,
    folder: Path,
    *,
    progress: bool = False,
    timeout_s: float = 60.0,
    report: Callable[[str], None] = lambda _line: None,
) -> Path:
    """Return the path of dataset `name` in `folder`, downloading it if it is not there.

    The file is written beside its place, its size and checksum are compared with the catalogue's (or with
    the checksum that the first download left in NAME.sha256), and only then it gets its name. A transfer
    that breaks off leaves nothing behind, and the next mirror starts from nothing. One process downloads a
    dataset at a time, the others wait.

    Parameters
    ----------
    name, entry
        What to get, from the catalogue.
    folder
        Where to; made if missing.
    progress
        Whether to draw a progress bar (on stderr).
    timeout_s
        Longest time without a byte before a mirror is given up.
    report
        Gets a line where another process must be waited for.

    Raises
    ------
    DatasetError
        No mirror gave the right file: every URL that was tried, and why it failed.
    """
    return place(
        name,
        folder,
        lambda target: _from_mirrors(name, entry, target, progress, timeout_s),
        "downloading",
        report,
    )


def _from_mirrors(name: str, entry: Entry, target: Path, progress: bool, timeout_s: float) -> None:
    """Make `target` from the first mirror that has the right file."""
    record = target.with_suffix(".sha256")
    recorded = _recorded(record)
    partial = unfinished(target)
    failures = []
    for url in entry.urls:
        try:
            sha256 = _fetch(url, name, entry, partial, progress, timeout_s)
            _check(partial, sha256, entry, recorded, record)
            if entry.sha256 is None and recorded is None:
                new = unfinished(record)
                new.write_text(f"{sha256}  {target.name}\n", encoding="ascii")
                new.replace(record)
            partial.replace(target)
        except (requests.RequestException, _RefusedError) as error:
            failures.append(f"  {url}: {_reason(error, timeout_s)}")
        else:
            return
        finally:
            partial.unlink(missing_ok=True)
    advice = (
        f"Try again later, or put {target.name} into {target.parent} or a folder named in ANN_BENCH_DATA."
    )
    raise DatasetError("\n".join([f"{name}: no mirror gave the file:", *failures, advice]))


def _recorded(record: Path) -> str | None:
    """Return the checksum that the first download left; None where there is none that can be read."""
    found = re.match(rb"[0-9a-f]{64}\b", record.read_bytes()) if record.is_file() else None
    return found[0].decode() if found else None


class _RefusedError(Exception):
    """What came is not the file that was asked for."""


def _fetch(url: str, name: str, entry: Entry, partial: Path, progress: bool, timeout_s: float) -> str:
    """Write what `url` sends to `partial`, and return its sha256."""
    with partial.open("wb") as file, _Transfer(name, file, entry.size, progress) as transfer:
        fetch = pooch.HTTPDownloader(
            progressbar=transfer, chunk_size=_CHUNK_BYTES, headers=_HEADERS, timeout=(timeout_s, timeout_s)
        )
        fetch(url, transfer, None)
        file.flush()
        os.fsync(file.fileno())
        return transfer.sha256


def _check(partial: Path, sha256: str, entry: Entry, recorded: str | None, record: Path) -> None:
    """Raise `_RefusedError` unless the file that came is the right one."""
    size = partial.stat().st_size
    if entry.size is not None and size != entry.size:
        raise _RefusedError(f"sent {size:,} bytes; the file has {entry.size:,}")
    if entry.sha256 is not None and sha256 != entry.sha256:
        raise _RefusedError(f"sent a file with sha256 {sha256}; the catalogue has {entry.sha256}")
    if entry.sha256 is None and recorded is not None and sha256 != recorded:
        raise _RefusedError(
            f"sent a file with sha256 {sha256}; the first download had {recorded} "
            f"(delete {record} if the publisher has changed the file)"
        )
    try:
        h5py.File(partial, "r").close()
    except OSError:
        with partial.open("rb") as file:
            start = file.read(24)
        raise _RefusedError(f"sent {size:,} bytes, no whole HDF5 file (they begin {start!r})") from None


def _reason(error: Exception, timeout_s: float) -> str:
    """Return in a few words why a mirror failed."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
        return f"sent nothing for {timeout_s:g} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return f"broke off: {error}"
    if isinstance(error, requests.ConnectionError):
        return f"cannot be reached: {error}"
    return str(error)


class _Transfer:
    """What pooch writes to and reports to: file, checksum, size limit and progress bar in one."""

    def __init__(self, name: str, file: BinaryIO, size: int | None, progress: bool) -> None:
        self._file = file
        self._size = size
        self._digest = hashlib.sha256()
        self.received = 0
        self._bar = progress_bar(DownloadColumn(), shown=progress)
        self._task = self._bar.add_task(name, total=size)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    @property
    def sha256(self) -> str:
        """Hex digest of what was received."""
        return self._digest.hexdigest()

    @property
    def total(self) -> int | None:
        """Bytes announced by the server (0: not announced); a wrong number is refused before the transfer."""
        return self._size

    @total.setter
    def total(self, announced: int) -> None:
        if announced and self._size is not None and announced != self._size:
            raise _RefusedError(f"has a file of {announced:,} bytes; the file has {self._size:,}")
        self._bar.update(self._task, total=announced or self._size)

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self.received += len(data)
        if self._size is not None and self.received > self._size:
            raise _RefusedError(f"sent more than the {self._size:,} bytes of the file")
        self._file.write(data)
        self._digest.update(data)
        self._bar.update(self._task, completed=self.received)

    def flush(self) -> None:
        """Do nothing: pooch asks for it after every chunk; the file is flushed once, at its end."""

    def update(self, _: int) -> None:
        """Do nothing: `write` counts."""

    def reset(self) -> None:
        """Do nothing: `write` counts."""

    def close(self) -> None:
        """Do nothing: whoever opened the file closes it."""
