"""Made-up entries of a history, for tests of what writes and reads it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from ann_bench.history import Dataset, Entry, Harness, Speed, State

_FIRST = datetime(2026, 10, 1, 9, 30, tzinfo=UTC)


def make_state(qps: float | None = 10_000.0, *, state: str = "1.0.0", **changes: Any) -> State:
    """Return the state of an algorithm that answers `qps` at each recall, give or take 2 %."""
    speed = None if qps is None else Speed(qps=qps, low=qps * 0.98, high=qps * 1.02)
    given = {
        "library": "hnswlib",
        "library_version": state,
        "library_digest": "ab" * 32,
        "state": state,
        "qps_at": dict.fromkeys(("0.9", "0.95", "0.99"), speed),
    }
    return State(**(given | changes))


def make_entry(algorithms: dict[str, State] | None = None, *, days: int = 0, **changes: Any) -> Entry:
    """Return the entry of a sweep, `days` after the first."""
    given = {
        "when": (_FIRST + timedelta(days=days)).isoformat(),
        "kind": "sweep",
        "dataset": Dataset(name="glove-4-angular", sha256="5a" * 32, distance="angular"),
        "k": 10,
        "mode": "single",
        "threads": 1,
        "cpu": "Testcore 9000 @ 3.00GHz",
        "harness": Harness(version="0.1.0", commit="0123456789ab"),
        "preset": "quick",
        "algorithms": algorithms or {"hnswlib": make_state()},
    }
    return Entry(**(given | changes))


def noisy(levels: Sequence[float], *, noise: float = 0.01, seed: int = 0) -> list[float]:
    """Return qps around `levels`, with log-normal noise."""
    return list(np.asarray(levels) * np.exp(noise * np.random.default_rng(seed).standard_normal(len(levels))))


def make_history(qps: Sequence[float | None], name: str = "hnswlib", **changes: Any) -> list[Entry]:
    """Return an entry a day for one algorithm, each run of another version."""
    return [
        make_entry({name: make_state(value, state=f"1.{i}.0")}, days=i, **changes)
        for i, value in enumerate(qps)
    ]
