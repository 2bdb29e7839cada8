"""Finding measurements: the records below a folder, and a disposable SQLite copy of them."""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ann_bench.errors import ResultsError
from ann_bench.results.files import read_record
from ann_bench.results.record import SCHEMA_VERSION, Record, to_json
from ann_bench.results.schema import parse_record

INDEX_NAME = ".index.sqlite"
# The table's name carries the version: what another version left in the index is not looked at.
_TABLE = f"records_{SCHEMA_VERSION}"
_COLUMNS = "path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, record TEXT"
_CREATE = f"CREATE TABLE IF NOT EXISTS {_TABLE} ({_COLUMNS})"
_SELECT = f"SELECT path, size, mtime_ns, record FROM {_TABLE}"  # noqa: S608 - our own constant
_DELETE = f"DELETE FROM {_TABLE} WHERE path = ?"  # noqa: S608
_INSERT = f"INSERT OR REPLACE INTO {_TABLE} VALUES (?, ?, ?, ?)"  # noqa: S608


def scan(root: Path, *, on_skip: Callable[[str], None]) -> list[Record]:
    """Return every readable record below `root` in the order of their paths, with its `path` added.

    A damaged file, or one of another schema version, is passed over and named in one line to `on_skip`.
    Records are taken from `root`/.index.sqlite where path, size and modification time agree. The index is
    made if it is missing, made again if it is broken, and done without where it cannot be written.
    """
    root = Path(root)
    known = _load_index(root)
    records, fresh, seen = [], [], set()
    for path, size, mtime_ns in _files(root):
        name = path.relative_to(root).as_posix()
        record = _known_record(known.get(name), path, size, mtime_ns)
        if record is None:
            try:
                record = read_record(path)
            except ResultsError as error:
                on_skip(f"passed over {error}")
                continue
            fresh.append((name, size, mtime_ns, to_json(record)))
        seen.add(name)
        record["path"] = str(path)
        records.append(record)
    gone = known.keys() - seen
    if fresh or gone:
        _save_index(root, fresh, gone)
    return records


def _files(root: Path) -> Iterator[tuple[Path, int, int]]:
    """Yield path, size and mtime_ns of every results file below `root`, in the order of their paths."""
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(".hdf5") and not name.startswith("."):
                path = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    status = path.stat()
                    yield path, status.st_size, status.st_mtime_ns


def _known_record(row: tuple[int, int, str] | None, path: Path, size: int, mtime_ns: int) -> Record | None:
    """Return the record of a row of the index; None if there is none, it is outdated, or makes no sense."""
    if row is None or row[:2] != (size, mtime_ns):
        return None
    try:
        return parse_record(row[2], path)
    except (ResultsError, ValueError, TypeError):
        return None


def _connect(root: Path) -> contextlib.closing[sqlite3.Connection]:
    return contextlib.closing(sqlite3.connect(root / INDEX_NAME, timeout=1.0))


def _load_index(root: Path) -> dict[str, tuple[int, int, str]]:
    """Return (size, mtime_ns, record as JSON) by relative path; empty if no index can be used."""
    if not (root / INDEX_NAME).is_file():
        return {}
    try:
        with _connect(root) as index:
            rows = index.execute(_SELECT).fetchall()
            return {path: (size, mtime_ns, record) for path, size, mtime_ns, record in rows}
    except sqlite3.OperationalError:
        return {}  # busy, unreadable or without our table: not broken
    except sqlite3.DatabaseError:
        with contextlib.suppress(OSError):
            (root / INDEX_NAME).unlink()
        return {}


def _save_index(root: Path, fresh: list[tuple[str, int, int, str]], gone: Iterable[str]) -> None:
    """Bring the index up to date if that can be done: it saves time, nothing depends on it."""
    with contextlib.suppress(sqlite3.Error), _connect(root) as index, index:
        index.execute(_CREATE)
        index.executemany(_DELETE, ((path,) for path in gone))
        index.executemany(_INSERT, fresh)
