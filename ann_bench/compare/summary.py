"""What a comparison adds to the history: the speed of NEW at each recall, and how it compares."""

from datetime import UTC, datetime
from math import exp

import numpy as np

from ann_bench.compare.estimate import ALPHA, estimate
from ann_bench.compare.launch import show
from ann_bench.compare.store import Recorded
from ann_bench.history import Dataset, Entry, Harness, Speed, State
from ann_bench.results import identity_hash


def history_entry(recorded: Recorded) -> Entry:
    """Return the line of a comparison; intervals of speeds have the launches as units."""
    plan, verdict = recorded.plan, recorded.verdict()
    new, dataset = plan["sides"]["new"], plan["dataset"]
    shown = [
        told
        for launch in recorded.launches
        if (told := show(launch, recorded.points[launch.build], plan["clock"])) is not None
    ]
    speeds: dict[str, Speed | None] = {format(target, "g"): None for target in plan["targets"]}
    known = verdict.change is not None and verdict.change.confidence >= 1 - ALPHA
    for number, recall in enumerate(recorded.points[0].recalls if known else ()):
        found = estimate(-np.array([told.new_logs[number] for told in shown]), ALPHA)
        ends = (1e9 * exp(value) for value in (found.change, found.low, found.high))
        speeds[format(recall, "g")] = Speed(**dict(zip(("qps", "low", "high"), ends, strict=True)))
    settings = {key: plan[key] for key in ("targets", "clock", "preset", "builds", "protocol", "in_process")}
    state = State(
        library=new["library"],
        library_version=new["version"],
        library_digest=new["digest"],
        state=new["state"],
        settings=identity_hash({**settings, "build": new["build"]}),
        qps_at=speeds,
    )
    change = verdict.change if known else None
    return Entry(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        kind="comparison",
        dataset=Dataset(name=dataset["name"], sha256=dataset["sha256"], distance=dataset["distance"]),
        k=plan["k"],
        mode=recorded.mode,
        threads=1,
        cpu=plan["machine"]["cpu"],
        harness=Harness(**plan["harness"]),
        preset=plan["preset"],
        algorithms={new["algorithm"]: state},
        verdict=verdict.name,
        change=exp(change.change) if change else None,
        interval=[exp(change.low), exp(change.high)] if change else None,
    )
