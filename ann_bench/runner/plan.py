"""From what was asked for to what is still to be measured."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ann_bench import config, environments, results
from ann_bench.config import Algorithm
from ann_bench.datasets import Dataset
from ann_bench.environments import Environment
from ann_bench.errors import InstallError
from ann_bench.machine import cpu_model
from ann_bench.paths import PACKAGE

_SHARED = re.compile(rb"^from ann_bench\.worker\.(?!wrapper\b)(\w+) import", re.MULTILINE)


@dataclass(frozen=True)
class Request:
    """What a sweep is asked to do; `cpus` are the workers' cores, `rounds` the passes over the queries."""

    dataset: Dataset
    algorithms: Sequence[Algorithm]
    results: Path
    preset: str = "quick"
    k: int = 10
    batch: bool = False
    rounds: int = 6
    seed: int = 1
    label: str = ""
    cpus: Sequence[int] = (0,)
    parallelism: int = 1
    memory_limit_bytes: int | None = None
    timeout_s: float | None = None
    force: bool = False
    retry_failed: bool = False
    definitions: Sequence[Path] = ()

    @property
    def mode(self) -> str:
        """`single` for one query a call, `batch` for all at once."""
        return "batch" if self.batch else "single"

    @property
    def threads(self) -> int:
        """How many threads a library may use: one for single queries, every core for a batch."""
        return len(self.cpus) if self.batch else 1


@dataclass(frozen=True)
class Setting:
    """One set of query parameters on one built index, and the identity of its measurement."""

    query: dict[str, Any]
    identity: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One index to build and the settings to measure on it."""

    algorithm: Algorithm
    environment: Environment
    library_version: str
    library_digest: str
    wrapper_sha256: str
    build: dict[str, Any]
    settings: tuple[Setting, ...]
    time_limits: dict[str, float]
    """`build_s`: seconds a build may take; `setting_s`: all rounds of a setting."""

    @property
    def title(self) -> str:
        """Algorithm and build parameters in a few words."""
        return describe(self.algorithm.name, self.build)


@dataclass(frozen=True)
class LeftOut:
    """An algorithm that was selected and cannot be measured here, and why."""

    name: str
    reason: str
    install: str = ""
    """The environment that `ann-bench install` could make, if that is what is missing."""
    unavailable: bool = False
    """Whether its recipe declares that it cannot be had."""


@dataclass
class Plan:
    """What a sweep has to do, what it found done, and what it cannot do."""

    jobs: list[Job] = field(default_factory=list)
    done: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    """A line for each results file that could not be read."""

    @property
    def settings(self) -> int:
        """How many measurements are to be made."""
        return sum(len(job.settings) for job in self.jobs)


def describe(name: str, *parameters: dict[str, Any]) -> str:
    """Return `name(a=1, b=2)`; just the name where there are no parameters."""
    text = ", ".join(f"{key}={value}" for group in parameters for key, value in group.items())
    return f"{name}({text})" if text else name


def make_plan(request: Request) -> Plan:
    """Return what `request` asks for, less what its results folder holds already."""
    plan = Plan()
    stored = results.newest(results.scan(request.results, on_skip=plan.damaged.append))
    known = {} if request.force else {record["identity_hash"]: record for record in stored}
    for algorithm in request.algorithms:
        distance = request.dataset.distance
        if distance not in algorithm.distances:
            plan.left_out.append(LeftOut(algorithm.name, f"does not do {distance}"))
            continue
        if lack := algorithm.needs.lack(request.dataset.dimension):
            plan.left_out.append(LeftOut(algorithm.name, lack))
            continue
        environment = environments.describe(algorithm.environment, request.definitions)
        if environment.state != "ready":
            reason = environment.reason or "its environment is not installed"
            install = algorithm.environment if environment.state in ("missing", "failed") else ""
            unavailable = environment.state == "unavailable"
            plan.left_out.append(LeftOut(algorithm.name, reason, install, unavailable))
            continue
        try:
            _add_jobs(plan, request, algorithm, environment, known)
        except InstallError as error:
            plan.left_out.append(LeftOut(algorithm.name, str(error)))
    return plan


def _add_jobs(
    plan: Plan,
    request: Request,
    algorithm: Algorithm,
    environment: Environment,
    known: Mapping[str, dict[str, Any]],
) -> None:
    """Add the builds of one algorithm that have settings left to measure."""
    dataset = request.dataset
    grid = config.expand(
        algorithm, request.preset, distance=dataset.distance, dimension=dataset.dimension, k=request.k
    )
    limits = {
        "build_s": request.timeout_s or grid.max_seconds_per_build,
        "setting_s": grid.max_seconds_per_setting,
    }
    wrapper_sha256 = _wrapper_sha256(algorithm.wrapper_path)
    digest = environments.library_digest(algorithm.environment, algorithm.library)
    for group in grid.builds:
        settings = []
        for query in group.queries:
            identity = {
                "dataset": dataset.sha256,
                "queries": len(dataset.test),
                "k": request.k,
                "mode": request.mode,
                "threads": request.threads,
                "rounds": request.rounds,
                "parallelism": request.parallelism,
                "algorithm": algorithm.name,
                "build": group.build,
                "query": query,
                "seed": request.seed,
                "wrapper": wrapper_sha256,
                "library": digest,
                "cpu": cpu_model(),
                "label": request.label,
            }
            found = known.get(results.identity_hash(identity))
            if found and _is_settled(found, limits, retry_failed=request.retry_failed):
                plan.done.append(found)
            else:
                settings.append(Setting(query, identity))
        if settings:
            plan.jobs.append(
                Job(
                    algorithm=algorithm,
                    environment=environment,
                    library_version=environments.library_version(algorithm.environment, algorithm.library),
                    library_digest=digest,
                    wrapper_sha256=wrapper_sha256,
                    build=dict(group.build),
                    settings=tuple(settings),
                    time_limits=limits,
                )
            )


def _wrapper_sha256(wrapper: Path) -> str:
    """Return the hash of a wrapper's source and of the worker's modules that it shares with others."""
    source = wrapper.read_bytes()
    digest = hashlib.sha256(source)
    for module in _SHARED.findall(source):
        digest.update((PACKAGE / "worker" / f"{module.decode()}.py").read_bytes())
    return digest.hexdigest()


def _is_settled(record: dict[str, Any], limits: Mapping[str, float], *, retry_failed: bool) -> bool:
    """Return whether a stored measurement needs no other: more time than it had would change nothing."""
    had = record.get("time_limits") or limits
    if record["status"] == "failed":
        out_of_time = record["failure"]["kind"] == "timeout"
        return not (retry_failed or (out_of_time and any(had[name] < limits[name] for name in limits)))
    asked, wanted = record["dataset"]["queries"], record["identity"]["queries"]
    return bool(asked == wanted or had["setting_s"] >= limits["setting_s"])
