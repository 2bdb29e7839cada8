"""A comparison on disk whose launches are simulated."""

import itertools
from pathlib import Path
from typing import Any

from ann_bench.compare.store import Recorded, Store
from tests.compare.simulated import Machine, points


def plan(**changes: Any) -> dict[str, Any]:
    """Return a plan as `session` makes it, with made-up sides."""
    costs = {
        "build_wall_ns": 2e9,
        "build_cpu_ns": 2e9,
        "build_peak_bytes": 4e7,
        "index_bytes": 1.5e7,
        "index_bytes_resident": 1.6e7,
    }
    side = {
        "state": "0123456789ab",
        "algorithm": "partial",
        "library": "numpy",
        "version": "1.0",
        "digest": "ab" * 32,
        "build": {"kind": "Release"},
        "build_info": {},
        "costs": [costs],
    }
    dataset = {
        "name": "made-up-100-angular",
        "sha256": "cd" * 32,
        "distance": "angular",
        "n": 25_000,
        "dimension": 100,
        "queries": 1_000,
    }
    return {
        "started": "2026-11-22T12:00:00.000000+00:00",
        "dataset": dataset,
        "k": 10,
        "sides": {"base": {"title": "main (0123456789ab)", **side}, "new": {"title": "working tree", **side}},
        "preset": "quick",
        "targets": [0.9, 0.95, 0.99],
        "margin": 0.02,
        "builds": 1,
        "seed": 1,
        "most_launches": 32,
        "clock": "cpu",
        "in_process": True,
        "identical": True,
        "points": [points().as_json()],
        "protocol": {"block_ns": 50_000_000},
        "machine": {"cpu": "a made-up processor", "cpus_used": [1]},
        "harness": {"version": "0.1.0", "commit": None},
        **changes,
    }


def recorded(results: Path, machine: Machine, launches: int = 8, **changes: Any) -> Recorded:
    """Return a comparison in `results`, with so many launches of the machine."""
    store = Store(results, plan(**changes))
    for launch in itertools.islice(machine.launches(), launches):
        store.add(launch)
    return store.recorded
