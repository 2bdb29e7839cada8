"""Panns as it is released deletes the folder for temporary files; its recipe ends that.

The packages here are made up: what they delete is a folder of the test, whatever happens.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ann_bench.config import load_algorithms
from ann_bench.environments import describe
from ann_bench.paths import carried
from tests.wrappers import check_wrapper

CONVERT = carried("install") / "panns" / "convert.py"
REMOVES = "shutil.rmtree(tmpdir)"
PYTHON_2 = """
import os
import shutil
import cPickle as pickle
from utils import *


class PannsIndex():

    def build(self, c):
        print 'trees:', c
        self.trees = [twice(i) for i in xrange(c)]


    def __del__(self):
        '''
        Clean up.
        '''
        tmpdir = os.environ['MADE_UP_FOLDER']
        {}
        pass


    pass
"""
USE = """
import panns, sys
index = panns.PannsIndex()
index.build(3)
assert index.trees == [0, 2, 4]
del index
"""
needs_lib2to3 = pytest.mark.skipif(
    importlib.util.find_spec("lib2to3") is None, reason="this Python has no lib2to3"
)


def make_package(folder: Path, index: str, init: str = "from .index import PannsIndex\n") -> Path:
    """Write a package like Panns into `folder` and return its folder."""
    package = folder / "panns"
    package.mkdir()
    (package / "__init__.py").write_text(init)
    (package / "index.py").write_text(index)
    (package / "utils.py").write_text("def twice(number):\n    return 2 * number\n")
    return package


def convert(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the recipe's step on the package in `folder`."""
    command = [sys.executable, "-W", "ignore", str(CONVERT), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_lib2to3
def test_a_converted_index_works_and_deletes_nothing(tmp_path: Path) -> None:
    """After the step the package is Python 3 without a destructor: the folder that it deleted stays."""
    canary = tmp_path / "canary"
    canary.mkdir()
    package = make_package(tmp_path, PYTHON_2.format(REMOVES))
    done = convert(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "__del__" not in (package / "index.py").read_text()
    environ = {**os.environ, "PYTHONPATH": str(tmp_path), "MADE_UP_FOLDER": str(canary)}
    used = subprocess.run(
        [sys.executable, "-c", USE], env=environ, capture_output=True, text=True, check=False
    )
    assert (used.returncode, used.stdout) == (0, "trees: 3\n"), used.stderr
    assert canary.is_dir()


@needs_lib2to3
@pytest.mark.parametrize(
    ("source", "message"),
    [
        (PYTHON_2.format("pass"), "expected one destructor"),
        ("class PannsIndex():\n    pass\n", "found 0 destructors"),
        (PYTHON_2.format(REMOVES) + f"\n\ndef clean(tmpdir):\n    {REMOVES}\n", "still removes a folder"),
    ],
    ids=["another destructor", "no destructor", "removed elsewhere"],
)
def test_another_panns_is_not_converted(tmp_path: Path, source: str, message: str) -> None:
    """Where the line that deletes is not where it was, the step says so, fails and changes nothing."""
    package = make_package(tmp_path, source)
    done = convert(tmp_path)
    assert done.returncode != 0
    assert f"{package / 'index.py'}: error: " in done.stderr
    assert message in done.stderr
    assert (package / "index.py").read_text() == source


def load_wrapper(tmp_path: Path, index: str, monkeypatch: pytest.MonkeyPatch) -> type:
    """Return the wrapper's class, loaded where the library is a made-up package with that source."""
    init = f"open({str(tmp_path / 'imported')!r}, 'w').close()\nfrom .index import PannsIndex\n"
    make_package(tmp_path, index, init)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    try:
        algorithm = load_algorithms()["panns"]
        loaded: type = check_wrapper.load_class(str(algorithm.wrapper_path), algorithm.wrapper_class)
        return loaded
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "panns"]:
            del sys.modules[name]


def test_the_wrapper_refuses_an_index_that_deletes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Panns that removes a folder anywhere in its source is not even imported."""
    index = "class PannsIndex:\n    def __del__(self):\n        shutil.rmtree(tmpdir)\n"
    with pytest.raises(ImportError, match=r"index\.py still has the destructor .* install --force panns"):
        load_wrapper(tmp_path, index, monkeypatch)
    assert not (tmp_path / "imported").exists()


def test_the_wrapper_takes_a_harmless_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Panns without the destructor is imported."""
    load_wrapper(tmp_path, "class PannsIndex:\n    pass\n", monkeypatch)
    assert (tmp_path / "imported").exists()


def test_the_installed_panns_is_harmless() -> None:
    """What the recipe has installed holds neither a destructor nor a line that removes a folder."""
    environment = describe("panns")
    if environment.python is None:
        pytest.skip(environment.reason)
    sources = list(environment.python.parent.parent.glob("lib/python3*/site-packages/panns/*.py"))
    assert sources
    for source in sources:
        text = source.read_text(encoding="utf-8")
        assert "rmtree" not in text
        assert "__del__" not in text
