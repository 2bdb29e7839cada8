"""The history: one JSON line for each run, in `history.jsonl` beside the measurements.

A measurement is a file and may be deleted; what a run found stays here as a line. No line is ever rewritten.
`results/README.md` describes them for their readers.
"""

import errno
import json
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from filelock import FileLock
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

import ann_bench
from ann_bench import frontier
from ann_bench.environments import ENGINE
from ann_bench.errors import ResultsError
from ann_bench.results import Record, identity_hash
from ann_bench.results.record import to_json
from ann_bench.results.schema import Text, instant, what_is_wrong

FILE_NAME = "history.jsonl"
SCHEMA_VERSION: Final = 1
TARGETS = (0.9, 0.95, 0.99)
_LOCK_NAME = ".history.lock"
_LOCK_SECONDS = 10.0
# What may differ between two measurements of one setting that are to be compared; all else has to agree.
_OF_A_STATE = ("wrapper", "library", "cpu", "label", "seed", "rounds")

Instant = Annotated[str, AfterValidator(instant)]
Positive = Annotated[float, Field(gt=0)]


class _Part(BaseModel):
    """What is named must be there, of its type; what a later version adds is kept."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", allow_inf_nan=False)


class Speed(_Part):
    """Queries per second at a recall, and the ends of their 95 % interval where it is known."""

    qps: Positive
    low: Positive | None
    high: Positive | None


class State(_Part):
    """What one algorithm was and reached in a run.

    Attributes
    ----------
    library, library_version, library_digest
        What was measured; two builds of one version differ in the digest.
    state
        What stands along the trend: the commit for the built-in engine, else the version.
    measured
        When the newest of the measurements behind the numbers was started: a run that finds all of them done
        tells the same numbers again, and they count once. None where they are the run's own.
    settings
        Stands for the settings and how they were measured: numbers of different settings do not compare.
    qps_at
        By recall ("0.95"), read off the frontier; None where it is not reached.
    """

    library: Text
    library_version: Text
    library_digest: Text
    state: Text
    measured: Instant | None = None
    settings: Text = ""
    qps_at: dict[Text, Speed | None]


class Dataset(_Part):
    """Which data."""

    name: Text
    sha256: Text
    distance: Text


class Harness(_Part):
    """What measured: the version of ann_bench, and the commit it ran from."""

    version: Text
    commit: Text | None


class Entry(_Part):
    """One run: a sweep, or a comparison of NEW with BASE, whose `algorithms` are those of NEW.

    Attributes
    ----------
    when
        When the run ended; ISO 8601, UTC.
    change, interval
        Of a comparison: qps of NEW over that of BASE at equal recall, as a ratio (1.03: 3 % more queries per
        second), and the ends of its interval; None where there is no estimate.
    verdict
        Of a comparison: pass, regression, inconclusive, invalid.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    when: Instant
    kind: Literal["sweep", "comparison"]
    dataset: Dataset
    k: int
    mode: Text
    threads: int | None = None
    cpu: Text
    harness: Harness
    label: Text = ""
    preset: Text = ""
    algorithms: dict[Text, State]
    verdict: Annotated[Text | None, Field(validate_default=True)] = None
    change: Positive | None = None
    interval: Annotated[list[Positive], Field(min_length=2, max_length=2)] | None = None

    @field_validator("verdict")
    @classmethod
    def _of_a_comparison(cls, verdict: str | None, others: ValidationInfo) -> str | None:
        if verdict is None and others.data.get("kind") == "comparison":
            raise ValueError("a comparison has one")
        return verdict


def append(results_folder: Path, entry: Entry) -> None:
    """Add `entry` to the history of a results folder: a whole line, on disk, or nothing.

    Raises
    ------
    ResultsError
        If it cannot be written; the history is as it was then.
    """
    path = Path(results_folder) / FILE_NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(_LOCK_NAME), timeout=_LOCK_SECONDS):
            _append(path, to_json(entry.model_dump()).encode())
    except OSError as error:
        reason = error.strerror or str(error)
        raise ResultsError(f"{path}: cannot add this run's line: {reason}; measurements are kept") from error


