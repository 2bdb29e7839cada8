"""Whose worker and whose engine a worker has, in environments of every kind."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import uv

from ann_bench.paths import PACKAGE

# A finder as an editable installation of another checkout brings along, which is asked before all others.
EDITABLE = """
import sys
from importlib.machinery import PathFinder

class Redirecting:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] == "ann_bench":
            return PathFinder.find_spec(name, ["CHECKOUT/" + "/".join(name.split(".")[:-1])])

sys.meta_path.insert(0, Redirecting)
"""
WRAPPER = """
from importlib.util import find_spec
from ann_bench.worker.wrapper import Wrapper

class Told(Wrapper):
    def build_info(self):
        names = ("ann_bench.engine", "ann_bench.worker", "ann_bench.worker.sets")
        return {name: find_spec(name).origin for name in names}
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment that has the harness's NumPy and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    words = [uv.find_uv_bin(), "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)]
    subprocess.run(words, check=True)
    return folder / "bin" / "python"


@pytest.fixture
def packages(python: Path) -> Path:
    """Return the environment's folder of packages, empty but for what leads to NumPy."""
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    for name in ("ann_bench", "editable.py", "editable.pth"):
        subprocess.run(["rm", "-rf", str(packages / name)], check=True)
    # Only NumPy: the harness's own folder may have an engine.
    for file in Path(sysconfig.get_path("purelib")).glob("numpy*"):
        if not (packages / file.name).exists():
            (packages / file.name).symlink_to(file)
    return packages


def make_package(folder: Path) -> Path:
    """Write a package like this project's, with an engine and a worker that must not be run; return it."""
    for name, text in {
        "__init__.py": "raise SystemExit('the package itself was imported')",
        "engine/__init__.py": "",
        "worker/__init__.py": "raise SystemExit('the worker of a side was imported')",
        "worker/session.py": "",
        "worker/sets.py": "",
    }.items():
        path = folder / "ann_bench" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "ann_bench"


def told(python: Path, folder: Path) -> dict[str, str]:
    """Return which file each module of ours is from, for a wrapper in a worker."""
    (folder / "told.py").write_text(WRAPPER, encoding="utf-8")
    vectors = folder / "vectors.npy"
    code = f"import numpy; numpy.save({str(vectors)!r}, numpy.zeros((2, 2), dtype='float32'))"
    subprocess.run([python, "-I", "-c", code], check=True)
    request = {
        "op": "hello",
        "number": 1,
        "wrapper_path": str(folder / "told.py"),
        "wrapper_class": "Told",
        "folders": [],
        "train": str(vectors),
        "queries": str(vectors),
        "k": 1,
        "batch": False,
        "out": str(folder),
        "distance": "euclidean",
        "build_parameters": {},
        "threads": 1,
        "seed": 1,
    }
    (read, requests), (replies, write) = os.pipe(), os.pipe()
    os.write(requests, json.dumps(request).encode() + b"\n")
    os.close(requests)
    command = [str(python), "-I", str(PACKAGE / "worker" / "main.py"), str(read), str(write)]
    ended = subprocess.run(command, pass_fds=(read, write), capture_output=True, text=True, check=False)
    os.close(write)
    os.close(read)
    with os.fdopen(replies, encoding="utf-8") as file:
        line = file.readline()
    assert line, ended.stderr
    reply = json.loads(line)
    assert reply["ok"], reply
    info: dict[str, str] = reply["build_info"]
    return info


def test_an_environment_with_an_engine_uses_it(python: Path, packages: Path, tmp_path: Path) -> None:
    """The engine is the environment's own; the worker is the harness's, for the wrapper too."""
    package = make_package(packages)
    assert told(python, tmp_path) == {
        "ann_bench.engine": str(package / "engine" / "__init__.py"),
        "ann_bench.worker": str(PACKAGE / "worker" / "__init__.py"),
        "ann_bench.worker.sets": str(PACKAGE / "worker" / "sets.py"),
    }


def test_an_editable_installation_of_another_checkout_is_no_exception(
    python: Path, packages: Path, tmp_path: Path
) -> None:
    """Where a finder leads to another checkout, its engine is used, and none of its worker."""
    package = make_package(tmp_path / "checkout")
    (packages / "editable.py").write_text(EDITABLE.replace("CHECKOUT", str(package.parent)), encoding="utf-8")
    (packages / "editable.pth").write_text("import editable\n", encoding="utf-8")
    assert told(python, tmp_path) == {
        "ann_bench.engine": str(package / "engine" / "__init__.py"),
        "ann_bench.worker": str(PACKAGE / "worker" / "__init__.py"),
        "ann_bench.worker.sets": str(PACKAGE / "worker" / "sets.py"),
    }


@pytest.mark.parametrize("remains", [False, True])
def test_an_environment_without_an_engine_has_that_of_the_harness(
    python: Path, packages: Path, tmp_path: Path, remains: bool
) -> None:
    """All of ours is the harness's, even beside a folder that a removal left."""
    if remains:
        (packages / "ann_bench" / "engine").mkdir(parents=True)
    assert told(python, tmp_path) == {
        "ann_bench.engine": str(PACKAGE / "engine" / "__init__.py"),
        "ann_bench.worker": str(PACKAGE / "worker" / "__init__.py"),
        "ann_bench.worker.sets": str(PACKAGE / "worker" / "sets.py"),
    }
