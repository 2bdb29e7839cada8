"""Source trees as they are, or were at a revision, and the wheels made of them, each built once.

A tree is known by the hashes that git gives its files: the working tree without a change has the wheel of the
commit that it stands on. What is built is kept in the cache under `sides/`.
"""

import contextlib
import functools
import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import uv
from filelock import FileLock

from ann_bench.errors import SideError, UsageError
from ann_bench.installer import telling_line
from ann_bench.machine import cpu_model
from ann_bench.paths import cache_dir
from ann_bench.recipes import canonical
from ann_bench.supervised import Commands

# What the engine's wheel is made from; the harness around it may change without another build.
_ENGINE_FILES = ("CMakeLists.txt", "pyproject.toml", "native/CMakeLists.txt")
_ENGINE_FOLDERS = tuple(f"native/{name}/" for name in ("bindings", "include", "src", "third_party"))
# What tells compilers how to build, beside the sources.
_BUILD_VARIABLES = ("CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "CMAKE_ARGS", "SKBUILD_CMAKE_DEFINE")
# What a source tree outside a repository holds beside its sources: in any folder, and at its root.
_NO_SOURCE = (".git", ".venv", "__pycache__", "*.egg-info")
_NO_SOURCE_AT_ROOT = ("build", "dist", ".cache", "results")
# What git hooks are told of their own repository; ours may be another.
_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY")


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
        git's hash of each file, by its path; of a link that of the path it holds.
    submodules
        The trees of those that are checked out, by their folder.
    """

    root: Path
    commit: str | None
    state: str
    files: dict[str, str]
    submodules: dict[str, "Tree"]

    def digest(self, *, engine: bool, environ: Mapping[str, str]) -> str:
        """Return a hash of what a wheel is made from: all files, or those of the engine, and how."""
        chosen = sorted((path, found) for path, found in self._all() if not engine or _is_engine_file(path))
        told = {name: os.environ.get(name, "") for name in _BUILD_VARIABLES}
        variables = [f"{name}={value}" for name, value in sorted({**told, **environ}.items())]
        text = "\n".join(
            [
                *(f"{found} {path}" for path, found in chosen),
                *variables,
                sys.version,
                cpu_model(),
                _compiler(),
            ]
        )
        return hashlib.sha256(os.fsencode(text)).hexdigest()

    @contextlib.contextmanager
    def extracted(self) -> Iterator[Path]:
        """Give the tree's files in a folder of their own, for as long as this lasts."""
        home = sides_dir()
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="tree-", dir=home) as folder:
            target = Path(folder) / "tree"
            self._write(target)
            yield target

    def _all(self) -> Iterator[tuple[str, str]]:
        """Yield path and hash of each file, those of submodules too."""
        yield from self.files.items()
        for folder, tree in self.submodules.items():
            yield from ((f"{folder}/{path}", found) for path, found in tree._all())

    def _write(self, target: Path) -> None:
        """Write the files to a new folder: all that are in a commit, which `git archive` may not do."""
        target.mkdir(parents=True, exist_ok=True)
        if self.commit is not None:
            git_dir = os.fsdecode(_git(self.root, "rev-parse", "--absolute-git-dir")).strip()
            with tempfile.TemporaryDirectory() as scratch:
                index = {"GIT_INDEX_FILE": f"{scratch}/index"}
                _git(self.root, "read-tree", f"{self.commit}:./", environ=index)
                places = {"GIT_DIR": git_dir, "GIT_WORK_TREE": str(target)}
                _git(target, "checkout-index", "--all", environ={**index, **places})
        else:
            for name in self.files:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.root / name, target / name, follow_symlinks=False)
        for folder, tree in self.submodules.items():
            tree._write(target / folder)


def sides_dir() -> Path:
    """Folder of what comparisons build and keep."""
    return cache_dir() / "sides"


def repository(folder: Path) -> Path | None:
    """Return the root of the git repository that `folder` is in, None if it is in none."""
    with contextlib.suppress(UsageError):
        return Path(os.fsdecode(_git(folder, "rev-parse", "--show-toplevel")).strip())
    return None


def commit(root: Path, text: str) -> str | None:
    """Return the commit that `text` names in the repository, None if it names none.

    `UsageError` where git does not read the repository, since it is somebody else's for one.
    """
    if (root / ".git").exists():
        _git(root, "rev-parse", "--git-dir")
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
    files, submodules = {}, {}
    for line in _git(root, "ls-tree", "-r", "-z", commit).split(b"\0"):
        if line:
            facts, name = line.split(b"\t", 1)
            _, kind, found = facts.decode().split()
            path = os.fsdecode(name)
            if kind != "commit":
                files[path] = found
            elif _is_checked_out(root / path):
                submodules[path] = revision(root / path, found)
    return Tree(root, commit, commit[:12], files, submodules)


def working_tree(root: Path) -> Tree:
    """Return the tree of a folder as it is; in a repository without what git ignores."""
    if repository(root) is None or _is_ignored(root):
        return Tree(root, None, "", _hashes(root, _found(root)), {})
    listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split(b"\0")
    names = sorted({os.fsdecode(name).rstrip("/") for name in listed if name})
    submodules = {name: working_tree(root / name) for name in names if _is_checked_out(root / name)}
    files = _hashes(root, [name for name in names if (root / name).is_symlink() or (root / name).is_file()])
    state = ""
    if (head := commit(root, "HEAD")) is not None:
        before = revision(root, head)
        now = Tree(root, None, "", files, submodules)
        state = before.state + ("" if dict(now._all()) == dict(before._all()) else "+")
    return Tree(root, None, state, files, submodules)


