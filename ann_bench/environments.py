"""The environments that libraries live in: made, described, and what is installed in them identified.

An environment is the folder `environments/NAME` in the cache. `NAME.json` beside it, written last and renamed
into its place, says that the installation ended, and how: without it the folder is left from an interrupted
one and is made anew. `NAME.log` holds what the last installation said.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import filelock

from ann_bench import __version__
from ann_bench.errors import InstallError, MissingPythonError
from ann_bench.machine import allowed_cpus
from ann_bench.paths import PACKAGE, environments_dir
from ann_bench.recipes import HARNESS, canonical, parse_lock, read_recipe
from ann_bench.supervised import Commands

ENGINE = "ann_bench"
State = Literal["ready", "missing", "failed", "unavailable"]
_LOOK_UP_S = 0.3


@dataclass(frozen=True)
class Environment:
    """An environment as it is now.

    Attributes
    ----------
    state
        ``ready``; ``missing``: not installed, or from an older recipe; ``failed``: its installation did;
        ``unavailable``: its recipe says that it cannot be installed here.
    python
        Its interpreter, where it is ready.
    versions
        The installed version of each pinned distribution.
    lock
        All that is installed, one `name==version` a line.
    reason
        Why it is not ready, in one line.
    seconds
        How long the installation took.
    log
        What the installation said, where there was one.
    """

    name: str
    state: State
    python: Path | None = None
    versions: dict[str, str] = field(default_factory=dict)
    lock: str = ""
    reason: str = ""
    seconds: float = 0.0
    log: Path | None = None


@dataclass(frozen=True)
class _Outcome:
    """How an installation ended, as `NAME.json` holds it."""

    state: State
    recipe: str
    lock: str = ""
    reason: str = ""
    seconds: float = 0.0


def describe(name: str, definitions: Sequence[Path] = ()) -> Environment:
    """Return the environment `name` as it is; "harness" is the one that this program runs in.

    Starts no process.
    """
    if name == HARNESS:
        return _harness()
    folder = read_recipe(name, definitions)
    if unavailable := folder.recipe.unavailable_here():
        return Environment(name, "unavailable", reason=unavailable)
    outcome = _read_outcome(name)
    if outcome is None:
        return Environment(name, "missing", reason=f"not installed: ann-bench install {name}")
    if outcome.recipe != folder.digest():
        reason = f"its recipe has changed since it was installed: ann-bench install {name}"
        return Environment(name, "missing", reason=reason)
    if outcome.state != "ready":
        return Environment(
            name, outcome.state, reason=outcome.reason, seconds=outcome.seconds, log=_beside(name, "log")
        )
    python = _python(name)
    if not python.exists():
        reason = f"its interpreter {python} is gone: ann-bench install --force {name}"
        return Environment(name, "missing", reason=reason)
    installed = parse_lock(outcome.lock)
    versions = {pin: installed[pin] for pin in folder.pins() if pin in installed}
    log = _beside(name, "log")
    return Environment(name, "ready", python, versions, outcome.lock, seconds=outcome.seconds, log=log)


def install(
    name: str,
    *,
    definitions: Sequence[Path] = (),
    force: bool = False,
    report: Callable[[str], None] = lambda _line: None,
    commands: Commands | None = None,
    cores: int | None = None,
) -> Environment:
    """Return the environment `name`, made first unless it is ready; a failure is its state, and no exception.

    Where the machine has no Python that the recipe asks for, the environment is unavailable until it has.

    Parameters
    ----------
    force
        Make it anew even if it is ready.
    report
        Gets a line for each step.
    commands
        What runs the steps; once stopped it makes `Stopped` end the installation, and leaves it to be done.
    cores
        How many cores a build may keep busy; all that this process may use, if None.
    """
    from ann_bench.installer import Installer, missing_packages

    environment = describe(name, definitions)
    if name == HARNESS or (environment.state == "ready" and not force):
        return environment
    if environment.state == "unavailable" and environment.log is None:  # so its recipe says, and nobody tried
        return environment
    folder = read_recipe(name, definitions)
    commands = commands or Commands(allowed_cpus())
    environments_dir().mkdir(parents=True, exist_ok=True)
    lock = _acquired(name, report, commands)
    try:
        environment = describe(name, definitions)
        if environment.state == "ready" and not force:
            return environment
        _beside(name, "json").unlink(missing_ok=True)
        start = time.monotonic()
        with _beside(name, "log").open("w", encoding="utf-8") as log:
            target = environments_dir() / name
            share = cores or len(commands.cpus)
            installer = Installer(folder, target, log, report, commands, share, refresh=force)
            try:
                outcome = _Outcome("ready", folder.digest(), lock=installer.install())
            except MissingPythonError as error:
                outcome = _Outcome("unavailable", folder.digest(), reason=str(error))
            except InstallError as error:
                missing = missing_packages(folder.recipe.apt)
                hint = f" (missing Debian packages: {', '.join(missing)})" if missing else ""
                outcome = _Outcome("failed", folder.digest(), reason=f"{error}{hint}")
        _write_outcome(name, outcome, time.monotonic() - start)
    finally:
        lock.release()
    return describe(name, definitions)


def _acquired(name: str, report: Callable[[str], None], commands: Commands) -> filelock.BaseFileLock:
    """Return the lock of an environment, once it is ours."""
    lock = filelock.FileLock(_beside(name, "lock"))
    with contextlib.suppress(filelock.Timeout):
        lock.acquire(blocking=False)
    if not lock.is_locked:
        report(f"{name}: another process is installing it; waiting")
    while not lock.is_locked:
        commands.check()
        with contextlib.suppress(filelock.Timeout):
            lock.acquire(timeout=_LOOK_UP_S)
    return lock


def library_version(environment: str, library: str) -> str:
    """Return the version of `library` in the environment `environment`; `InstallError` if it is not there."""
    return __version__ if library == ENGINE else _distribution(environment, library).version


def library_digest(environment: str, library: str) -> str:
    """Return the sha256, in hex, of what is installed of `library`: two builds of one version differ in it.

    It is made of the hashes in the distribution's RECORD, of the files behind an editable installation, and
    for the built-in engine of its compiled module and the Python around it.
    """
    if library == ENGINE:
        return _engine_digest(_engine_module(), PACKAGE / "engine")
    return _digest(_distribution(environment, library))


def installed_in(folder: Path, library: str) -> tuple[str, str]:
    """Return version and digest of what a virtual environment has of `library`; `InstallError` without it."""
    packages = list(folder.glob("lib/python*/site-packages"))
    for found in _distributions(name=library, path=[os.fspath(path) for path in packages]):
        if library != ENGINE:
            return found.version, _digest(found)
        for module in (file for path in packages for file in path.glob(f"{ENGINE}/engine/_native*.so")):
            return found.version, _engine_digest(module, module.parent)
    raise InstallError(f"{library}: not in the environment {folder}")


def _digest(distribution: importlib.metadata.Distribution) -> str:
    # The metadata tells where a wheel came from, and scripts name their interpreter: neither is the library.
    lines = [
        f"{file} {file.hash.value}"
        for file in sorted(distribution.files or (), key=str)
        if file.hash and file.parts[0] != ".." and not file.parts[0].endswith(".dist-info")
    ]
    lines.append(f"{canonical(distribution.name)}=={distribution.version}")
    lines += _edited(distribution)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _edited(distribution: importlib.metadata.Distribution) -> Iterator[str]:
    """Yield a line for each file of the folder behind an editable installation; nothing for any other."""
    told = json.loads(distribution.read_text("direct_url.json") or "{}")
    if not told.get("dir_info", {}).get("editable"):
        return
    root = Path(unquote(urlsplit(told["url"]).path))
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        for file in sorted(files):
            path = Path(folder) / file
            with contextlib.suppress(OSError):
                facts = path.stat()
                yield f"{path.relative_to(root)} {facts.st_size} {facts.st_mtime_ns}"


def _engine_digest(module: Path, python: Path) -> str:
    files = [module, *sorted(python.glob("*.py"))]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _python(name: str) -> Path:
    return environments_dir() / name / "bin" / "python"


def _beside(name: str, suffix: str) -> Path:
    return environments_dir() / f"{name}.{suffix}"


def _read_outcome(name: str) -> _Outcome | None:
    try:
        values: dict[str, Any] = json.loads(_beside(name, "json").read_text(encoding="utf-8"))
        return _Outcome(**values)
    except (OSError, ValueError, TypeError):
        return None


def _write_outcome(name: str, outcome: _Outcome, seconds: float) -> None:
    new = _beside(name, "json.new")
    new.write_text(json.dumps({**asdict(outcome), "seconds": round(seconds, 3)}, indent=1), encoding="utf-8")
    new.replace(_beside(name, "json"))


@functools.cache
def _harness() -> Environment:
    installed = {found.name: found.version for found in _distributions()}
    lock = "".join(f"{name}=={version}\n" for name, version in sorted(installed.items()))
    return Environment(HARNESS, "ready", Path(sys.executable), installed, lock)


def _distributions(**where: Any) -> Iterator[importlib.metadata.Distribution]:
    """Yield what is installed; what an interrupted removal left, without its metadata, is not."""
    for found in importlib.metadata.distributions(**where):
        if found.read_text("METADATA") or found.read_text("PKG-INFO"):
            yield found


def _distribution(environment: str, library: str) -> importlib.metadata.Distribution:
    if environment == HARNESS:
        path = sys.path
    else:
        folders = (environments_dir() / environment).glob("lib/python*/site-packages")
        path = [os.fspath(folder) for folder in folders]
    for found in _distributions(name=library, path=path):
        return found
    raise InstallError(f"{library}: not in the environment {environment}; ann-bench install {environment}")


def _engine_module() -> Path:
    """Return the file of the engine's compiled module, without importing the engine."""
    for finder in sys.meta_path:
        spec = finder.find_spec(f"{ENGINE}.engine._native", [str(PACKAGE / "engine")])
        if spec is not None and spec.origin is not None:
            return Path(spec.origin)
    raise InstallError("the engine is not compiled; `make` does that, or `pip install .`")
