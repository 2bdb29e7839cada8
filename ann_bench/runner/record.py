"""From what a job gathered to a measurement that can be written."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

import ann_bench
from ann_bench import metrics, results
from ann_bench.datasets import Dataset
from ann_bench.distances import distances_to
from ann_bench.paths import PACKAGE, in_clone
from ann_bench.runner.built import Built
from ann_bench.runner.plan import Request
from ann_bench.runner.tally import Tally


@dataclass(frozen=True)
class Frame:
    """What all measurements of one sweep share."""

    request: Request
    truth: metrics.Truth
    machine: Mapping[str, Any]
    overhead_ns_per_query: float | None
    commit: str | None
    started: str


def make_frame(request: Request, machine: Mapping[str, Any], overhead_ns_per_query: float | None) -> Frame:
    """Return the frame of a sweep that starts now."""
    return Frame(
        request=request,
        truth=metrics.Truth.of(request.dataset),
        machine=machine,
        overhead_ns_per_query=overhead_ns_per_query,
        commit=harness_commit(),
        started=datetime.now(UTC).isoformat(timespec="microseconds"),
    )


def measurement(frame: Frame, built: Built, tally: Tally) -> results.Measurement:
    """Return the measurement of one setting, its distances recomputed and its metrics derived."""
    request, job = frame.request, built.job
    dataset = request.dataset
    # A setting that failed half-way keeps the rounds that it finished.
    asked = built.place.query_order[: tally.queries]
    arrays = _arrays(dataset, tally, asked) if tally.rounds else {}
    record: dict[str, Any] = {
        "schema_version": results.SCHEMA_VERSION,
        "status": "failed" if tally.failure else "ok",
        "failure": tally.failure,
        "problems": [
            {"kind": kind, "text": text} for kind, text in {**built.problems, **tally.problems}.items()
        ],
        "dataset": {
            "name": dataset.name,
            "sha256": dataset.sha256,
            "distance": dataset.distance,
            "n": dataset.n,
            "rows_available": dataset.rows_available,
            "dimension": dataset.dimension,
            "queries": tally.queries or len(dataset.test),
            "queries_available": dataset.queries_available,
        },
        "k": request.k,
        "mode": request.mode,
        "threads": request.threads,
        "build_threads": request.threads,
        "rounds": tally.rounds or request.rounds,
        "algorithm": {
            "name": job.algorithm.name,
            "family": job.algorithm.family,
            "library": job.algorithm.library,
            "environment": job.algorithm.environment,
            "wrapper_sha256": job.wrapper_sha256,
        },
        "library_version": job.library_version,
        "library_digest": job.library_digest,
        "environment_versions": built.hello.get("versions", {}),
        "library_build": built.hello.get("build_info", {}),
        "build": job.build,
        "query": tally.setting.query,
        "seed": request.seed,
        "label": request.label,
        "preset": request.preset,
        "time_limits": job.time_limits,
        "memory_limit_bytes": built.place.memory_limit_bytes,
        "identity": tally.setting.identity,
        "identity_hash": results.identity_hash(tally.setting.identity),
        "costs": {
            **built.costs,
            "search_peak_bytes": tally.search_peak_bytes or None,
            "distance_computations": tally.distance_computations,
        },
        "launch_of_round": tally.launch_of_round,
        "notes": _notes(request),
        "machine": dict(frame.machine),
        "harness": {
            "version": ann_bench.__version__,
            "commit": frame.commit,
            "overhead_ns_per_query": frame.overhead_ns_per_query,
        },
        "started": frame.started,
    }
    record["metrics"] = metrics.compute(record, arrays, frame.truth.part(np.sort(asked))) if arrays else {}
    lock = job.environment.lock
    return results.Measurement(record=record, arrays=arrays, lock=lock, log=built.log())


def _notes(request: Request) -> list[str]:
    """Return what a reader has to know of how the whole sweep was run."""
    if request.parallelism == 1:
        return []
    return [f"measured {request.parallelism} indexes at a time, which disturb each other"]


def _arrays(dataset: Dataset, tally: Tally, asked: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays, in the dataset's order of queries, with the answers' distances recomputed.

    `asked` holds which queries were asked, in the order in which they were.
    """
    assert tally.ids is not None
    order = np.argsort(asked)
    ids = tally.ids[order]
    distances = distances_to(dataset.distance, dataset.test[asked[order]], dataset.train, ids)
    counters = tally.counters
    arrays: dict[str, npt.NDArray[Any]] = {
        "neighbors": ids,
        "distances": distances,
        "block_wall_ns": np.array([c["wall_ns"] for c in counters], dtype=np.int64),
        "block_thread_cpu_ns": np.array([c["thread_cpu_ns"] for c in counters], dtype=np.int64),
        "block_process_cpu_ns": np.array([c["process_cpu_ns"] for c in counters], dtype=np.int64),
        "block_switches": np.array([c["switches"] for c in counters], dtype=np.int64),
        "block_faults": np.array([c["faults"] for c in counters], dtype=np.int64),
        "block_round": np.arange(len(counters), dtype=np.int32),
    }
    if tally.latencies_ns:
        arrays["latencies_ns"] = np.stack(tally.latencies_ns)[:, order]
    else:
        arrays["round_wall_ns"] = np.array(tally.round_wall_ns, dtype=np.int64)
    if len(asked) < len(dataset.test):
        arrays["query_index"] = asked[order]
    return arrays


def harness_commit() -> str | None:
    """Return the commit that the harness runs from, `+` if files changed since; None outside a clone."""
    if not in_clone():
        return None
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
            cwd=PACKAGE,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None
