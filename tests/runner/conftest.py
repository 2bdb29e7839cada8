"""A small dataset, and sweeps of made-up wrappers on it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from ann_bench import config
from ann_bench.datasets import Dataset
from ann_bench.distances import distances_to
from ann_bench.runner.lane import Observer
from ann_bench.runner.plan import Plan, Request, make_plan
from ann_bench.runner.sweep import Outcome, run_sweep

DEFINITIONS = Path(__file__).parent / "definitions"


@pytest.fixture(scope="session")
def small_dataset() -> Dataset:
    """60 rows and 20 queries in 4 dimensions, with exact answers."""
    rng = np.random.default_rng(7)
    train = rng.normal(size=(60, 4)).astype(np.float32)
    test = rng.normal(size=(20, 4)).astype(np.float32)
    everything = np.tile(np.arange(60, dtype=np.int32), (20, 1))
    distances = distances_to("euclidean", test, train, everything)
    order = np.argsort(distances, axis=1, kind="stable")[:, :20]
    return Dataset(
        name="small-4-euclidean",
        distance="euclidean",
        train=train,
        test=test,
        neighbors=order.astype(np.int32),
        distances=np.take_along_axis(distances, order, axis=1),
        sha256="0" * 64,
        rows_available=60,
        queries_available=20,
        provenance={},
    )


@pytest.fixture
def make_request(
    small_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Request]:
    """Return a function that makes the request for one made-up algorithm with the given grids."""
    monkeypatch.setenv("ANN_BENCH_CACHE", str(tmp_path / "cache"))

    def make(
        algorithm: str = "misbehaving",
        *,
        in_build: tuple[str, ...] = ("none",),
        in_query: tuple[str, ...] = ("none",),
        **changes: Any,
    ) -> Request:
        entry = config.load_algorithms([DEFINITIONS])[algorithm]
        limits = changes.pop("limits", {})
        grids = {"default": {"in_build": list(in_build), "in_query": list(in_query)}}
        entry = entry.model_copy(update={"presets": grids, "limits": limits})
        request = Request(
            dataset=small_dataset,
            algorithms=[entry],
            results=tmp_path / "results",
            rounds=2,
            k=5,
            cpus=(0,),
            definitions=(DEFINITIONS,),
        )
        return replace(request, **changes)

    return make


class Quiet(Observer):
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture
def sweep() -> Callable[[Request], Outcome]:
    """Return a function that plans and runs a request."""

    def run(request: Request, plan: Plan | None = None) -> Outcome:
        return run_sweep(request, plan or make_plan(request), Quiet())

    return run


def alive_below(marker: Path) -> list[psutil.Process]:
    """Return the processes that belong to the run whose files lie in `marker`."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(f"{marker}/cache" in word for word in process.info["cmdline"] or []):
            found.append(process)
        else:
            try:
                if str(process.environ().get("HOME", "")).startswith(f"{marker}/cache"):
                    found.append(process)
            except psutil.Error:
                continue
    return found
