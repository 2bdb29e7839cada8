"""Which measurements of two results folders belong together: those on one curve, and pairs of one setting."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ann_bench import results
from ann_bench.compare.findings import Parameters
from ann_bench.errors import InvalidComparisonError
from ann_bench.results import Record

_MOST_NAMED = 3


@dataclass(frozen=True)
class Side:
    """One of the two: how it is called, and its records as `results.scan` gives them."""

    name: str
    records: Sequence[Record]


class Curve(NamedTuple):
    """What settings must share to be compared with each other."""

    sha256: str
    dataset: str
    k: int
    mode: str
    threads: int | None
    algorithm: str

    def __str__(self) -> str:
        threads = "" if self.threads in (None, 1) else f" threads={self.threads}"
        return f"{self.algorithm} on {self.dataset} k={self.k} {self.mode}{threads}"


@dataclass(frozen=True)
class Pair:
    """One setting, measured on both sides."""

    base: Record
    new: Record

    @property
    def setting(self) -> Parameters:
        """Its build and query parameters."""
        return parameters(self.base)

    @property
    def same_queries(self) -> bool:
        """Whether as many queries were asked: a setting too slow for all gets the first of a fixed order."""
        return bool(self.base["dataset"]["queries"] == self.new["dataset"]["queries"])

    def metric(self, name: str) -> tuple[float, float] | None:
        """Return a metric of BASE and NEW, None unless both tell it."""
        base, new = (metric(record, name) for record in (self.base, self.new))
        return None if base is None or new is None else (base, new)


def metric(record: Record, name: str) -> float | None:
    """Return a metric of a record if it is a finite number."""
    value = record["metrics"].get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def curves(records: Iterable[Record]) -> dict[Curve, dict[str, Record]]:
    """Return per curve the newest record of each of its settings, by a text that stands for the setting."""
    found: dict[Curve, dict[str, Record]] = {}
    for record in results.newest(records, key=lambda record: (_curve(record), _setting(record))):
        found.setdefault(_curve(record), {})[_setting(record)] = record
    return found


def check_datasets(base: Side, new: Side) -> None:
    """Raise `InvalidComparisonError` if both have a dataset of one name, but never with the same content."""
    ours, theirs = _contents(base), _contents(new)
    for name in ours:
        if name in theirs and not ours[name].keys() & theirs[name].keys():
            raise InvalidComparisonError(
                f"{name} is not the same dataset on both sides: "
                f"BASE has {listed(ours[name].values())}; NEW has {listed(theirs[name].values())}; "
                "measure both on the same, or choose another with --dataset"
            )


def parameters(record: Record) -> Parameters:
    """Return the build and query parameters of a record."""
    return dict(record["build"] | record["query"])


def as_typed(setting: Mapping[str, Any]) -> str:
    """Return parameters as one types them: "M=16 ef=40"; "no parameters" if there are none."""
    return " ".join(f"{name}={held}" for name, held in setting.items()) or "no parameters"


def listed(items: Iterable[object]) -> str:
    """Return the first few items and how many more there are; "none" without any."""
    texts = list(map(str, items))
    rest = len(texts) - _MOST_NAMED
    return "; ".join(texts[:_MOST_NAMED]) + (f"; and {rest} more" if rest > 0 else "") or "none"


def _curve(record: Record) -> Curve:
    data = record["dataset"]
    return Curve(
        sha256=data["sha256"],
        dataset=data["name"],
        k=record["k"],
        mode=record["mode"],
        threads=record["threads"],
        algorithm=record["algorithm"]["name"],
    )


def _setting(record: Record) -> str:
    return json.dumps([record["build"], record["query"]], sort_keys=True)


def _contents(side: Side) -> dict[str, dict[str, str]]:
    """Return per name of a dataset its contents in words, by their sha256."""
    found: dict[str, dict[str, str]] = {}
    for record in side.records:
        data = record["dataset"]
        text = f"{data['n']:,} rows, {data['queries']:,} queries, sha256 {data['sha256'][:12]}"
        found.setdefault(data["name"], {}).setdefault(data["sha256"], text)
    return found
