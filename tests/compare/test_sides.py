"""What `--against` and `--versus` name, made ready to run."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from ann_bench import config, environments
from ann_bench.compare import sources
from ann_bench.compare.sides import Side, Workshop, check_alike
from ann_bench.environments import ENGINE
from ann_bench.errors import InvalidComparisonError, MissingSideError, SideError, UsageError
from ann_bench.machine import allowed_cpus
from ann_bench.paths import PACKAGE, carried
from ann_bench.runner.launch import Order, Worker
from ann_bench.supervised import Commands
from tests.made_up_packages import make_recipe, make_source, make_wheel
from tests.repositories import commit_all

ENTRY = """tiny:
  family: exact
  library: tinylib
  description: says who it is
  licence: MIT
  environment: tiny
  wrapper: tiny.Tiny
  distances: [euclidean]
"""
WRAPPER = """import tinylib
from ann_bench.worker.wrapper import Wrapper

class Tiny(Wrapper):
    def build_info(self):
        return {"library": tinylib.__version__, "wrapper": "WRAPPER"}
"""
NUMPY = """import glob, os, sys
(folder,) = glob.glob(os.path.join(sys.prefix, "lib", "python*", "site-packages"))
with open(os.path.join(folder, "numpy_of_the_harness.pth"), "w") as file:
    file.write(os.environ["NUMPY"])
