"""The catalogue of datasets, `datasets/catalog.yaml`, as validated objects."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from ann_bench import paths
from ann_bench.checked_yaml import CheckedModel, Document, mistake

# The export to ann-benchmarks' layout cannot carry an underscore, and a name is also a file's name.
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
Url = Annotated[str, Field(pattern=r"^https?://[^/ ]+/\S+$")]


class Shape(CheckedModel, strict=True):
    """How many vectors of how many components; `rows` or `queries` is None where the source does not tell."""

    rows: PositiveInt | None
    dimension: PositiveInt
    queries: PositiveInt | None


class Generator(CheckedModel, strict=True):
    """What makes a dataset: one of the project's generators, its version, and a seed."""

    name: Literal["manifold"]
    version: Literal[1]
    seed: NonNegativeInt


class Entry(CheckedModel, strict=True):
    """What the catalogue knows about one dataset.

    Attributes
    ----------
    distance
        The distance that its answers were made with, in this project's words.
    shape
        Rows, dimension (bits for hamming, different items for jaccard) and queries.
    urls
        Mirrors of one and the same file, tried in order. Empty for a set that ships with the project, or is
        generated.
    size, approximate_size
        Bytes of the file: `size` is checked on downloading, `approximate_size` is shown only.
    sha256
        Hex digest of the file, checked on downloading; None where nobody published it. A generated file that
        has another is told about, and used.
    licence
        Licence of the data; None where its makers state none.
    note
        What one should know before quoting numbers from it.
    embedded
        Whether the file ships with the project.
    generator
        What makes the file when it is first asked for; None for others.
    """

    distance: Literal["euclidean", "angular", "dot", "hamming", "manhattan", "jaccard"]
    shape: Shape
    urls: tuple[Url, ...] = Field(default=(), strict=False)
    size: PositiveInt | None = None
    approximate_size: PositiveInt | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    licence: str | None = None
    note: str = ""
    embedded: bool = False
    generator: Generator | None = None

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if not self.urls and not self.embedded and not self.generator:
            raise mistake(
                "urls is empty; give one, or `embedded: true` for a set that ships with us, or a `generator`"
            )
        return self

    @model_validator(mode="after")
    def _can_be_generated(self) -> Self:
        if self.generator and not (self.shape.rows and self.shape.queries):
            raise mistake("needs the numbers of rows and queries in `shape`", at=("generator",))
        if self.generator and self.distance in ("hamming", "jaccard"):
            raise mistake(f"makes vectors of floats; {self.distance} needs others", at=("generator",))
        return self


@dataclass(frozen=True)
class Catalog:
    """Every dataset that is known by name, in the file's order."""

    entries: dict[str, Entry]

    @classmethod
    def read(cls, path: Path | None = None) -> Self:
        """Return the catalogue in `path`, by default the project's own.

        Raises
        ------
        ConfigError
            With file, line, key, value and what is allowed.
        """
        document = Document.read(path or paths.carried("datasets") / "catalog.yaml")
        for name in document.content:
            if not _NAME.fullmatch(name):
                raise document.error("a name is lower-case letters, digits, dots and hyphens", at=(name,))
        return cls({name: document.validated(Entry, at=(name,)) for name in document.content})

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __getitem__(self, name: str) -> Entry:
        return self.entries[name]

    def get(self, name: str) -> Entry | None:
        """Return the entry of `name`, or None."""
        return self.entries.get(name)

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the catalogue's order."""
        return tuple(self.entries)
