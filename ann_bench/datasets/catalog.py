"""The catalogue of datasets, `datasets/catalog.yaml`, as validated objects."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, RootModel, ValidationError, model_validator

from ann_bench import paths
from ann_bench.errors import ConfigError

# The export to ann-benchmarks' layout cannot carry an underscore, and a name is also a file's name.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
Url = Annotated[str, Field(pattern=r"^https?://[^/ ]+/\S+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Shape(_Strict):
    """How many vectors of how many components; `rows` or `queries` is None where the source does not tell."""

    rows: PositiveInt | None
    dimension: PositiveInt
    queries: PositiveInt | None


class Entry(_Strict):
    """What the catalogue knows about one dataset.

    Attributes
    ----------
    distance
        The distance that its answers were made with, in this project's words.
    shape
        Rows, dimension (bits for hamming) and queries.
    urls
        Mirrors of one and the same file, tried in order. Empty for a set that ships with the project.
    size, approximate_size
        Bytes of the file: `size` is checked on downloading, `approximate_size` is shown only.
    sha256
        Hex digest of the file, checked on downloading; None where nobody published it.
    licence
        Licence of the data; None where its makers state none.
    note
        What one should know before quoting numbers from it.
    embedded
        Whether the file ships with the project.
    """

    distance: Literal["euclidean", "angular", "dot", "hamming", "manhattan"]
    shape: Shape
    urls: tuple[Url, ...] = Field(default=(), strict=False)
    size: PositiveInt | None = None
    approximate_size: PositiveInt | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    licence: str | None = None
    note: str = ""
    embedded: bool = False

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if not self.urls and not self.embedded:
            raise ValueError(
                "urls is empty; give at least one, or `embedded: true` for a set that ships with us"
            )
        return self


class Catalog(RootModel[dict[Name, Entry]]):
    """Every dataset that is known by name: a mapping from name to `Entry`."""

    @classmethod
    def read(cls, path: Path | None = None) -> Self:
        """Return the catalogue in `path`, by default the project's own.

        Raises
        ------
        ConfigError
            With file, line, key, value and what is allowed.
        """
        path = path or paths.carried("datasets") / "catalog.yaml"
        try:
            text = path.read_text(encoding="utf-8")
            content = yaml.safe_load(text)
            return cls.model_validate(content if content is not None else {})
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ConfigError(f"{path}:{line}: not YAML: {error.problem}") from error
        except ValidationError as error:
            lines = [_explain(path, text, dict(detail)) for detail in error.errors()]
            raise ConfigError("\n".join(lines)) from error

    def __contains__(self, name: object) -> bool:
        return name in self.root

    def __getitem__(self, name: str) -> Entry:
        return self.root[name]

    def get(self, name: str) -> Entry | None:
        """Return the entry of `name`, or None."""
        return self.root.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the catalogue's order."""
        return tuple(self.root)


def _explain(path: Path, text: str, detail: dict[str, Any]) -> str:
    """Return one of pydantic's errors as a line that names file, line, key, value and what is allowed."""
    location = [part for part in detail["loc"] if part != "[key]"]
    where = f"{path}:{_line_of(text, location)}: {'.'.join(map(str, location)) or 'the whole file'}"
    if detail["type"] == "missing":
        return f"{where}: is missing"
    if detail["type"] == "extra_forbidden":
        known = (Shape if "shape" in location else Entry).model_fields
        return f"{where}: unknown key; known are {', '.join(known)}"
    message = detail["msg"].removeprefix("Value error, ")
    value = detail["input"]
    if isinstance(value, dict):
        return f"{where}: {message}"
    return f"{where}: got {value!r}; {message[0].lower()}{message[1:]}"


def _line_of(text: str, location: Sequence[str | int]) -> int:
    """Return the line, from 1, of the deepest node along `location` that the file has."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line = 0
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next((pair for pair in node.value if pair[0].value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
    return line + 1
