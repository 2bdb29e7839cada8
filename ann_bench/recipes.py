"""Recipes: how a library's own environment is made, one folder `install/NAME/` each.

`requirements.txt` pins every distribution, those that others need included. `recipe.yaml` says the rest, all
of it optional: see `Recipe`.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from ann_bench.checked_yaml import CheckedModel, Document, mistake, near
from ann_bench.errors import ConfigError, UsageError
from ann_bench.machine import cpu_vendor
from ann_bench.paths import carried

HARNESS = "harness"
_PINNED = re.compile(
    r"(?P<name>[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(\[[^\]]*\])?"
    r"\s*==\s*(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*)\s*(;.*|--hash.*)?"
)


class Recipe(CheckedModel):
    """What `recipe.yaml` may say.

    Attributes
    ----------
    python
        Versions of Python that the library installs on, such as ``>=3.8,<3.10``. The harness's own
        interpreter is taken where it fits.
    source
        Distributions without a wheel in the registry: each is built here once and its wheel kept.
    apt
        Debian packages that building or running needs.
    environ
        Environment variables for building and installing.
    steps
        Commands to run afterwards, in the recipe's folder, with the environment's programs first on PATH.
    unavailable
        Why the library cannot be installed: it is then listed with this reason, and no attempt is made.
    processors
        Vendors of processors, as /proc/cpuinfo names them: on those `unavailable` does not hold.
    """

    python: str = Field(
        default="",
        pattern=r"^$|^(==|>=|<=|<|>|~=|!=)\d+(\.\d+|\.\*)*(,(==|>=|<=|<|>|~=|!=)\d+(\.\d+|\.\*)*)*$",
    )
    source: tuple[str, ...] = ()
    apt: tuple[str, ...] = ()
    environ: dict[str, str] = Field(default_factory=dict)
    steps: tuple[str, ...] = ()
    unavailable: str = ""
    processors: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _processors_have_a_reason(self) -> Self:
        if self.processors and not self.unavailable:
            raise mistake("`unavailable` is missing: why not on other processors?", at=("processors",))
        return self

    def unavailable_here(self) -> str:
        """Return why the library cannot be installed on this machine; nothing where it can."""
        return "" if cpu_vendor() in self.processors else self.unavailable


@dataclass(frozen=True)
class RecipeFolder:
    """A recipe as it lies on disk."""

    name: str
    path: Path
    recipe: Recipe

    @property
    def requirements(self) -> Path:
        """The file of pinned requirements."""
        return self.path / "requirements.txt"

    def pins(self) -> dict[str, str]:
        """Return the version of each distribution in `requirements.txt`, by canonical name, in its order.

        `ConfigError` where a line asks for anything else than one version.
        """
        if not self.requirements.is_file():
            return {}
        pins = {}
        text = self.requirements.read_text(encoding="utf-8").replace("\\\n", " \n")
        for number, line in enumerate(text.splitlines(), start=1):
            asked = re.sub(r"(^|\s)#.*", "", line).strip()
            if not asked or asked.startswith("-"):
                continue
            pinned = _PINNED.fullmatch(asked)
            if pinned is None:
                raise ConfigError(
                    f'{self.requirements}:{number}: got "{asked}"; '
                    "each line pins one version of one distribution: name==version"
                )
            pins[canonical(pinned["name"])] = pinned["version"]
        return pins

    def digest(self) -> str:
        """Return a hash of the folder's files: an environment made from others is out of date."""
        digest = hashlib.sha256()
        for file in sorted(self.path.rglob("*")):
            if file.is_file():
                digest.update(f"{file.relative_to(self.path)}\0{file.stat().st_size}\0".encode())
                digest.update(file.read_bytes())
        return digest.hexdigest()


def canonical(name: str) -> str:
    """Return the one spelling of a distribution's name that all of its spellings have in common."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_lock(lock: str) -> dict[str, str]:
    """Return the version of each distribution in a lock (`name==version`, one a line), by canonical name."""
    pairs = (line.split("==", 1) for line in lock.splitlines() if "==" in line)
    return {canonical(name): version for name, version in pairs}


def list_recipes(definitions: Sequence[Path] = ()) -> dict[str, Path]:
    """Return the folder of every recipe: the project's own, then those of each folder in `definitions`."""
    found: dict[str, Path] = {}
    for install in (carried("install"), *(folder / "install" for folder in definitions)):
        for folder in sorted(install.iterdir()) if install.is_dir() else ():
            if not folder.is_dir() or folder.name.startswith((".", "_")):
                continue
            if folder.name in found or folder.name == HARNESS:
                first = found.get(folder.name, "the harness's own environment")
                raise ConfigError(
                    f"{folder}: the recipe {folder.name} exists already ({first}); choose another name"
                )
            found[folder.name] = folder
    return found


def read_recipe(name: str, definitions: Sequence[Path] = ()) -> RecipeFolder:
    """Return the recipe `name`; `UsageError` if there is none, `ConfigError` if it has a mistake."""
    folders = list_recipes(definitions)
    if name not in folders:
        raise UsageError(f"{name}: there is no such recipe in install/{near(name, folders)}")
    path = folders[name]
    file = path / "recipe.yaml"
    recipe = Document.read(file).validated(Recipe) if file.is_file() else Recipe()
    folder = RecipeFolder(name, path, recipe)
    pins = folder.pins()
    if not pins and not recipe.unavailable_here():
        raise ConfigError(
            f"{folder.requirements}: pins nothing; write one line `name==version` for each distribution"
        )
    for i, source in enumerate(recipe.source):
        if canonical(source) not in pins:
            raise Document.read(file).error(
                f'got "{source}"; it is not pinned in requirements.txt{near(source, pins)}', at=("source", i)
            )
    return folder