def _append(path: Path, line: bytes) -> None:
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(file).st_size
        # Whoever died in the middle of a line must not take this one along.
        torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
        data = b"\n" * torn + line + b"\n"
        if os.write(file, data) < len(data):
            os.ftruncate(file, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file)
    finally:
        os.close(file)


def read(results_folder: Path, *, on_skip: Callable[[str], None]) -> list[Entry]:
    """Return the entries of a results folder's history in the order of the file; none if there is no file.

    A line that is damaged, or of another schema version, is passed over, and named in one line to `on_skip`.

    Raises
    ------
    ResultsError
        If there is a file that cannot be read.
    """
    path = Path(results_folder) / FILE_NAME
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror or error}") from error
    entries = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                entries.append(_parse(line))
            except ValidationError as error:
                on_skip(f"passed over {path}:{number}: the line {what_is_wrong(error)}")
            except (ValueError, RecursionError) as error:
                on_skip(f"passed over {path}:{number}: {error}")
    return entries


def _parse(line: bytes) -> Entry:
    try:
        value = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"damaged, no JSON ({str(error)[:60]})") from error
    if not isinstance(value, dict):
        raise ValueError(f"a {type(value).__name__}, not a mapping")  # noqa: TRY004 - of a line, not of an argument
    version = value.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema_version is {version!r:.20}, this ann_bench reads {SCHEMA_VERSION}")
    return Entry.model_validate(value)


def sweep_entry(records: Sequence[Record], *, preset: str, commit: str | None) -> Entry:
    """Return the entry of a sweep that ends now.

    Parameters
    ----------
    records
        All that it measured or found measured: of one dataset, k, mode, label and processor; at least one.
    preset
        What it was asked for.
    commit
        The commit that the harness runs from, if it is known.
    """
    by_algorithm: dict[str, list[Record]] = {}
    for record in records:
        by_algorithm.setdefault(record["algorithm"]["name"], []).append(record)
    first = records[0]
    return Entry(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        kind="sweep",
        dataset=Dataset(**{name: first["dataset"][name] for name in ("name", "sha256", "distance")}),
        k=first["k"],
        mode=first["mode"],
        threads=first["threads"],
        cpu=str(first["machine"].get("cpu") or "unknown processor"),
        harness=Harness(version=ann_bench.__version__, commit=commit),
        label=first["label"],
        preset=preset,
        algorithms={name: _state(group) for name, group in sorted(by_algorithm.items())},
    )


def _state(records: Sequence[Record]) -> State:
    """Return the state of one algorithm, all of whose measurements are `records`."""
    newest = max(records, key=lambda record: datetime.fromisoformat(record["started"]))
    library, version = newest["algorithm"]["library"], newest["library_version"]
    commit = newest["harness"]["commit"] if library == ENGINE else None
    asked = [
        {name: part for name, part in record["identity"].items() if name not in _OF_A_STATE}
        for record in records
    ]
    return State(
        library=library,
        library_version=version,
        library_digest=newest["library_digest"],
        state=commit or version,
        measured=newest["started"],
        settings=identity_hash({"settings": sorted(to_json(setting, sort_keys=True) for setting in asked)}),
        qps_at={str(target): _speed(records, target) for target in TARGETS},
    )


def _speed(records: Sequence[Record], target: float) -> Speed | None:
    recall, qps, low, high = (
        [record["metrics"].get(name) if record["status"] == "ok" else None for record in records]
        for name in ("recall", "qps", "qps_low", "qps_high")
    )
    answers = max(record["dataset"]["queries"] * record["k"] for record in records)
    common: dict[str, Any] = {"answers": answers, "along": qps}
    at_target = frontier.interpolate(recall, qps, target, **common)
    if at_target is None:
        return None
    return Speed(
        qps=at_target,
        low=frontier.interpolate(recall, low, target, **common),
        high=frontier.interpolate(recall, high, target, **common),
    )