"""


@dataclass
class Author:
    """An author's repository: the library's source, and beside it the folder `bench` of definitions."""

    root: Path
    packages: Path

    @property
    def definitions(self) -> Path:
        return self.root / "bench"

    def write(self, version: str, wrapper: str) -> None:
        """Write the library of a version, and a wrapper that says who it is."""
        make_source(self.root, "tinylib", version)
        (self.definitions / "wrappers").mkdir(parents=True, exist_ok=True)
        (self.definitions / "algorithms.yaml").write_text(ENTRY, encoding="utf-8")
        text = WRAPPER.replace("WRAPPER", wrapper)
        (self.definitions / "wrappers" / "tiny.py").write_text(text, encoding="utf-8")

    def workshop(self, name: str = "tiny") -> Workshop:
        """Return a workshop for one of the algorithms."""
        here = (self.definitions / "algorithms.yaml", self.definitions / "wrappers")
        file, wrappers = here if name == "tiny" else (carried("algorithms.yaml"), PACKAGE / "wrappers")
        algorithm = config.load_entry(file, name, wrappers, [self.definitions])
        assert algorithm is not None
        return Workshop(algorithm, [self.definitions], Commands(allowed_cpus()))


@pytest.fixture
def author(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Author:
    """Return an author's repository without a commit, tinylib 1.0 in it; the registry has 1.0 and 1.1."""
    monkeypatch.setenv("ANN_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    author = Author(tmp_path / "tinylib", tmp_path / "a registry")
    author.write("1.0", "first")
    for version in ("1.0", "1.1"):
        make_wheel(author.packages, "tinylib", version, code=f"__version__ = 'registry {version}'")
    recipe = (
        f"environ: {{NUMPY: {json.dumps(str(Path(np.__file__).parents[1]))}}}\nsteps: [python numpy_.py]\n"
    )
    folder = make_recipe(author.definitions, "tiny", "tinylib==1.0", packages=author.packages, recipe=recipe)
    (folder / "numpy_.py").write_text(NUMPY, encoding="utf-8")
    return author


@contextmanager
def started(side: Side, folder: Path) -> Iterator[Worker]:
    """Give a worker of a side, started as a comparison starts it."""
    vectors = folder / "vectors.npy"
    np.save(vectors, np.zeros((2, 2), dtype=np.float32))
    order = Order(
        python=side.python,
        wrapper_path=side.algorithm.wrapper_path,
        wrapper_class=side.algorithm.wrapper_class,
        distance="euclidean",
        train=vectors,
        queries=vectors,
        build_parameters={},
        k=1,
        batch=False,
        threads=1,
        seed=1,
        cpus=allowed_cpus()[:1],
        memory_limit_bytes=None,
    )
    worker = Worker(order, folder / f"worker-{len(list(folder.iterdir()))}")
    try:
        worker.hello(60)
        yield worker
    finally:
        worker.close()


def told(side: Side, folder: Path) -> tuple[str, str]:
    """Return which library, and which wrapper, a worker of a side has."""
    with started(side, folder) as worker:
        return worker.build_info["library"], worker.build_info["wrapper"]


def test_an_authors_library_runs_as_it_was_and_as_it_is(author: Author, tmp_path: Path) -> None:
    """Each side has the library of its tree and the wrapper of its tree, though the version is one."""
    author.write("1.0", "first")
    commit = commit_all(author.root)
    author.write("1.0", "second")
    (author.root / "tinylib.py").write_text("__version__ = '1.0, changed'\n", encoding="utf-8")
    commit_all(author.root)
    author.write("1.0", "third, uncommitted")
    (author.root / "tinylib.py").write_text("__version__ = '1.0, changed again'\n", encoding="utf-8")
    workshop = author.workshop()
    base, new = workshop.base("HEAD~1"), workshop.new()
    assert told(base, tmp_path) == ("1.0", "first")
    assert told(new, tmp_path) == ("1.0, changed again", "third, uncommitted")
    assert (base.title, base.state, base.version) == (f"HEAD~1 ({commit[:12]})", commit[:12], "1.0")
    assert (new.title, new.state[-1]) == ("working tree", "+")
    assert base.digest != new.digest
    assert workshop.base(commit).title == commit[:12]
    assert base.facts() == {
        "title": base.title,
        "state": commit[:12],
        "algorithm": "tiny",
        "library": "tinylib",
        "version": "1.0",
        "digest": base.digest,
    }


def test_a_revision_from_before_the_definitions_has_those_of_today(author: Author, tmp_path: Path) -> None:
    """A tree without the folder, or whose entries lack the algorithm, is run as it is defined here."""
    definitions = author.definitions
    definitions.rename(tmp_path / "aside")
    commit_all(author.root)
    (tmp_path / "aside").rename(definitions)
    (definitions / "algorithms.yaml").write_text(ENTRY.replace("tiny:", "other:"), encoding="utf-8")
    commit_all(author.root)
    author.write("1.0", "of today")
    workshop = author.workshop()
    for text in ("HEAD~1", "HEAD"):
        assert told(workshop.base(text), tmp_path) == ("1.0", "of today")


def test_another_checkout_has_its_own_wrapper(author: Author, tmp_path: Path) -> None:
    """A folder that is a copy of the repository is run with the definitions in it."""
    commit_all(author.root)
    other = Author(tmp_path / "other", author.packages)
    subprocess.run(["cp", "-r", author.root, other.root], check=True)
    other.write("0.9", "of the other")
    base = author.workshop().base(str(other.root))
    assert told(base, tmp_path) == ("0.9", "of the other")
    assert base.state.endswith("+")


def test_a_version_changes_one_pin_of_the_recipe(author: Author, tmp_path: Path) -> None:
    """The environment of another version has all that the recipe has, but for the one pin."""
    recipe = author.definitions / "install" / "tiny"
    make_wheel(author.packages, "tinylib_extra", "2.0")
    make_wheel(author.packages, "one", "1")
    options = "--no-index\n--find-links {packages}\n-c {more}\n"
    (recipe / "more.txt").write_text("tinylib_extra==2.0\n", encoding="utf-8")
    lines = [
        "# tinylib==1.0 in a remark",
        "one==1",
        'Tiny.Lib == 1.0 ; python_version >= "3.7" \\',
        "    --hash=sha256:" + "0" * 64 + "  # why",
        "tinylib_extra==2.0",
    ]
    relative = options.format(packages=os.path.relpath(author.packages, recipe), more="more.txt")
    text = (relative + "\n".join(lines)).replace("Tiny.Lib", "TinyLib") + "\n"
    (recipe / "requirements.txt").write_text(text, encoding="utf-8")
    (recipe / "folder").mkdir()
    (recipe / "folder" / "file").write_text("for a step", encoding="utf-8")
    base = author.workshop().base("TinyLib==1.1")
    assert (base.title, base.version, base.state) == ("tinylib 1.1", "1.1", "1.1")
    assert told(base, tmp_path) == ("registry 1.1", "first")
    derived = sources.sides_dir() / "recipes" / "install" / "tiny-1.1"
    lines[2:4] = ['TinyLib == 1.1 ; python_version >= "3.7"']
    expected = options.format(packages=author.packages, more=recipe / "more.txt")
    assert (derived / "requirements.txt").read_text(encoding="utf-8") == expected + "\n".join(lines) + "\n"
    for name in ("recipe.yaml", "numpy_.py", "folder/file"):
        assert (derived / name).read_bytes() == (recipe / name).read_bytes()
    (recipe / "folder" / "file").unlink()
    author.workshop().base("tinylib==1.1")
    assert not (derived / "folder" / "file").exists()


def test_a_wheel_is_what_runs_even_if_others_have_its_version(author: Author, tmp_path: Path) -> None:
    """Neither the registry's wheel of that version nor the library's source is taken in its place."""
    recipe = author.definitions / "install" / "tiny" / "recipe.yaml"
    with recipe.open("a") as file:
        file.write("source: [TinyLib]\n")
    given = make_wheel(tmp_path / "z given", "tinylib", "1.1", code="__version__ = 'given'")
    workshop = author.workshop()
    base = workshop.base(str(given))
    assert (base.title, base.version) == (given.name, "1.1")
    assert told(base, tmp_path) == ("given", "first")
    make_wheel(tmp_path / "z given", "tinylib", "1.1", code="__version__ = 'built again'")
    assert told(workshop.base(str(given)), tmp_path) == ("built again", "first")


def test_an_environment_is_named_by_its_recipe_or_its_folder(author: Author, tmp_path: Path) -> None:
    """Another recipe is installed; a virtual environment is taken as it is; both run."""
    folder = make_recipe(
        author.definitions,
        "tiny-old",
        "tinylib==1.1",
        packages=author.packages,
        recipe=(author.definitions / "install" / "tiny" / "recipe.yaml").read_text(encoding="utf-8"),
    )
    (folder / "numpy_.py").write_text(NUMPY, encoding="utf-8")
    workshop = author.workshop()
    base = workshop.base("tiny-old")
    assert (base.title, base.version) == ("environment tiny-old", "1.1")
    made = str(base.python.parents[1])
    again = workshop.base(made)
    assert (again.title, again.digest, again.python) == (made, base.digest, base.python)
    assert told(again, tmp_path) == ("registry 1.1", "first")
    with pytest.raises(SideError, match=r"^tinylib: not installed: ann-bench install tiny$"):
        workshop.installed()
    environments.install("tiny", definitions=[author.definitions])
    assert (workshop.installed().title, workshop.installed().version) == ("tinylib 1.0", "1.0")


def test_without_its_source_new_is_what_is_installed(author: Author) -> None:
    """A library whose source is elsewhere has no working tree, and its revisions are none."""
    project = author.root / "pyproject.toml"
    commit_all(author.root)
    project.write_text(project.read_text(encoding="utf-8").replace('"tinylib"', '"other"'), encoding="utf-8")
    environments.install("tiny", definitions=[author.definitions])
    assert author.workshop().new().title == "tinylib 1.0"
    with pytest.raises(UsageError, match=r"no revision \(the source of tinylib is not here\); BASE is"):
        author.workshop().base("HEAD")


WAYS = (
    "BASE is a revision, a folder with a pyproject.toml, a setup.py or a bin/python, a wheel, NAME==VERSION, "
    "or an environment that install/ has a recipe for"
)


@pytest.mark.parametrize(
    ("algorithm", "text", "message"),
    [
        ("tiny", "nothing", f"it is no revision of ROOT; {WAYS}"),
        ("tiny", "", f"got ''; {WAYS}"),
        ("tiny", " ", f"got ' '; {WAYS}"),
        ("tiny", "harness", f"it is no revision of ROOT; {WAYS}"),
        ("tiny", "-v", f"it is no revision of ROOT; {WAYS}"),
        ("tiny", "EMPTY", f"it is no revision of ROOT; {WAYS}"),
        ("tiny", "gone-1.0-py3-none-any.whl", "there is no such wheel"),
        (
            "tiny",
            "OTHER_WHEEL",
            "it is other, and tiny measures tinylib: name a version of tinylib, or another --algorithm",
        ),
        ("tiny", "tinylib.whl", "a wheel is named NAME-VERSION-PYTHON-ABI-PLATFORM.whl"),
        ("tiny", "OTHER_SOURCE", "it is other, and tiny measures tinylib: name a version of tinylib"),
        ("tiny", "annoy==1.17.2", "it is annoy, and tiny measures tinylib: name a version of tinylib"),
        ("tiny", "tinylib==1.*", "a version is named as tinylib==1.2.3"),
        ("tiny", "tinylib==", "a version is named as tinylib==1.2.3"),
        ("engine-forest", "ann_bench==0.1", "which has one version: name a revision, a folder or a wheel"),
        (
            "sklearn-brute",
            "scikit-learn==1.0",
            "one version: name a folder with bin/python that has another sc",
        ),
        ("sklearn-brute", "SKLEARN", "runs in the harness's own environment, which has one version"),
    ],
)
def test_what_names_nothing_is_told_in_one_line(
    author: Author,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    algorithm: str,
    text: str,
    message: str,
) -> None:
    """A name without a meaning, or with one for another library, is a usage error; nothing is built."""
    commit_all(author.root)
    (tmp_path / "empty").mkdir()
    (tmp_path / "tinylib.whl").touch()
    make_source(tmp_path / "source", "other", "1.0")
    make_wheel(tmp_path, "other", "1.0")
    make_wheel(tmp_path, "scikit_learn", "1.0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Commands, "run", lambda *_: pytest.fail("something was built"))
    places = {
        "EMPTY": "empty",
        "OTHER_SOURCE": "source",
        "OTHER_WHEEL": "other-1.0-py3-none-any.whl",
        "SKLEARN": "scikit_learn-1.0-py3-none-any.whl",
    }
    given = places.get(text, text)
    with pytest.raises(UsageError) as caught:
        author.workshop(algorithm).base(given)
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith(f"--against: got {given if given.strip() else repr(given)}; ")
    assert message.replace("ROOT", str(author.root)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_that_does_not_pin_the_library_has_no_other_version(author: Author) -> None:
    """Where no pin can be changed, the same version is not compared with itself."""
    make_wheel(author.packages, "other", "1.0")
    recipe = author.definitions / "install" / "tiny" / "requirements.txt"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("tinylib==", "other=="), encoding="utf-8")
    with pytest.raises(UsageError, match=r"requirements.txt: does not pin tinylib; no other version"):
        author.workshop().base("tinylib==1.1")


@pytest.mark.parametrize("algorithm", ["tiny", "engine-forest"])
def test_an_environment_without_the_library_is_no_side(author: Author, algorithm: str) -> None:
    """Another library's environment, by its name or its folder, is told to lack it; the exit code is 5."""
    make_wheel(author.packages, "other", "1.0")
    make_recipe(author.definitions, "another", "other==1.0", packages=author.packages)
    workshop = author.workshop(algorithm)
    library = ENGINE if algorithm == "engine-forest" else "tinylib"
    folder = str(environments.environments_dir() / "another")
    for text, title in (("another", "environment another"), (folder, folder)):
        with pytest.raises(SideError) as caught:
            workshop.base(text)
        assert str(caught.value) == f"{title}: {library}: not in the environment {folder}"


def test_a_side_that_cannot_be_installed_or_built_is_told_with_its_log(author: Author) -> None:
    """A version that does not exist, and a tree that does not build, end with 5, a reason and a log."""
    workshop = author.workshop()
    with pytest.raises(
        SideError, match=r"^tinylib 9.9: .*no version of tinylib==9\.9.* \(log: .*tiny-9\.9\.log\)$"
    ):
        workshop.base("tinylib==9.9")
    commit_all(author.root)
    (author.root / "broken").write_text("x.cpp:1:1: error: no vectors\n", encoding="utf-8")
    with pytest.raises(
        SideError, match=r"^working tree: does not build .*: x\.cpp:1:1: error: no vectors \(log: "
    ):
        author.workshop().new()
    assert author.workshop().base("HEAD").version == "1.0"


def test_a_tree_of_the_engine_runs_with_its_own_engine_and_wrapper(author: Author, tmp_path: Path) -> None:
    """A checkout's compiled module, Python and wrapper are its own; another wrapper builds nothing."""
    root = make_source(tmp_path / "checkout", ENGINE, "0.0.1")
    entry = (
        ENTRY.replace("tiny:", "engine-forest:", 1)
        .replace("tinylib", ENGINE)
        .replace("environment: tiny", "environment: harness")
    )
    for name, text in {
        "algorithms.yaml": entry,
        "ann_bench/wrappers/tiny.py": WRAPPER.replace("tinylib", "ann_bench.engine").replace(
            "WRAPPER", "its own"
        ),
        "ann_bench/engine/__init__.py": "__version__ = 'the engine of a checkout'",
        "ann_bench/__init__.py": "",
        "ann_bench/engine/_native.so": "compiled",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    commit_all(root)
    workshop = author.workshop("engine-forest")
    base = workshop.base(str(root))
    assert told(base, tmp_path) == ("the engine of a checkout", "its own")
    python = b"__version__ = 'the engine of a checkout'"
    digest = sha256(b"compiled\0" + python).hexdigest()
    assert (base.title, base.version, base.digest) == (str(root), "0.0.1", digest)
    changed = root / "ann_bench" / "wrappers" / "tiny.py"
    changed.write_text(changed.read_text(encoding="utf-8").replace("its own", "changed"), encoding="utf-8")
    again = workshop.base(str(root))
    assert again.python == base.python
    assert told(again, tmp_path) == ("the engine of a checkout", "changed")


def test_a_tree_of_the_engine_without_the_algorithm_is_told(author: Author, tmp_path: Path) -> None:
    """A checkout that defines other algorithms and not this one is a side that is missing."""
    root = make_source(tmp_path / "checkout", ENGINE, "0.0.1")
    for name, text in {
        "algorithms.yaml": ENTRY.replace("tinylib", ENGINE),
        "ann_bench/wrappers/tiny.py": WRAPPER,
        "ann_bench/engine/__init__.py": "",
        "ann_bench/__init__.py": "",
        "ann_bench/engine/_native.so": "compiled",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    commit_all(root)
    with pytest.raises(MissingSideError, match=r"checkout has no engine-forest$"):
        author.workshop("engine-forest").base(str(root))


def test_debug_builds_are_refused() -> None:
    """A build that is not optimised is invalid on either side, with exit code 4, whatever the other tells."""
    release, debug = {"build_type": "Release"}, {"build_type": "Debug"}
    for base, new, name in (
        (debug, release, "BASE"),
        (release, debug, "NEW"),
        (debug, debug, "BASE"),
        ({}, debug, "NEW"),
    ):
        with pytest.raises(InvalidComparisonError) as caught:
            check_alike(base, new)
        assert str(caught.value) == (
            f"{name} is a build of type Debug; only optimised builds are compared: build it as Release"
        )
        assert caught.value.exit_code == 4
    check_alike({"build_type": "RelWithDebInfo"}, {"build_type": "RelWithDebInfo"})
    check_alike({}, release)


@pytest.mark.parametrize("key", ["build_type", "compiler", "flags", "isa"])
def test_builds_with_unequal_flags_are_refused(key: str) -> None:
    """What both sides tell must be alike; what one does not tell is no difference, nor is any other fact."""
    values = ("Release", "MinSizeRel") if key == "build_type" else ("-O3", "-O2")
    with pytest.raises(
        InvalidComparisonError, match=rf"different {key}: BASE {values[0]}; NEW {values[1]}; build"
    ):
        check_alike({key: values[0]}, {key: values[1]})
    check_alike({key: values[0], "commit": "a"}, {key: values[0], "commit": "b"})
    check_alike({key: values[0]}, {})


def test_two_libraries_need_no_equal_flags() -> None:
    """Flags are held against each other within one library; a debug build is refused between two as well."""
    check_alike({"flags": "-O3"}, {"flags": "-O2"}, one_library=False)
    with pytest.raises(InvalidComparisonError, match="is a build of type Debug"):
        check_alike({"build_type": "Debug"}, {"build_type": "Release"}, one_library=False)
