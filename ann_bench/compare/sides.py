"""The two sides of a comparison: what `--against` and `--versus` name, made ready to run.

A side is an algorithm with its wrapper and an interpreter that has its library. The worker is always the
running harness's. BASE may be named in five ways:

    REVISION         of the repository that the library's source is in, such as main or HEAD~3
    DIRECTORY        a source tree, or a virtual environment (it has bin/python)
    FILE.whl         a wheel
    NAME==VERSION    that version, in an environment made from the algorithm's recipe with this pin changed
    ENVIRONMENT      another recipe, by its name

NEW is the working tree where the library's source is at hand, uncommitted changes included: for the built-in
engine this project, for an algorithm of `--definitions` the repository that the definitions are in. Of any
other library it is what is installed.
"""

import hashlib
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from filelock import FileLock

from ann_bench import config, environments
from ann_bench.compare import sources
from ann_bench.config import Algorithm
from ann_bench.environments import ENGINE, Environment
from ann_bench.errors import InstallError, InvalidComparisonError, MissingSideError, SideError, UsageError
from ann_bench.paths import carried, in_clone
from ann_bench.recipes import HARNESS, canonical, list_recipes, read_recipe
from ann_bench.supervised import Commands

# Tells uv to take a wheel's file; a pinned version alone may be had from the registry just as well.
_WHEEL_FILE = "wheel-of-the-side.txt"
# Lines of a requirements file that name a file or a folder, from where the file itself lies.
_PLACED = re.compile(
    r"(\s*(?:-r|-c|-f|-e|--requirement|--constraint|--find-links|--editable)[\s=]\s*)(.+?)\s*(?:\s#.*)?"
)
_WAYS = (
    "BASE is a revision, a folder with a pyproject.toml, a setup.py or a bin/python, a wheel, NAME==VERSION, "
    "or an environment that install/ has a recipe for"
)


@dataclass(frozen=True)
class Side:
    """One side, ready to run.

    Attributes
    ----------
    title
        What it is, in a few words: ``main (27cb2d9c)``, ``working tree``, ``annoy 1.17.2``.
    state
        What a history shows: the commit, or the version.
    algorithm
        Its entry, wrapper and parameters.
    python
        The interpreter that has the library.
    digest
        sha256 of what is installed of the library.
    """

    title: str
    state: str
    algorithm: Algorithm
    python: Path
    version: str
    digest: str

    def facts(self) -> dict[str, Any]:
        """Return what a record says of it."""
        return {
            "title": self.title,
            "state": self.state,
            "algorithm": self.algorithm.name,
            "library": self.algorithm.library,
            "version": self.version,
            "digest": self.digest,
        }


def check_alike(base: dict[str, Any], new: dict[str, Any], *, one_library: bool = True) -> None:
    """Raise `InvalidComparisonError` if two builds are not comparable: debug builds, or unequal flags.

    Parameters
    ----------
    base, new
        What the sides' wrappers tell of how their libraries were built (`build_info`).
    one_library
        Whether both sides are of one library; of two, each has the flags that it comes with.
    """
    for name, told in (("BASE", base), ("NEW", new)):
        kind = str(told.get("build_type", "Release"))
        if kind.lower() not in ("release", "relwithdebinfo", "minsizerel"):
            raise InvalidComparisonError(
                f"{name} is a build of type {kind}; only optimised builds are compared: build it as Release"
            )
    for key in ("build_type", "compiler", "flags", "isa") if one_library else ():
        if key in base and key in new and base[key] != new[key]:
            raise InvalidComparisonError(
                f"the sides are built with different {key}: BASE {base[key]}; NEW {new[key]}; "
                "build both alike"
            )


