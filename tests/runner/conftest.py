"""A small dataset, and sweeps of made-up wrappers on it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from ann_bench import config
from ann_bench.datasets import Dataset
from ann_bench.runner.lane import Observer
from ann_bench.runner.plan import Plan, Request, make_plan
from ann_bench.runner.sweep import Outcome, run_sweep
from tests.small_datasets import small_dataset_of

DEFINITIONS = Path(__file__).parent / "definitions"


@pytest.fixture(scope="session")
def small_dataset() -> Dataset:
    """60 rows and 20 queries in 4 dimensions, with exact answers."""
    return small_dataset_of(60, 20)


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
