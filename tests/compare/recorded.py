"""A comparison on disk whose launches are simulated."""

import itertools
from pathlib import Path
from typing import Any

from ann_bench.compare.store import Recorded, Store
from tests.compare.plans import make_plan
from tests.compare.simulated import Machine


def recorded(results: Path, machine: Machine, launches: int = 8, **changes: Any) -> Recorded:
    """Return a comparison in `results`, with so many launches of the machine."""
    store = Store(results, make_plan(**changes))
    for launch in itertools.islice(machine.launches(), launches):
        store.add(launch)
    return store.recorded