class Workshop:
    """Makes sides of one algorithm ready to run.

    Parameters
    ----------
    algorithm
        As it is defined here; a side that has an entry and a wrapper of its own is run with those.
    commands
        What runs builds and installations.
    report
        Gets a line for each thing that takes long.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        definitions: Sequence[Path],
        commands: Commands,
        report: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._algorithm = algorithm
        self._definitions = definitions
        self._commands = commands
        self._report = report
        self._source = _source_of(algorithm, definitions)

    def installed(self) -> Side:
        """Return the side of what is installed; `SideError` where it is not."""
        library = self._algorithm.library
        environment = environments.describe(self._algorithm.environment, self._definitions)
        side = self._in_environment(environment, self._algorithm, library)
        title = f"{library} {side.version}" if library != ENGINE else "the installed engine"
        return replace(side, title=title)

    def new(self, environ: Mapping[str, str] | None = None) -> Side:
        """Return NEW: the working tree where the library's source is at hand, else what is installed.

        Parameters
        ----------
        environ
            Environment variables for building the working tree, beside those of the recipe.
        """
        if self._source is None:
            return self.installed()
        return self._from_tree(sources.working_tree(self._source), "working tree", environ or {})

    def base(self, text: str) -> Side:
        """Return the side that `text` names, in one of this module's ways.

        Raises
        ------
        UsageError
            If it names nothing.
        SideError
            If it does not build, or cannot be installed.
        """
        path = Path(text).expanduser()
        if not text.strip():
            raise UsageError(f"--against: got {text!r}; {_WAYS}")
        if "==" in text:
            return self._pinned(text)
        if path.suffix == ".whl":
            if not path.is_file():
                raise UsageError(f"--against: got {text}; there is no such wheel")
            return self._from_wheel(self._algorithm, path.resolve(), path.name)
        if (path / "bin" / "python").exists():
            return self._from_python(self._algorithm, path.absolute() / "bin" / "python", text)
        if path.is_dir() and any((path / name).is_file() for name in ("pyproject.toml", "setup.py")):
            self._check_library(text, sources.project_name(path))
            return self._from_tree(sources.working_tree(path.resolve()), text)
        commit = sources.commit(self._source, text) if self._source is not None else None
        if self._source is not None and commit is not None:
            title = commit[:12] if commit.startswith(text) else f"{text} ({commit[:12]})"
            return self._from_tree(sources.revision(self._source, commit), title)
        if text in list_recipes(self._definitions):
            return self._recipe(text, self._definitions, self._algorithm, f"environment {text}")
        revision = (
            f"revision of {self._source}"
            if self._source is not None
            else f"revision (the source of {self._algorithm.library} is not here)"
        )
        raise UsageError(f"--against: got {text}; it is no {revision}; {_WAYS}")

    # -- the ways to make one -------------------------------------------------------------------------

    def _from_tree(
        self, tree: sources.Tree, title: str, environ: Mapping[str, str] = MappingProxyType({})
    ) -> Side:
        """Return the side of a source tree: its wheel, built once, with the tree's own wrapper, if any."""
        python = sys.executable
        if self._algorithm.environment != HARNESS:
            recipe = read_recipe(self._algorithm.environment, self._definitions).recipe
            environ, python = {**recipe.environ, **environ}, recipe.python or python
        wheel = sources.wheel(
            tree,
            engine=self._algorithm.library == ENGINE,
            environ=environ,
            python=python,
            commands=self._commands,
            report=self._report,
            title=title,
        )
        with tree.extracted() as root:
            algorithm = self._own_entry(root, title)
        return replace(self._from_wheel(algorithm, wheel, title), state=tree.state or title)

    def _own_entry(self, root: Path, title: str) -> Algorithm:
        """Return the algorithm as the tree at `root` defines it; as defined here, if it defines none.

        Entry and wrapper are kept, since what was extracted does not last. Raises `MissingSideError` where a
        tree of the project itself defines others and not this one.
        """
        is_engine = self._algorithm.library == ENGINE
        inside = [
            folder.resolve().relative_to(self._source)
            for folder in self._definitions
            if self._source is not None and folder.resolve().is_relative_to(self._source)
        ]
        for place in (*inside, Path()):
            file = root / place / "algorithms.yaml"
            wrappers = root / place / ("ann_bench/wrappers" if is_engine else "wrappers")
            if file.is_file() and wrappers.is_dir():
                kept = sources.keep(file, wrappers)
                found = config.load_entry(
                    kept / "algorithms.yaml", self._algorithm.name, kept / "wrappers", self._definitions
                )
                if found is None and is_engine:
                    raise MissingSideError(f"{title} has no {self._algorithm.name}")
                return found or self._algorithm
        return self._algorithm

    def _from_wheel(self, algorithm: Algorithm, wheel: Path, title: str) -> Side:
        """Return the side of a wheel: the algorithm's environment, with this wheel in the library's place."""
        parts = wheel.stem.split("-")
        if len(parts) not in (5, 6):
            raise UsageError(
                f"--against: got {wheel.name}; a wheel is named NAME-VERSION-PYTHON-ABI-PLATFORM.whl"
            )
        self._check_library(wheel.name, parts[0])
        if algorithm.library == ENGINE:
            python = sources.engine_environment(wheel, self._commands, self._report, title)
            return self._from_python(algorithm, python, title)
        self._check_environment(wheel.name)
        key = hashlib.sha256(wheel.read_bytes()).hexdigest()[:12]
        return self._derived(algorithm, key, self._pins(parts[1]), title, wheel=wheel)

    def _pinned(self, text: str) -> Side:
        """Return the side of another version from the registry."""
        algorithm = self._algorithm
        found = re.fullmatch(r"\s*([A-Za-z0-9._-]+)\s*==\s*([A-Za-z0-9.!+_]+)\s*", text)
        if not found:
            raise UsageError(f"--against: got {text}; a version is named as {algorithm.library}==1.2.3")
        name, version = found[1], found[2]
        self._check_library(text, name)
        self._check_environment(text)
        return self._derived(algorithm, version, self._pins(version), f"{algorithm.library} {version}")

    def _check_library(self, text: str, name: str | None) -> None:
        """Raise `UsageError` where BASE is another library; None may be any."""
        library = self._algorithm.library
        if name is not None and canonical(name) != canonical(library):
            raise UsageError(
                f"--against: got {text}; it is {name}, and {self._algorithm.name} measures {library}: "
                f"name a version of {library}, or another --algorithm"
            )

    def _check_environment(self, text: str) -> None:
        """Raise `UsageError` where the algorithm has no environment that another could be made like."""
        if self._algorithm.environment == HARNESS:
            engine = self._algorithm.library == ENGINE
            raise UsageError(
                f"--against: got {text}; {self._algorithm.name} runs in the harness's own environment, which "
                f"has one version: name {'a revision, a folder or a wheel' if engine else 'a folder with'}"
                f"{'' if engine else f' bin/python that has another {self._algorithm.library}'}"
            )

    def _pins(self, version: str) -> list[str]:
        """Return the lines of the recipe's requirements with another version of the library."""
        recipe = read_recipe(self._algorithm.environment, self._definitions)
        library = canonical(self._algorithm.library)
        if library not in recipe.pins():
            raise UsageError(
                f"{recipe.requirements}: does not pin {library}; no other version can be had by it"
            )
        lines = []
        for line in recipe.requirements.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
            pinned = re.match(
                r"(\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*==\s*)[^\s;#]+([^#]*)", line
            )
            if pinned and canonical(pinned[2]) == library:
                marker = re.sub(r"--hash\S*", "", pinned[4]).rstrip()
                line = f"{pinned[1]}{version}{marker}"
            placed = _PLACED.fullmatch(line)
            if placed and (recipe.path / placed[2]).exists():
                line = f"{placed[1]}{(recipe.path / placed[2]).resolve()}"
            lines.append(line)
        return lines

    def _derived(
        self,
        algorithm: Algorithm,
        version: str,
        lines: Sequence[str],
        title: str,
        *,
        wheel: Path | None = None,
    ) -> Side:
        """Return the side of an environment made from the algorithm's recipe with other requirements.

        Parameters
        ----------
        wheel
            The library's, instead of what the registry has of that version.
        """
        recipe = read_recipe(self._algorithm.environment, self._definitions)
        name = f"{recipe.name}-{version}"
        made = sources.sides_dir() / "recipes"
        folder = made / "install" / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(made / f"{name}.lock"):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(recipe.path, folder)
            if wheel is not None:
                lines = [f"-r {_WHEEL_FILE}", *lines]
                (folder / _WHEEL_FILE).write_text(
                    f"{algorithm.library} @ {wheel.as_uri()}\n", encoding="utf-8"
                )
                told = recipe.recipe.model_dump(mode="json", exclude_defaults=True)
                told["source"] = [
                    name for name in recipe.recipe.source if canonical(name) != canonical(algorithm.library)
                ]
                (folder / "recipe.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
            (folder / "requirements.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
        return self._recipe(name, [made], algorithm, title)

    def _recipe(self, name: str, definitions: Sequence[Path], algorithm: Algorithm, title: str) -> Side:
        environment = environments.install(
            name, definitions=definitions, commands=self._commands, report=self._report
        )
        return self._in_environment(environment, algorithm, title)

    def _in_environment(self, environment: Environment, algorithm: Algorithm, title: str) -> Side:
        if environment.state != "ready" or environment.python is None:
            log = f" (log: {environment.log})" if environment.log else ""
            raise SideError(f"{title}: {environment.reason}{log}")
        if environment.name != HARNESS:
            return self._from_python(algorithm, environment.python, title)
        try:
            version = environments.library_version(HARNESS, algorithm.library)
            digest = environments.library_digest(HARNESS, algorithm.library)
        except InstallError as error:
            raise SideError(f"{title}: {error}") from error
        return Side(title, version, algorithm, environment.python, version, digest)

    def _from_python(self, algorithm: Algorithm, python: Path, title: str) -> Side:
        """Return the side of a virtual environment."""
        try:
            version, digest = environments.installed_in(python.parent.parent, algorithm.library)
        except InstallError as error:
            raise SideError(f"{title}: {error}") from error
        return Side(title, version, algorithm, python, version, digest)


def _source_of(algorithm: Algorithm, definitions: Sequence[Path]) -> Path | None:
    """Return the root of the repository that the algorithm's library is built from, where it is at hand."""
    if algorithm.library == ENGINE:
        return carried("").resolve() if in_clone() else None
    for folder in definitions:
        if algorithm.wrapper_path.resolve().is_relative_to(folder.resolve()):
            root = sources.repository(folder.resolve())
            if root is not None and sources.project_name(root) == canonical(algorithm.library):
                return root
    return None
