"""Made-up records, complete by the schema, for tests of what reads records."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

Record = dict[str, Any]

_FIRST = datetime(2026, 11, 1, tzinfo=UTC)


def make_record(
    algorithm: str = "hnswlib",
    *,
    recall: float | None = 0.9,
    qps: float | None = 10_000.0,
    build: dict[str, Any] | None = None,
    query: dict[str, Any] | None = None,
    failure: dict[str, Any] | None = None,
    dataset: dict[str, Any] | None = None,
    metrics: dict[str, Any] | None = None,
    minutes: int = 0,
    version: str = "1.0.0",
    **changes: Any,
) -> Record:
    """Return a record of one measurement; `minutes` says how long after the first one it started."""
    data = {"name": "glove-4-angular", "distance": "angular", "n": 25_000, "dimension": 4, "queries": 1_000}
    data |= {"queries_available": 1_000} | (dataset or {})
    data.setdefault("rows_available", data["n"])
    data.setdefault("sha256", hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest())
    build, query = build or {}, query if query is not None else {"ef": recall}
    derived = {
        "recall": recall,
        "qps": qps,
        "build_s": 3.1,
        "index_bytes": 41e6,
        "qps_interval": "within launch",
    }
    derived |= {"qps_low": qps and qps * 0.97, "qps_high": qps and qps * 1.03}
    record = {
        "schema_version": 1,
        "status": "failed" if failure else "ok",
        "failure": failure,
        "problems": [],
        "dataset": data,
        "k": 10,
        "mode": "single",
        "threads": 1,
        "build_threads": 1,
        "rounds": 6,
        "algorithm": {
            "name": algorithm,
            "family": "graph",
            "library": algorithm.split("-")[0],
            "environment": "harness",
            "wrapper_sha256": "00" * 32,
        },
        "library_version": version,
        "library_digest": hashlib.sha256(version.encode()).hexdigest(),
        "environment_versions": {"python": "3.11.7"},
        "time_limits": {"build_s": 60.0, "setting_s": 2.0},
        "build": build,
        "query": query,
        "seed": 1,
        "label": "",
        "preset": "quick",
        "identity": {},
        "identity_hash": "",
        "costs": {},
        "launch_of_round": [0, 0, 0, 1, 1, 1],
        "metrics": {} if failure else derived | (metrics or {}),
        "notes": [],
        "machine": {"cpu": "Testcore 9000 @ 3.00GHz", "cores": 2, "flags": []},
        "harness": {"version": "0.1.0", "commit": "0123456789", "overhead_ns_per_query": 180.0},
        "started": (_FIRST + timedelta(minutes=minutes)).isoformat(),
    } | changes
    identity = {
        key: record[key]
        for key in ("dataset", "k", "mode", "threads", "build", "query", "label", "library_digest")
    }
    text = json.dumps([algorithm, identity], sort_keys=True)
    return record | {"identity": identity, "identity_hash": hashlib.sha256(text.encode()).hexdigest()[:12]}


def make_curve(algorithm: str, recalls: tuple[float, ...] = (0.7, 0.9, 0.99), **changes: Any) -> list[Record]:
    """Return records of one algorithm that get slower as they find more."""
    return [make_record(algorithm, recall=r, qps=1e5 * (1.02 - r), **changes) for r in recalls]


def make_failure(
    algorithm: str, kind: str = "memory", text: str = "grew past 4.0 GB", **changes: Any
) -> Record:
    """Return a record of a setting that failed while its index was built."""
    failure = {"kind": kind, "stage": "build", "text": text, "log_tail": ""}
    return make_record(algorithm, recall=None, qps=None, failure=failure, **changes)
