"""Source trees as they are, or were at a revision, and the wheels made of them, each built once.

A tree is known by the hashes that git gives its files: the working tree without a change has the wheel of the
commit that it stands on. What is built is kept in the cache under `sides/`.
"""

import contextlib
import hashlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uv
from filelock import FileLock

from ann_bench.errors import SideError, UsageError
from ann_bench.paths import cache_dir
from ann_bench.recipes import canonical
from ann_bench.supervised import Commands

# What the engine's wheel is made from; the harness around it may change without another build.
_ENGINE_FILES = ("CMakeLists.txt", "pyproject.toml", "native/CMakeLists.txt")
_ENGINE_FOLDERS = tuple(f"native/{name}/" for name in ("bindings", "include", "src", "third_party"))
# What tells compilers how to build, beside the sources.
_BUILD_VARIABLES = ("CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "CMAKE_ARGS", "SKBUILD_CMAKE_DEFINE")
_NO_SOURCE = (".git", ".venv", "build", "dist", ".cache", "__pycache__", "*.egg-info", "results")
_TELLING_LINES = 4


@dataclass(frozen=True)
class Tree:
    """A source tree.

    Attributes
    ----------
    root
        Its folder; the repository's, where it is one.
    commit
        The commit, None for the files as they are now.
    state
        The commit in short, with a `+` where files differ from it; nothing outside a repository.
    files
        git's hash of each file, by its path.
    """

    root: Path
    commit: str | None
    state: str
    files: dict[str, str]

    def digest(self, *, engine: bool, environ: Mapping[str, str]) -> str:
        """Return a hash of what a wheel is made from: all files, or those of the engine, and how."""
        chosen = sorted(
            (path, found) for path, found in self.files.items() if not engine or _is_engine_file(path)
        )
        told = {name: os.environ.get(name, "") for name in _BUILD_VARIABLES}
        variables = [f"{name}={value}" for name, value in sorted({**told, **environ}.items())]
        text = "\n".join([*(f"{found} {path}" for path, found in chosen), *variables, sys.version])
        return hashlib.sha256(text.encode()).hexdigest()

    @contextlib.contextmanager
    def extracted(self) -> Iterator[Path]:
        """Give the tree's files in a folder of their own, for as long as this lasts."""
        home = sides_dir()
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="tree-", dir=home) as folder:
            target = Path(folder)
            if self.commit is not None:
                archive = _git(self.root, "archive", "--format=tar", self.commit)
                with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                    tar.extractall(target, filter="data")
            else:
                for name in self.files:
                    (target / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(self.root / name, target / name, follow_symlinks=False)
            yield target


def sides_dir() -> Path:
    """Folder of what comparisons build and keep."""
    return cache_dir() / "sides"


def repository(folder: Path) -> Path | None:
    """Return the root of the git repository that `folder` is in, None if it is in none."""
    with contextlib.suppress(UsageError):
        return Path(os.fsdecode(_git(folder, "rev-parse", "--show-toplevel")).strip())
    return None


def commit(root: Path, text: str) -> str | None:
    """Return the commit that `text` names in the repository, None if it names none."""
    with contextlib.suppress(UsageError):
        words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}")
        return _git(root, *words).decode().strip()
    return None


def project_name(root: Path) -> str | None:
    """Return the canonical name of the distribution that a source tree makes, None where it does not say."""
    try:
        named = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    except (OSError, tomllib.TOMLDecodeError, KeyError, UnicodeDecodeError):
        return None
    return canonical(str(named))


def revision(root: Path, commit: str) -> Tree:
    """Return the tree of a commit."""
    files = {}
    for line in _git(root, "ls-tree", "-r", "-z", commit).split(b"\0"):
        if line:
            facts, path = line.split(b"\t", 1)
            files[os.fsdecode(path)] = facts.split()[2].decode()
    return Tree(root, commit, commit[:12], files)


def working_tree(root: Path) -> Tree:
    """Return the tree of a folder as it is; in a repository without what git ignores."""
    state = ""
    if repository(root) is not None:
        listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split(b"\0")
        names = sorted({os.fsdecode(name) for name in listed if name})
        state = _git(root, "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*").decode().strip()
    else:
        ignored = shutil.ignore_patterns(*_NO_SOURCE)
        names = []
        for folder, folders, found in os.walk(root):
            left_out = ignored(folder, [*folders, *found])
            folders[:] = sorted(set(folders) - left_out)
            names += [str((Path(folder) / name).relative_to(root)) for name in sorted(set(found) - left_out)]
    names = [name for name in names if (root / name).is_file()]
    hashes = _git(root, "hash-object", "--stdin-paths", given="\n".join(names).encode()).decode().split()
    return Tree(root, None, state, dict(zip(names, hashes, strict=True)))


