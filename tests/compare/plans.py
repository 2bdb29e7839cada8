"""Made-up plans of comparisons, for tests of what is kept and told of them."""

import json
from typing import Any

from tests.compare.simulated import points

COSTS = {
    "build_wall_ns": 2e9,
    "build_cpu_ns": 1.9e9,
    "build_peak_bytes": 50e6,
    "index_bytes": 12e6,
    "index_bytes_resident": 15e6,
}


def make_side(name: str, *costs: dict[str, float | None]) -> dict[str, Any]:
    """Return what a plan holds of a side; `costs` are what differs from `COSTS`, index by index."""
    return {
        "title": f"{name} side",
        "state": f"commit of {name}",
        "algorithm": "engine-forest",
        "library": "ann_bench",
        "version": "0.1.0",
        "digest": f"digest of {name}",
        "build": {"n_trees": 10},
        "build_info": {},
        "costs": [COSTS | changes for changes in costs or ({},)],
    }


def make_plan(**changes: Any) -> dict[str, Any]:
    """Return the plan of a comparison at the points of `simulated`, as it is read."""
    plan = {
        "started": "2026-11-02T09:30:15.250000+00:00",
        "dataset": {
            "name": "points/a b",
            "sha256": "5a" * 32,
            "distance": "euclidean",
            "n": 60_000,
            "dimension": 24,
            "queries": 1_000,
        },
        "k": 10,
        "mode": "single",
        "sides": {"base": make_side("BASE"), "new": make_side("NEW")},
        "preset": "default",
        "targets": [0.9, 0.95, 0.99],
        "margin": 0.02,
        "builds": 1,
        "seed": 1,
        "most_launches": 32,
        "clock": "cpu",
        "in_process": True,
        "rounds": 5,
        "identical": True,
        "points": [points().as_json()],
        "protocol": {"block_ns": 50_000_000},
        "machine": {"cpu": "Testcore 9000 @ 3.00GHz", "cpus_used": [0]},
        "harness": {"version": "0.1.0", "commit": "0123456789ab"},
    }
    told: dict[str, Any] = json.loads(json.dumps(plan | changes))
    return told