def _found(root: Path) -> list[str]:
    """Return the files of a folder that is in no repository, links included."""
    names = []
    for folder, folders, files in os.walk(root):
        patterns = _NO_SOURCE if Path(folder) != root else (*_NO_SOURCE, *_NO_SOURCE_AT_ROOT)
        left_out = shutil.ignore_patterns(*patterns)(folder, [*folders, *files])
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        folders[:] = sorted(set(folders) - left_out)
        names += [str((Path(folder) / name).relative_to(root)) for name in {*files, *links} - left_out]
    return sorted(names)


def _hashes(root: Path, names: Sequence[str]) -> dict[str, str]:
    """Return git's hashes of files and links in `root`."""
    links = {
        name: _git(root, "hash-object", "--stdin", given=os.fsencode((root / name).readlink()))
        for name in names
        if (root / name).is_symlink()
    }
    files = [name for name in names if name not in links]
    # git goes to the root of the repository before it reads them.
    prefix = b"" if repository(root) is None else _git(root, "rev-parse", "--show-prefix").rstrip(b"\n")
    given = b"\n".join(prefix + os.fsencode(name) for name in files)
    found = _git(root, "hash-object", "--stdin-paths", given=given).decode().split()
    return {
        **dict(zip(files, found, strict=True)),
        **{name: link.decode().strip() for name, link in links.items()},
    }


def _is_ignored(folder: Path) -> bool:
    with contextlib.suppress(UsageError):
        return bool(_git(folder, "check-ignore", "."))
    return False


def _is_checked_out(folder: Path) -> bool:
    """Whether a folder is a repository of its own, as a submodule is."""
    return not folder.is_symlink() and (folder / ".git").exists()


def wheel(
    tree: Tree,
    *,
    engine: bool,
    environ: Mapping[str, str],
    python: str,
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
    python
        The interpreter to build for, or the versions that will do.
    """
    folder = sides_dir() / "wheels" / tree.digest(engine=engine, environ=environ)[:20]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if made := sorted(folder.glob("*.whl")):
            return made[0]
        report(f"{title}: building")
        # What is extracted is no repository: setuptools-scm and hatch-vcs would find no version in it.
        pretended = {"SETUPTOOLS_SCM_PRETEND_VERSION": f"0+{tree.commit[:12] if tree.commit else 'tree'}"}
        variables = {**pretended, **os.environ, **environ}
        isolated = []
        if engine and importlib.util.find_spec("scikit_build_core"):
            isolated = ["--no-build-isolation"]
            programs = sysconfig.get_path("scripts")
            variables["PATH"] = f"{programs}{os.pathsep}{variables.get('PATH', '')}"
        variables["CMAKE_BUILD_PARALLEL_LEVEL"] = variables["MAX_JOBS"] = str(len(commands.cpus))
        with tree.extracted() as root:
            made_in = root.with_name("wheel")
            command = [uv.find_uv_bin(), "build", "--wheel", *isolated, "--python", python]
            _run([*command, "--out-dir", str(made_in), str(root)], root, variables, commands, title)
            shutil.rmtree(folder, ignore_errors=True)
            made_in.rename(folder)
    return sorted(folder.glob("*.whl"))[0]


def keep(entries: Path, wrappers: Path) -> Path:
    """Return a folder that keeps `algorithms.yaml` and `wrappers/` of an extracted tree."""
    files = [entries, *sorted(wrappers.glob("*.py"))]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
    folder = sides_dir() / "definitions" / digest[:20]
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as new:
            (Path(new) / "it" / "wrappers").mkdir(parents=True)
            shutil.copy2(entries, Path(new) / "it" / "algorithms.yaml")
            for file in files[1:]:
                shutil.copy2(file, Path(new) / "it" / "wrappers" / file.name)
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


@functools.cache
def _compiler() -> str:
    """Return what the C++ compiler says of its version; nothing where there is none."""
    try:
        command = [*shlex.split(os.environ.get("CXX", "c++")), "--version"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def _is_engine_file(path: str) -> bool:
    return path in _ENGINE_FILES or path.startswith((*_ENGINE_FOLDERS, "ann_bench/engine/"))


def _run(
    command: Sequence[str], folder: Path, environ: Mapping[str, str], commands: Commands, title: str
) -> None:
    """Run a command; `SideError` with the telling line of what it printed, where it fails."""
    code, printed = commands.run(command, folder, environ)
    if code:
        log = sides_dir() / "failed-build.log"
        log.write_text(printed, encoding="utf-8")
        what = " ".join(command[1:3])
        raise SideError(
            f"{title}: does not build ({what}: exit status {code}): {telling_line(printed)} (log: {log})"
        )


def _git(
    root: Path, *words: str, given: bytes | None = None, environ: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    """Return what git printed in `root`; `UsageError` where it fails, or is not there."""
    outside = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    try:
        ended = subprocess.run(
            ["git", *words],
            cwd=root,
            env={**outside, **environ},
            input=given,
            capture_output=True,
            check=True,
        )
    except FileNotFoundError:
        raise UsageError("git: not found; comparing revisions needs it") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        reason = next((line for line in said if line.startswith("fatal: ")), said[-1] if said else "failed")
        raise UsageError(f"git {words[0]} in {root}: {reason.removeprefix('fatal: ')}") from None
    return ended.stdout
