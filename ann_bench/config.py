"""`algorithms.yaml`, read and checked: what can be measured, with which parameters.

An entry declares its build and query parameters once (`build:`, `query:`: type, minimum, meaning); a preset
then gives each a value or a list of values, and every combination is measured. `grids:` splits a preset into
several such products, and `overrides:` change presets for some distances or dimensions.
"""

import contextlib
import fnmatch
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from ann_bench.checked_yaml import CheckedModel, Document, Location, mistake, near
from ann_bench.distances import DISTANCES
from ann_bench.errors import UsageError
from ann_bench.paths import PACKAGE, carried
from ann_bench.recipes import HARNESS, list_recipes


def _known_distance(name: str) -> str:
    if name not in DISTANCES:
        raise mistake(f'got "{name}"; a distance is one of {", ".join(DISTANCES)}')
    return name


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _is_number(value: object) -> bool:
    """Whether `value` is a number that one can count up to."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


Family = Literal["tree", "graph", "hash", "quantisation", "cluster", "exact", "store"]
FAMILIES: tuple[Family, ...] = get_args(Family)
Distance = Annotated[str, AfterValidator(_known_distance)]
Value = bool | int | float | str
Grid = dict[str, tuple[Value, ...]]

# Seconds that a build, and all rounds of a setting, may take where an entry says nothing else.
PRESETS: dict[str, tuple[float, float]] = {"quick": (60, 2), "default": (900, 20), "full": (7200, 120)}
# What a library may do otherwise; an entry gives the reason. The runner reports no problem then;
# tests/wrappers ask for less, and that it still is so, with a crash only where the reason says `crashes`.
LIMITS = {
    "min_rows": "how many rows it needs at least, where 12 are too few, or 1 is",
    "zero_rows": "what it does with rows of zeros",
    "fewer_than_k": "when it returns fewer than k answers, or none, or raises an error for such a k",
    "duplicates": "when it returns a row twice",
    "order": "why its answers are not always nearest first, such as distances that it estimates",
    "varying_answers": "why a query may get other answers the next time, in a batch, or of a loaded index; "
    "that depends on chance and is not asked for",
    "prints": "what it prints",
    "children": "which processes it starts",
    "threads": "where it does not keep to the number of threads it is told",
    "memory": "what it keeps of each query for ever",
    "deleted_folders": "which folders it deletes",
}


class Parameter(CheckedModel):
    """A build or query parameter: its values and its meaning; `minimum: k` raises smaller values to k."""

    type: Literal["integer", "number", "text", "boolean"]
    meaning: str
    minimum: Annotated[float, Field(allow_inf_nan=False)] | Literal["k"] | None = None
    choices: tuple[str, ...] = ()

    def accepts(self, value: object) -> bool:
        """Whether `value` is of the type and within the bounds."""
        if self.type == "text":
            return isinstance(value, str) and (not self.choices or value in self.choices)
        if self.type == "boolean" or isinstance(value, bool):
            return self.type == "boolean" and isinstance(value, bool)
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            return False
        if self.type == "integer" and not isinstance(value, int):
            return False
        return self.minimum is None or value >= (1 if self.minimum == "k" else self.minimum)

    def describe(self) -> str:
        """Return what values are allowed, and the meaning."""
        kind: str = "yes/no" if self.type == "boolean" else self.type
        if self.choices:
            kind = f"one of {', '.join(self.choices)}"
        elif self.minimum is not None:
            kind = f"{kind} >= {self.minimum if self.minimum == 'k' else format(self.minimum, 'g')}"
        return f"{kind} ({self.meaning})"


class Needs(CheckedModel):
    """What an algorithm needs of a dataset; it is left out of a run on any other."""

    min_dimension: int = Field(default=1, ge=1)
    max_dimension: int = Field(default=2**31, ge=1)

    @model_validator(mode="after")
    def _some_dimension_fits(self) -> Self:
        if self.min_dimension > self.max_dimension:
            raise mistake(
                f"got {self.max_dimension}, which is below min_dimension {self.min_dimension}",
                at=("max_dimension",),
            )
        return self

    def lack(self, dimension: int) -> str:
        """Return what a dataset of that dimension lacks; nothing where it fits."""
        if dimension < self.min_dimension:
            return f"needs {self.min_dimension:,} dimensions or more, the dataset has {dimension:,}"
        if dimension > self.max_dimension:
            return f"takes {self.max_dimension:,} dimensions or fewer, the dataset has {dimension:,}"
        return ""


class When(CheckedModel):
    """What an override holds for: all that is given must be true."""

    distance: Annotated[tuple[Distance, ...], BeforeValidator(_as_tuple)] = DISTANCES
    min_dimension: int = 0
    max_dimension: int = 2**31

    def holds(self, distance: str, dimension: int) -> bool:
        """Whether a dataset of that distance and dimension is meant."""
        return distance in self.distance and self.min_dimension <= dimension <= self.max_dimension


class Override(CheckedModel):
    """Parts of presets that are different for some datasets."""

    when: When
    presets: dict[str, dict[str, Any]]


class Entry(CheckedModel):
    """An algorithm as `algorithms.yaml` tells it."""

    family: Family
    library: str
    description: str
    home: str = Field(default="", pattern=r"^$|^https?://")
    licence: str
    environment: str
    wrapper: str = Field(pattern=r"^[A-Za-z_]\w*\.[A-Za-z_]\w*$")
    distances: tuple[Distance, ...] = Field(min_length=1)
    needs: Needs = Needs()
    recall: float | None = Field(default=None, gt=0, le=1)
    build: dict[str, Parameter] = Field(default_factory=dict)
    query: dict[str, Parameter] = Field(default_factory=dict)
    presets: dict[str, dict[str, Any]] = Field(default_factory=dict)
    overrides: tuple[Override, ...] = ()
    limits: dict[str, str] = Field(default_factory=dict)

    @property
    def documented_recall(self) -> float:
        """What its last quick setting reaches at least in the tests of wrappers, which have 5,000 rows."""
        return self.recall or (1.0 if self.family == "exact" else 0.9)

    @field_validator("limits")
    @classmethod
    def _limits_are_known(cls, limits: dict[str, str]) -> dict[str, str]:
        for name in limits:
            if name not in LIMITS:
                raise mistake(f"unknown limit{near(name, LIMITS)}", at=(name,))
        return limits

    @model_validator(mode="after")
    def _presets_fit_parameters(self) -> Self:
        for name in self.query:
            if name in self.build:
                raise mistake(
                    "is a build parameter as well; give one of them another name", at=("query", name)
                )
        if (self.build or self.query) and "default" not in self.presets:
            raise mistake("the preset `default` is missing", at=("presets",))
        for name, preset in self.presets.items():
            self._check_preset(preset, ("presets", name))
            self._check_complete(preset, ("presets", name))
        for i, override in enumerate(self.overrides):
            for name, preset in override.presets.items():
                place = ("overrides", i, "presets", name)
                self._check_preset(preset, place)
                if name not in self.presets:
                    raise mistake("the entry has no such preset that could be overridden", at=place)
                if "grids" in preset:
                    self._check_complete(preset, place)
        return self

    def _check_complete(self, preset: Mapping[str, Any], at: Location) -> None:
        parameters = {**self.build, **self.query}
        for number, grid in enumerate(grids(preset)):
            for name, parameter in parameters.items():
                if name not in grid:
                    place = (*at, "grids", number) if "grids" in preset else at
                    raise mistake(f"{name} is missing; it is {parameter.describe()}", at=place)

    def _check_preset(self, preset: Mapping[str, Any], at: Location) -> None:
        if at[-1] not in PRESETS:
            raise mistake(f"unknown preset{near(at[-1], PRESETS)}", at=at)
        for key, value in preset.items():
            place = (*at, key)
            if key in _SECONDS:
                if not _is_number(value) or value <= 0:
                    raise mistake(f"got {value!r}; it is a number of seconds > 0", at=place)
            elif key == "grids":
                if (
                    not isinstance(value, list)
                    or not value
                    or not all(isinstance(grid, dict) for grid in value)
                ):
                    raise mistake(
                        f"got {value!r}; it is a list of mappings from parameter to values", at=place
                    )
                for number, grid in enumerate(value):
                    for parameter, values in grid.items():
                        self._check_values(parameter, values, (*place, number, parameter), ())
            else:
                self._check_values(key, value, place, (*_SECONDS, "grids"))

    def _check_values(self, name: str, values: Any, at: Location, other_keys: tuple[str, ...]) -> None:
        parameter = self.build.get(name) or self.query.get(name)
        if parameter is None:
            raise mistake(f"unknown key{near(name, (*self.build, *self.query, *other_keys))}", at=at)
        if values == []:
            raise mistake(f"got no value; {name} is {parameter.describe()}, or a list of such values", at=at)
        for value in values if isinstance(values, list) else [values]:
            if not parameter.accepts(value):
                shown = f'"{value}"' if isinstance(value, str) else repr(value)
                raise mistake(
                    f"got {shown}; {name} is {parameter.describe()}, or a list of such values", at=at
                )


_SECONDS = ("max_seconds_per_build", "max_seconds_per_setting")


class Algorithm(Entry):
    """An entry with its name and its wrapper's place."""

    name: str
    wrapper_path: Path
    wrapper_class: str


