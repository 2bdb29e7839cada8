"""Trees of git repositories and folders, and what is built of them."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ann_bench.compare import sources
from ann_bench.compare.sources import Tree, revision, sides_dir, working_tree
from ann_bench.errors import SideError, UsageError
from ann_bench.machine import allowed_cpus
from ann_bench.supervised import Commands
from tests.made_up_packages import make_source
from tests.repositories import commit_all, git

Build = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep to a cache of our own."""
    monkeypatch.setenv("ANN_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a repository with one commit, of engine and harness, with links and odd names."""
    root = tmp_path / "repository"
    files = {
        "native/src/forest.cpp": "int main;",
        "ann_bench/engine/__init__.py": "engine = 1",
        "ann_bench/config.py": "config = 1",
        "pyproject.toml": "[project]",
        ".gitignore": "/made/\n*.o\n",
        ".gitattributes": "/left-out export-ignore\n/told export-subst\n",
        "left-out": "of an archive",
        "told": "$Format:%H$",
        "s p\u00e4ce": "an odd name",
    }
    for name, text in files.items():
        write(root / name, text)
    write(root / "build.sh", "make").chmod(0o755)
    (root / "link").symlink_to("pyproject.toml")
    (root / "folder-link").symlink_to("native")
    (root / "dangling").symlink_to("nowhere")
    commit_all(root)
    write(root / "made/left", "ignored")
    write(root / "left.o", "ignored")
    return root


def write(path: Path, text: str) -> Path:
    """Write a file, its folders too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def head(root: Path) -> Tree:
    """Return the tree of the last commit."""
    return revision(root, git(root, "rev-parse", "HEAD"))


def digests(tree: Tree) -> tuple[str, str]:
    """Return the digests of a tree: of all of it, and of the engine."""
    return tree.digest(engine=False, environ={}), tree.digest(engine=True, environ={})


def content(root: Path) -> dict[str, tuple[str, bool]]:
    """Return what each file holds, and each link names; and whether it may be executed."""
    found = {}
    for path in root.rglob("*"):
        if path.is_symlink():
            found[str(path.relative_to(root))] = (f"-> {path.readlink()}", False)
        elif path.is_file() and ".git" not in path.parts:
            text = path.read_text(encoding="utf-8")
            found[str(path.relative_to(root))] = (text, os.access(path, os.X_OK))
    return found


def test_a_working_tree_without_a_change_is_its_commit(root: Path) -> None:
    """The working tree has the digests of the commit that it stands on, and its state."""
    assert digests(working_tree(root)) == digests(head(root))
    assert working_tree(root).state == head(root).state == git(root, "rev-parse", "HEAD")[:12]


@pytest.mark.parametrize(
    ("name", "of_engine"),
    [
        ("native/src/forest.cpp", True),
        ("native/src/new.cpp", True),
        ("pyproject.toml", True),
        ("ann_bench/engine/__init__.py", True),
        ("ann_bench/config.py", False),
        ("new.py", False),
        ("README.md", False),
    ],
)
def test_an_uncommitted_change_is_another_tree(root: Path, name: str, of_engine: bool) -> None:
    """Any change, a new file too, changes the digest; the engine's only where its own files change."""
    before, engine = digests(head(root))
    write(root / name, "another")
    changed = working_tree(root)
    assert digests(changed)[0] != before
    assert (digests(changed)[1] != engine) == of_engine
    assert changed.state == head(root).state + "+"
    commit_all(root)
    assert digests(head(root)) == digests(changed)


def test_a_file_that_is_gone_or_a_link_that_leads_elsewhere_is_a_change(root: Path) -> None:
    """What is removed without a commit is no longer in the tree, and a link is what it names."""
    seen = {digests(working_tree(root))[0]}
    (root / "ann_bench" / "config.py").unlink()
    seen.add(digests(working_tree(root))[0])
    (root / "dangling").unlink()
    (root / "dangling").symlink_to("elsewhere")
    seen.add(digests(working_tree(root))[0])
    assert len(seen) == 3
    with working_tree(root).extracted() as folder:
        assert not (folder / "ann_bench" / "config.py").exists()


def test_what_git_ignores_is_no_change(root: Path) -> None:
    """Builds beside the sources change nothing, and are not extracted."""
    write(root / "more.o", "ignored")
    assert digests(working_tree(root)) == digests(head(root))
    with working_tree(root).extracted() as folder:
        assert not {"left.o", "more.o", "made"} & {path.name for path in folder.iterdir()}


def test_how_it_is_built_is_part_of_the_digest(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other flags in the environment, or in the recipe, make another wheel of the same files."""
    tree = head(root)
    seen = {tree.digest(engine=True, environ=environ) for environ in ({}, {"CXXFLAGS": "-O1"}, {"A": "1"})}
    monkeypatch.setenv("CMAKE_ARGS", "-DSLOWED=ON")
    seen.add(tree.digest(engine=True, environ={}))
    assert len(seen) == 4


def test_what_is_extracted_is_the_tree_at_that_revision(root: Path) -> None:
    """Every file of the commit is there as it was, links and programs too, whatever came later."""
    before = {name: told for name, told in content(root).items() if name not in ("left.o", "made/left")}
    tree = head(root)
    write(root / "told", "changed")
    write(root / "new.py", "later")
    commit_all(root)
    write(root / "build.sh", "uncommitted")
    with tree.extracted() as folder:
        assert content(folder) == before
    assert not folder.exists()
    assert git(root, "status", "--porcelain") == "M build.sh"


def test_what_is_extracted_of_the_working_tree_is_what_is_there(root: Path) -> None:
    """Uncommitted changes and new files are extracted as they are."""
    write(root / "build.sh", "uncommitted")
    write(root / "folder" / "new.py", "new")
    wanted = {name: told for name, told in content(root).items() if name not in ("left.o", "made/left")}
    with working_tree(root).extracted() as folder:
        assert content(folder) == wanted


def test_a_folder_within_a_repository_is_a_tree_of_its_own(root: Path) -> None:
    """Its paths begin at the folder, now and at a revision, and a change outside it is none."""
    folder = root / "ann_bench"
    write(root / "build.sh", "another")
    assert set(working_tree(folder).files) == {"engine/__init__.py", "config.py"}
    assert digests(working_tree(folder)) == digests(head(folder))
    assert "+" not in working_tree(folder).state
    for tree in (working_tree(folder), head(folder)):
        with tree.extracted() as extracted:
            assert content(extracted) == content(folder)


def test_a_folder_that_is_in_no_repository_or_ignored_there_is_a_tree(root: Path, tmp_path: Path) -> None:
    """All of it counts but what builds leave behind; a source of that name further down does."""
    trees = []
    for folder in (tmp_path / "unpacked", root / "made" / "unpacked"):
        for name in (
            "setup.py",
            "src/build/tool.py",
            "build/lib/tool.py",
            ".venv/bin/python",
            "a/__pycache__/x",
        ):
            write(folder / name, name)
        (folder / "link").symlink_to("src")
        trees.append(working_tree(folder))
        assert set(trees[-1].files) == {"setup.py", "src/build/tool.py", "link"}
        assert trees[-1].state == ""
    assert digests(trees[0]) == digests(trees[1])
    with trees[0].extracted() as extracted:
        assert content(extracted).keys() == {"setup.py", "src/build/tool.py", "link"}


def test_a_repository_without_a_commit_is_a_tree(tmp_path: Path) -> None:
    """Before the first commit there is no state, and the files are there."""
    git(tmp_path, "init", "--quiet")
    write(tmp_path / "setup.py", "")
    tree = working_tree(tmp_path)
    assert (tree.state, set(tree.files)) == ("", {"setup.py"})


def test_submodules_are_part_of_the_tree(root: Path, tmp_path: Path) -> None:
    """A submodule is extracted as the commit names it, and a change in it is a change of the tree."""
    other = write(tmp_path / "other" / "header.h", "old").parent
    commit_all(other)
    git(root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "native/include")
    commit_all(root)
    assert digests(working_tree(root)) == digests(head(root))
    before = head(root)
    write(root / "native" / "include" / "header.h", "new")
    assert digests(working_tree(root))[1] != digests(before)[1]
    assert working_tree(root).state == before.state + "+"
    texts = []
    for tree in (before, working_tree(root)):
        with tree.extracted() as folder:
            texts.append((folder / "native" / "include" / "header.h").read_text(encoding="utf-8"))
    assert texts == ["old", "new"]


def test_names_that_are_not_utf_8_are_names(root: Path) -> None:
    """A file whose name is Latin-1 is hashed and extracted like any."""
    (root / os.fsdecode(b"gr\xfc\xdfe")).write_text("x", encoding="utf-8")
    tree = working_tree(root)
    commit_all(root)
    assert digests(tree) == digests(head(root))
    with tree.extracted() as folder:
        assert (folder / os.fsdecode(b"gr\xfc\xdfe")).exists()


def test_a_hook_of_another_repository_does_not_lead_astray(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What git tells its hooks of their repository is not taken for the one that is asked about."""
    wanted = digests(working_tree(root))
    other = write(tmp_path / "other" / "file", "x").parent
    commit_all(other)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert digests(working_tree(root)) == wanted


@pytest.mark.parametrize(
    "text", ["nothing", "", "-v", "--all", "HEAD:", "HEAD^{tree}", "HEAD~99", "a b", "$(id)"]
)
def test_a_name_that_means_no_commit_means_none(root: Path, tmp_path: Path, text: str) -> None:
    """Whatever is no commit is None, an option of git's too; a repository that is none has no commits."""
    assert sources.commit(root, text) is None
    assert sources.commit(tmp_path, "HEAD") is None


def test_a_repository_that_git_refuses_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another user's repository, as containers of CI have it, the reason is told and not `no revision`."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    with pytest.raises(
        UsageError, match=r"^git rev-parse in .*: detected dubious ownership in repository at"
    ):
        sources.commit(root, "HEAD")


def test_without_git_one_line_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without git gets a usage error."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match=r"^git: not found; comparing revisions needs it$"):
        revision(root, "HEAD")


@pytest.fixture
def build() -> Build:
    """Return a function that gives the wheel of a tree, and notes each build in `build.reports`."""

    def run(tree: Tree, reports: list[str] | None = None, **environ: str) -> Path:
        return sources.wheel(
            tree,
            engine=False,
            environ=environ,
            python=sys.executable,
            commands=Commands(allowed_cpus()),
            report=(reports if reports is not None else []).append,
            title="tinylib of old",
        )

    return run


def test_a_tree_is_built_once(tmp_path: Path, build: Build) -> None:
    """The commit and the working tree that stands on it have one wheel; a change makes another."""
    root = make_source(tmp_path / "tinylib", "tinylib", "1.0")
    commit_all(root)
    reports: list[str] = []
    wheel = build(head(root), reports)
    assert wheel.name == "tinylib-1.0-py3-none-any.whl"
    assert build(working_tree(root), reports) == wheel
    assert reports == ["tinylib of old: building"]
    write(root / "tinylib.py", "__version__ = 'changed'")
    changed = build(working_tree(root), reports)
    assert changed != wheel
    assert len(reports) == 2
    with zipfile.ZipFile(changed) as archive:
        assert archive.read("tinylib.py") == b"__version__ = 'changed'"
    assert git(root, "status", "--porcelain") == "M tinylib.py"


def test_a_version_that_comes_from_git_is_not_missed(tmp_path: Path, build: Build) -> None:
    """A project whose version is its tag builds, although what is built is no repository."""
    root = make_source(tmp_path / "tinylib", "tinylib", "1.0")
    backend = (root / "backend.py").read_text(encoding="utf-8")
    told = backend.replace('project["version"]', 'os.environ["SETUPTOOLS_SCM_PRETEND_VERSION"]')
    write(root / "backend.py", told)
    commit_all(root)
    assert build(head(root)).name == f"tinylib-0+{head(root).state}-py3-none-any.whl"


def test_what_does_not_build_says_why_and_leaves_nothing(tmp_path: Path, build: Build) -> None:
    """The compiler's first error and the log are told; the next attempt builds again."""
    root = make_source(tmp_path / "tinylib", "tinylib", "1.0")
    said = ["[1/2] c++ -c src/forest.cpp", "src/forest.cpp:7:9: error: 'vectr' was not declared"]
    said += [f"src/forest.cpp:{line}:1: error: follows from it" for line in range(8, 99)]
    write(root / "broken", "\n".join([*said, "ninja: build stopped: subcommand failed."]))
    reports: list[str] = []
    for _ in range(2):
        with pytest.raises(SideError) as caught:
            build(working_tree(root), reports)
        log = sides_dir() / "failed-build.log"
        assert str(caught.value) == (
            f"tinylib of old: does not build (build --wheel: exit status 2): {said[1]} (log: {log})"
        )
        assert said[-1] in log.read_text(encoding="utf-8")
    assert caught.value.exit_code == 5
    assert len(reports) == 2
    assert not list(sides_dir().rglob("*.whl"))
    assert not list(sides_dir().glob("tree-*"))
    (root / "broken").unlink()
    assert build(working_tree(root), reports).is_file()


def test_a_wheel_that_was_not_finished_is_not_taken_for_one(tmp_path: Path, build: Build) -> None:
    """A folder without a wheel, which a kill left, is made anew."""
    root = make_source(tmp_path / "tinylib", "tinylib", "1.0")
    wheel = build(working_tree(root))
    wheel.rename(wheel.with_suffix(".part"))
    assert build(working_tree(root)) == wheel
    assert not wheel.with_suffix(".part").exists()


def test_entry_and_wrappers_are_kept(tmp_path: Path) -> None:
    """What is kept outlasts the folder it came from, and other wrappers are kept beside it."""
    entries = write(tmp_path / "algorithms.yaml", "mine: {}")
    wrapper = write(tmp_path / "wrappers" / "mine.py", "old")
    old = sources.keep(entries, wrapper.parent)
    assert sources.keep(entries, wrapper.parent) == old
    write(wrapper, "new")
    new = sources.keep(entries, wrapper.parent)
    assert [(kept / "wrappers" / "mine.py").read_text(encoding="utf-8") for kept in (old, new)] == [
        "old",
        "new",
    ]
    assert (old / "algorithms.yaml").read_text(encoding="utf-8") == "mine: {}"


def test_an_environment_of_the_engine_has_the_wheel_and_the_harness_numpy(
    tmp_path: Path, build: Build
) -> None:
    """The wheel's own code is imported, and NumPy is the harness's; a half-made environment is made anew."""
    wheel = build(working_tree(make_source(tmp_path / "tinylib", "tinylib", "1.0")))
    reports: list[str] = []

    def environment() -> Path:
        return sources.engine_environment(wheel, Commands(allowed_cpus()), reports.append, "old")

    python = environment()
    code = "import numpy, tinylib; print(tinylib.__version__, numpy.__file__)"
    printed = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    import numpy as np

    assert printed.split() == ["1.0", np.__file__]
    (python.parents[1] / "ready").unlink()
    assert environment() == python
    assert environment() == python
    assert reports == ["old: its environment"] * 2
