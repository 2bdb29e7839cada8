"""What a record of this schema must look like; `results/README.md` says what its parts mean."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, InstanceOf, ValidationError

from ann_bench.errors import ResultsError
from ann_bench.results.record import Record

Text = InstanceOf[str]  # unlike str it lets lone surrogates pass: names of files may hold them
Metrics = dict[Text, float | Text | None]


def instant(text: str) -> str:
    """Return `text` if it is a time with its time zone; `ValueError` otherwise."""
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time with its time zone, as in 2026-11-01T00:00:00+00:00")
    return text


def _numbers(metrics: Metrics) -> Metrics:
    texts = [name for name, value in metrics.items() if isinstance(value, str) and name != "qps_interval"]
    if texts:
        raise ValueError(f"{texts[0]} is a text")
    return metrics


class _Part(BaseModel):
    """What is named must be there, of its type; what else there is passes."""

    model_config = ConfigDict(strict=True)


class _Dataset(_Part):
    name: Text
    sha256: Text
    distance: Text
    n: int
    rows_available: int | None = None
    dimension: int
    queries: int
    queries_available: int


class _Algorithm(_Part):
    name: Text
    family: Text
    library: Text
    environment: Text
    wrapper_sha256: Text


class _Failure(_Part):
    kind: Text
    stage: Text
    text: Text
    log_tail: Text


class _Problem(_Part):
    kind: Text
    text: Text


class _Identity(_Part):
    queries: int | None = None


class _Harness(_Part):
    version: Text
    commit: Text | None
    overhead_ns_per_query: float | None


class _TimeLimits(_Part):
    build_s: float
    setting_s: float


class _Record(_Part):
    schema_version: int
    status: Literal["ok", "failed"]
    failure: _Failure | None
    problems: list[_Problem]
    notes: list[Text]
    started: Annotated[str, AfterValidator(instant)]
    label: Text
    preset: Text
    seed: int
    dataset: _Dataset
    k: int
    mode: Literal["single", "batch"]
    threads: int | None
    build_threads: int | None
    rounds: int
    launch_of_round: list[int]
    algorithm: _Algorithm
    library_version: Text
    library_digest: Text
    environment_versions: dict[Text, Any] = {}
    time_limits: _TimeLimits | None = None
    build: dict[Text, Any]
    query: dict[Text, Any]
    identity: _Identity
    identity_hash: Text
    costs: dict[Text, float | None]
    metrics: Annotated[Metrics, AfterValidator(_numbers)]
    machine: dict[Text, Any]
    harness: _Harness


def parse_record(text: str, path: Path) -> Record:
    """Return the record that `text`, JSON, holds: every part that readers rely on is there, of its type.

    Raises
    ------
    ResultsError
        In one line, naming `path` and the first part that is wrong.
    ValueError
        If `text` is no JSON.
    """
    record = json.loads(text)
    if not isinstance(record, dict):
        raise ResultsError(f"{path}: its record is a {type(record).__name__}, not a mapping; measure again")
    try:
        _Record.model_validate(record)
    except ValidationError as error:
        raise ResultsError(f"{path}: its record {what_is_wrong(error)}; measure again") from error
    if record["status"] == "failed" and record["failure"] is None:
        raise ResultsError(f"{path}: its record failed without a failure; measure again")
    return record


def what_is_wrong(error: ValidationError) -> str:
    """Return which parts are missing, or else the first that is wrong: "lacks k, mode"."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    missing = sorted(_name(problem["loc"]) for problem in problems if problem["type"] == "missing")
    first = problems[0]
    return "lacks " + ", ".join(missing) if missing else f"has a wrong {_name(first['loc'])} ({first['msg']})"


def _name(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location))