def wheel(
    tree: Tree,
    *,
    engine: bool,
    environ: Mapping[str, str],
    commands: Commands,
    report: Callable[[str], None],
    title: str,
) -> Path:
    """Return the wheel of a tree, built if it was not yet; `SideError` tells why it does not build.

    Parameters
    ----------
    engine
        Whether it is the built-in engine, which is built with what the harness has, where it has it.
    environ
        Environment variables for building.
    """
    folder = sides_dir() / "wheels" / tree.digest(engine=engine, environ=environ)[:20]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if made := sorted(folder.glob("*.whl")):
            return made[0]
        report(f"{title}: building")
        variables = {**os.environ, **environ}
        isolated = []
        if engine and importlib.util.find_spec("scikit_build_core"):
            isolated = ["--no-build-isolation"]
            programs = sysconfig.get_path("scripts")
            variables["PATH"] = f"{programs}{os.pathsep}{variables.get('PATH', '')}"
        variables["CMAKE_BUILD_PARALLEL_LEVEL"] = variables["MAX_JOBS"] = str(len(commands.cpus))
        with tree.extracted() as root:
            made_in = root.with_name(f"{root.name}-wheel")
            command = [uv.find_uv_bin(), "build", "--wheel", *isolated, "--python", sys.executable]
            _run([*command, "--out-dir", str(made_in), str(root)], root, variables, commands, title)
            try:
                shutil.rmtree(folder, ignore_errors=True)
                made_in.rename(folder)
            finally:
                shutil.rmtree(made_in, ignore_errors=True)
    return sorted(folder.glob("*.whl"))[0]


def keep(entries: Path, wrappers: Path) -> Path:
    """Return a folder that keeps `algorithms.yaml` and `wrappers/` of an extracted tree."""
    files = [entries, *sorted(wrappers.glob("*.py"))]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
    folder = sides_dir() / "definitions" / digest[:20]
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(prefix="definitions-", dir=sides_dir()) as new:
            (Path(new) / "it" / "wrappers").mkdir(parents=True)
            shutil.copy2(entries, Path(new) / "it" / "algorithms.yaml")
            for file in files[1:]:
                shutil.copy2(file, Path(new) / "it" / "wrappers" / file.name)
            folder.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):  # another run was first
                (Path(new) / "it").rename(folder)
    return folder


def engine_environment(wheel: Path, commands: Commands, report: Callable[[str], None], title: str) -> Path:
    """Return the interpreter of an environment that has this wheel of the engine, and the harness's NumPy.

    NumPy is the same on both sides, whatever they are, and nothing is downloaded.
    """
    key = hashlib.sha256(wheel.read_bytes()).hexdigest()[:20]
    folder = sides_dir() / "environments" / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "ready").is_file():
            report(f"{title}: its environment")
            shutil.rmtree(folder, ignore_errors=True)
            program, python = uv.find_uv_bin(), str(folder / "bin" / "python")
            environ = dict(os.environ)
            for command in (
                [program, "venv", "--quiet", "--python", sys.executable, str(folder)],
                [program, "pip", "install", "--quiet", "--no-deps", "--python", python, str(wheel)],
            ):
                _run(command, folder.parent, environ, commands, title)
            (packages,) = folder.glob("lib/python*/site-packages")
            (packages / "numpy_of_the_harness.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
            (folder / "ready").touch()
    return folder / "bin" / "python"


def _is_engine_file(path: str) -> bool:
    return path in _ENGINE_FILES or path.startswith((*_ENGINE_FOLDERS, "ann_bench/engine/"))


def _run(
    command: Sequence[str], folder: Path, environ: Mapping[str, str], commands: Commands, title: str
) -> None:
    """Run a command; `SideError` with the end of what it printed, where it fails."""
    code, printed = commands.run(command, folder, environ)
    if code:
        log = sides_dir() / "failed-build.log"
        log.write_text(printed, encoding="utf-8")
        lines = [line for line in printed.splitlines() if line.strip()]
        telling = [line for line in lines if "error:" in line.lower()] or lines
        raise SideError(
            f"{title}: does not build ({' '.join(command[1:3])}: exit status {code}):\n  "
            + "\n  ".join(line.strip()[:200] for line in telling[-_TELLING_LINES:])
            + f"\n  all of it: {log}"
        )


def _git(root: Path, *words: str, given: bytes | None = None) -> bytes:
    """Return what git printed in `root`; `UsageError` where it fails, or is not there."""
    try:
        ended = subprocess.run(["git", *words], cwd=root, input=given, capture_output=True, check=True)
    except FileNotFoundError:
        raise UsageError("git: not found; comparing revisions needs it") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise UsageError(f"git {words[0]} in {root}: {said[-1] if said else 'failed'}") from None
    return ended.stdout
