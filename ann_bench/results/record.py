"""What a measurement consists of, and what makes two of them the same."""

import fnmatch
import hashlib
import json
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

SCHEMA_VERSION = 1
IMPORTED = "imported"  # the label of what another benchmark measured

Record = dict[str, Any]


@dataclass(frozen=True)
class Measurement:
    """What one setting gave on one dataset at one k. `arrays` is empty if the setting failed early."""

    record: Record
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    lock: str = ""
    log: str = ""


def identity_hash(identity: dict[str, Any]) -> str:
    """Return 12 hexadecimal digits that stand for `identity`, whatever the order of its keys."""
    return hashlib.sha256(to_json(identity, sort_keys=True).encode()).hexdigest()[:12]


def newest(
    records: Iterable[Record], key: Callable[[Record], Hashable] = lambda record: record["identity_hash"]
) -> list[Record]:
    """Return per `key` the record that was started last, keys in the order of their first record.

    By default the key is the identity; `setting_of` puts the versions of a library together.
    """
    chosen: dict[Hashable, tuple[datetime, Record]] = {}
    for record in records:
        started = datetime.fromisoformat(record["started"])
        best = chosen.get(key(record))
        if best is None or started >= best[0]:
            chosen[key(record)] = (started, record)
    return [record for _, record in chosen.values()]


def setting_of(record: Record) -> str:
    """Return a key that two records share if they measure the same setting under the same label.

    Unlike the identity it leaves out what changes with time: the library's version and digest, the wrapper,
    the machine, the seed and the number of rounds.
    """
    names = ("k", "mode", "threads", "build", "query", "label")
    dataset = (record["dataset"]["sha256"], record["dataset"]["queries"])
    parts = [dataset, record["algorithm"]["name"], *(record[name] for name in names)]
    return to_json(parts, sort_keys=True)


def select(
    records: Iterable[Record],
    *,
    datasets: Sequence[str] = (),
    algorithms: Sequence[str] = (),
    k: int | None = None,
    mode: str | None = None,
    label: str | None = None,
    status: str | None = None,
) -> list[Record]:
    """Return the records that fit all that is given; `datasets` and `algorithms` are globs, one must fit."""
    wanted = {"k": k, "mode": mode, "label": label, "status": status}
    return [
        record
        for record in records
        if _matches(record["dataset"]["name"], datasets)
        and _matches(record["algorithm"]["name"], algorithms)
        and all(value is None or record[name] == value for name, value in wanted.items())
    ]


def _matches(name: str, globs: Sequence[str]) -> bool:
    return not globs or any(fnmatch.fnmatchcase(name, glob) for glob in globs)


def to_json(value: object, *, sort_keys: bool = False) -> str:
    """Return compact ASCII JSON, NumPy's scalars as numbers; with `sort_keys` equal values give equal texts.

    NaN and infinity are refused: a metric without a value is null.
    """

    def plain(thing: object) -> object:
        if isinstance(thing, np.generic):
            return thing.item()
        raise TypeError(f"a record holds {thing!r} of type {type(thing).__name__}, which JSON cannot")

    return json.dumps(value, sort_keys=sort_keys, separators=(",", ":"), allow_nan=False, default=plain)