@dataclass(frozen=True)
class BuildGroup:
    """One index to build, and the query settings to search it with."""

    build: dict[str, Value]
    queries: tuple[dict[str, Value], ...]


@dataclass(frozen=True)
class Plan:
    """What a preset asks of an algorithm on one dataset."""

    builds: tuple[BuildGroup, ...]
    max_seconds_per_build: float
    max_seconds_per_setting: float


def load_algorithms(definitions: Sequence[Path] = ()) -> dict[str, Algorithm]:
    """Return every algorithm by name: the project's own, then those of each folder in `definitions`.

    Such a folder is laid out like the project: `algorithms.yaml`, `wrappers/*.py`, `install/NAME/`.
    `ConfigError` tells a mistake with file, line, key, value and what is allowed.
    """
    environments = [HARNESS, *list_recipes(definitions)]
    algorithms: dict[str, Algorithm] = {}
    sources = [(carried("algorithms.yaml"), PACKAGE / "wrappers")]
    sources += [(folder / "algorithms.yaml", folder / "wrappers") for folder in definitions]
    for file, wrappers in sources:
        document = Document.read(file)
        for name in document.content:
            if name in algorithms:
                raise document.error("an algorithm of this name exists already; choose another", at=(name,))
            algorithms[name] = _algorithm(document, name, wrappers, environments)
    return algorithms


