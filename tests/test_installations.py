"""Several installations at a time."""

import json
from pathlib import Path

import pytest

from ann_bench.environments import Environment
from ann_bench.installations import Observer, install_all
from ann_bench.machine import allowed_cpus
from tests.made_up_packages import make_recipe, make_sdist, make_wheel

CPU = allowed_cpus()[0]

# Waits until the other one is there too.
_MEET = """
import json, os, sys, time
open(sys.argv[1], "w").write(json.dumps(dict(os.environ)))
for _ in range(3000):
    if os.path.exists(sys.argv[2]):
        sys.exit()
    time.sleep(0.01)
sys.exit("nobody came")
"""
# Cannot be there twice.
_ALONE = """
import os, sys, time
os.mkdir(sys.argv[1])
time.sleep(0.05)
os.rmdir(sys.argv[1])
"""


class Recorder(Observer):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def began(self, name: str) -> None:
        self.heard.append(("began", name))

    def step(self, name: str, line: str) -> None:
        self.heard.append((line, name))

    def ended(self, environment: Environment) -> None:
        self.heard.append((environment.state, environment.name))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with tinylib in `packages`, to which recipes go, and a cache of our own."""
    monkeypatch.setenv("ANN_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    make_wheel(tmp_path / "packages", "tinylib", "1.0")
    return tmp_path


def add_recipe(folder: Path, name: str, code: str, *words: Path) -> None:
    """Add a recipe that runs `code` after installing tinylib."""
    step = json.dumps(" ".join(["python", "step.py", *map(str, words)]))
    recipe = make_recipe(
        folder, name, "tinylib==1.0", packages=folder / "packages", recipe=f"steps: [{step}]\n"
    )
    (recipe / "step.py").write_text(code, encoding="utf-8")


def test_installations_run_at_the_same_time_each_with_its_share(folder: Path) -> None:
    """With four cores two installations run together, and each build is told to use two."""
    one, two = folder / "one.json", folder / "two.json"
    add_recipe(folder, "one", _MEET, one, two)
    add_recipe(folder, "two", _MEET, two, one)
    found = install_all(["one", "two"], Observer(), cpus=[CPU] * 4, definitions=[folder])
    assert {name: environment.state for name, environment in found.items()} == {
        "one": "ready",
        "two": "ready",
    }
    told = json.loads(one.read_text(encoding="utf-8"))
    assert (told["MAKEFLAGS"], told["MAX_JOBS"], told["CMAKE_BUILD_PARALLEL_LEVEL"]) == ("-j2", "2", "2")


def test_no_more_installations_run_than_there_are_cores(folder: Path) -> None:
    """With one core they follow each other."""
    names = ["one", "two", "three"]
    for name in names:
        add_recipe(folder, name, _ALONE, folder / "here")
    found = install_all(names, Observer(), cpus=[CPU], definitions=[folder])
    assert [environment.state for environment in found.values()] == ["ready"] * 3


def test_what_is_ready_is_left_alone_and_a_failure_stops_nothing(folder: Path) -> None:
    """The observer hears of what is made, and of nothing else; builds from source come first."""
    make_sdist(folder / "packages", "madelib", "2.0")
    environ = f"environ: {{BUILT: {folder / 'built'}}}\n"
    packages = folder / "packages"
    make_recipe(folder, "good", "tinylib==1.0", packages=packages)
    make_recipe(folder, "bad", "tinylib==9.9", packages=packages)
    make_recipe(folder, "made", "madelib==2.0", packages=packages, recipe=environ + "source: [madelib]\n")
    install_all(["good"], Observer(), cpus=[CPU], definitions=[folder])
    recorder = Recorder()
    found = install_all(["good", "bad", "made"], recorder, cpus=[CPU], definitions=[folder])
    assert [environment.state for environment in found.values()] == ["ready", "failed", "ready"]
    assert [name for what, name in recorder.heard if what == "began"] == ["made", "bad"]
    assert {heard for heard in recorder.heard if heard[0] in ("ready", "failed")} == {
        ("ready", "made"),
        ("failed", "bad"),
    }
    assert ("made: building madelib from source, once", "made") in recorder.heard