def load_entry(file: Path, name: str, wrappers: Path, definitions: Sequence[Path] = ()) -> Algorithm | None:
    """Return one algorithm of an `algorithms.yaml` that is none of those in use; None where it has no such.

    Errors as above.
    """
    document = Document.read(file)
    if name not in document.content:
        return None
    return _algorithm(document, name, wrappers, [HARNESS, *list_recipes(definitions)])


def _algorithm(document: Document, name: str, wrappers: Path, environments: Sequence[str]) -> Algorithm:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise document.error("a name is lower-case letters, digits and hyphens", at=(name,))
    entry = document.validated(Entry, at=(name,))
    if entry.environment not in environments:
        text = f'got "{entry.environment}"; there is no folder install/{entry.environment}/'
        raise document.error(text + near(entry.environment, environments), at=(name, "environment"))
    module, wrapper_class = entry.wrapper.split(".")
    path = wrappers / f"{module}.py"
    if not path.is_file():
        raise document.error(f'got "{entry.wrapper}"; there is no file {path}', at=(name, "wrapper"))
    classes = re.findall(r"^class\s+(\w+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if wrapper_class not in classes:
        text = f'got "{entry.wrapper}"; {path} has no class {wrapper_class}{near(wrapper_class, classes)}'
        raise document.error(text, at=(name, "wrapper"))
    fields = {field: getattr(entry, field) for field in Entry.model_fields}
    return Algorithm.model_construct(name=name, wrapper_path=path, wrapper_class=wrapper_class, **fields)


def expand(algorithm: Algorithm, preset: str, *, distance: str, dimension: int, k: int) -> Plan:
    """Return what `preset` asks for on a dataset of that distance and dimension, for `k` neighbours.

    An entry without the preset `quick` or `full` uses its `default` grids, within the asked preset's times.
    Query settings that mean the same at this `k` (see `Parameter.minimum`) stand once.
    """
    if preset not in PRESETS:
        raise UsageError(f"preset: got {preset!r}; it is one of {', '.join(PRESETS)}")
    seconds: dict[str, float] = dict(zip(_SECONDS, PRESETS[preset], strict=True))
    name = preset if preset in algorithm.presets else "default"
    chosen = algorithm.presets.get(name, {})
    chosen_grids = grids(chosen)
    if name == preset:
        seconds.update(_seconds(chosen))
    for override in algorithm.overrides:
        if override.when.holds(distance, dimension) and name in override.presets:
            change = override.presets[name]
            if "grids" in change:
                chosen_grids = grids(change)
            chosen_grids = [{**grid, **_direct(change)} for grid in chosen_grids]
            seconds.update(_seconds(change))
    queries_of: dict[tuple[Value, ...], dict[tuple[Value, ...], None]] = {}
    for grid in chosen_grids:
        builds = itertools.product(
            *(_at_least(algorithm.build[name], grid[name], k) for name in algorithm.build)
        )
        queries = list(
            itertools.product(*(_at_least(algorithm.query[name], grid[name], k) for name in algorithm.query))
        )
        for build in builds:
            queries_of.setdefault(build, {}).update(dict.fromkeys(queries))
    groups = tuple(
        BuildGroup(
            dict(zip(algorithm.build, build, strict=True)),
            tuple(dict(zip(algorithm.query, query, strict=True)) for query in queries),
        )
        for build, queries in queries_of.items()
    )
    return Plan(groups, **seconds)


def read_build(algorithm: Algorithm, text: str) -> dict[str, Value]:
    """Return the build parameters in `M=16,ef_construction=200`, written as in `algorithms.yaml`.

    `UsageError` tells an unknown one, or a value that is not allowed, with what is.
    """
    found: dict[str, Value] = {}
    # A comma may be part of a text: it ends a value where the next name follows.
    for part in re.split(r",(?=\s*\w+\s*=)", text):
        name, _, written = (word.strip() for word in part.partition("="))
        parameter = algorithm.build.get(name)
        if parameter is None:
            known = "; ".join(f"{name} is {one.describe()}" for name, one in algorithm.build.items())
            raise UsageError(
                f"--build: got {part.strip()!r} for {algorithm.name}; its build parameters: {known or 'none'}"
            )
        value: Any = written
        if parameter.type != "text":
            with contextlib.suppress(yaml.YAMLError):
                value = yaml.safe_load(written)
        if not parameter.accepts(value):
            raise UsageError(
                f"--build: got {part.strip()!r} for {algorithm.name}; {name} is {parameter.describe()}"
            )
        found[name] = value
    return found


def with_build(groups: Sequence[BuildGroup], named: Mapping[str, Value]) -> tuple[BuildGroup, ...]:
    """Return the builds that have these parameters; where a preset has none, all with these in the place."""
    having = tuple(group for group in groups if named.items() <= group.build.items())
    if having:
        return having
    queries_of: dict[tuple[tuple[str, Value], ...], list[dict[str, Value]]] = {}
    for group in groups:
        known = queries_of.setdefault(tuple({**group.build, **named}.items()), [])
        known += [query for query in group.queries if query not in known]
    return tuple(BuildGroup(dict(build), tuple(queries)) for build, queries in queries_of.items())


def select(algorithms: Mapping[str, Algorithm], patterns: Sequence[str]) -> dict[str, Algorithm]:
    """Return the algorithms that match any of the shell-style `patterns`, in their own order.

    All of them if there are no patterns; `UsageError` if a pattern matches nothing.
    """
    for pattern in patterns:
        if not fnmatch.filter(algorithms, pattern):
            raise UsageError(f'no algorithm matches "{pattern}"{near(pattern, algorithms)}')
    return {
        name: algorithm
        for name, algorithm in algorithms.items()
        if not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    }


def _direct(preset: Mapping[str, Any]) -> Grid:
    """Return the values of the parameters that stand in the preset itself."""
    return _grid({key: value for key, value in preset.items() if key != "grids" and key not in _SECONDS})


def grids(preset: Mapping[str, Any]) -> list[Grid]:
    """Return the grids of a preset of an entry, each with the values that stand beside them."""
    return [{**_direct(preset), **_grid(grid)} for grid in preset.get("grids", [{}])]


def _grid(values: Mapping[str, Any]) -> Grid:
    return {name: tuple(value) if isinstance(value, list) else (value,) for name, value in values.items()}


def _seconds(preset: Mapping[str, Any]) -> dict[str, float]:
    return {key: preset[key] for key in _SECONDS if key in preset}


def _at_least(parameter: Parameter, values: tuple[Value, ...], k: int) -> list[Value]:
    """Return the values, those under k raised to k where the parameter says so, each once."""
    if parameter.minimum == "k":
        values = tuple(max(value, k) if isinstance(value, int) else value for value in values)
    return list(dict.fromkeys(values))
