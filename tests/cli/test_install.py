"""`ann-bench install`, with recipes whose packages lie in a folder."""

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ann_bench.cli import install
from ann_bench.environments import describe
from ann_bench.errors import UsageError
from ann_bench.paths import environments_dir
from tests.made_up_packages import make_recipe, make_wheel
from tests.processes import are_gone, wait_for

_ENTRY = """\
tiny:
  family: exact
  library: TinyLib
  description: a tiny one
  licence: MIT
  environment: good
  wrapper: tiny.Tiny
  distances: [dot]
"""
# Starts a process of its own, writes the ids of both, and waits for it.
_WAIT = """
import os, subprocess, sys
folder = os.environ["FOLDER"]
if os.path.exists(folder + "/enough"):
    sys.exit()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
with open(folder + "/ids.new", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename(folder + "/ids.new", folder + "/ids")
child.wait()
"""


@pytest.fixture
def definitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a definitions folder with the recipes good, broken and gone, and a cache of our own."""
    monkeypatch.setenv("ANN_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("COLUMNS", "80")
    packages = tmp_path / "packages"
    make_wheel(packages, "tinylib", "1.0")
    make_recipe(tmp_path / "defs", "good", "tinylib==1.0", packages=packages)
    make_recipe(tmp_path / "defs", "broken", "tinylib==9.9", packages=packages)
    gone = make_recipe(
        tmp_path / "defs", "gone", "", packages=packages, recipe="unavailable: no registry has it\n"
    )
    (gone / "requirements.txt").unlink()
    return tmp_path / "defs"


def call(definitions: Path, *words: str) -> int:
    """Return the exit code of `ann-bench install WORDS`."""
    parser = argparse.ArgumentParser()
    install.add_arguments(parser)
    return install.main(parser.parse_args([*words, "--definitions", str(definitions)]))


def test_installing_says_what_it_does(definitions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each step is a line, the last tells the versions; a second time there is nothing to do."""
    assert call(definitions, "good") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["good: making the environment", "good: installing 1 distribution"]
    assert lines[2].startswith("good: ready in ")
    assert lines[2].endswith(" s (tinylib 1.0)")
    assert call(definitions, "good") == 0
    assert capsys.readouterr().out == "good: ready already (tinylib 1.0)\n"
    assert call(definitions, "good", "--force") == 0
    assert "good: ready in " in capsys.readouterr().out


def test_several_installations_end_with_a_table(
    definitions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """State, seconds and version or reason of each stand in a table of 80 columns, in the order asked for."""
    assert call(definitions, "broken", "gone", "good") == 1
    printed = capsys.readouterr().out
    assert printed.count("good: ready in ") == 1
    lines = [line.rstrip() for line in printed.partition("\n\n")[2].splitlines()]
    assert lines[0].split() == ["environment", "state", "seconds", "installed,", "or", "why", "not"]
    assert max(len(line) for line in lines) <= 80
    rows = [line.split(maxsplit=3) for line in lines if line.startswith(("broken", "gone", "good"))]
    assert [(row[0], row[1]) for row in rows] == [
        ("broken", "failed"),
        ("gone", "unavailable"),
        ("good", "ready"),
    ]
    assert float(rows[2][2]) > 0
    assert rows[2][3] == "tinylib 1.0"
    assert call(definitions, "gone", "good") == 0
    assert "ready already" not in capsys.readouterr().out


def test_the_version_is_that_of_the_library_that_is_measured(
    definitions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a library needs beside itself is not told, wherever it is pinned."""
    make_wheel(tmp_path / "packages", "aidlib", "3.0")
    make_recipe(definitions, "good", "aidlib==3.0\ntinylib==1.0", packages=tmp_path / "packages")
    assert call(definitions, "good") == 0
    assert capsys.readouterr().out.endswith(" s (aidlib 3.0)\n")
    (definitions / "wrappers").mkdir()
    (definitions / "wrappers" / "tiny.py").write_text("class Tiny:\n    pass\n", encoding="utf-8")
    (definitions / "algorithms.yaml").write_text(_ENTRY, encoding="utf-8")
    assert call(definitions, "good") == 0
    assert capsys.readouterr().out == "good: ready already (tinylib 1.0)\n"


def test_on_a_terminal_the_steps_are_shown_while_they_last(
    definitions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """How far all are is shown and wiped out again; how each ended, and the table, stay."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert call(definitions, "good", "gone") == 0
    printed = capsys.readouterr().out
    assert "of 2 done" in printed
    assert "good: ready in " in printed
    assert "good: installing 1 distribution" in printed
    assert "installing" not in printed.rpartition("seconds")[2]


def test_an_interrupt_ends_all_at_once_and_the_next_call_goes_on(definitions: Path, tmp_path: Path) -> None:
    """After Ctrl-C nothing runs any more, what is finished is kept, and only the rest is done again."""
    recipe = f"environ: {{FOLDER: {tmp_path}}}\nsteps: [python wait.py]\n"
    packages = tmp_path / "packages"
    folder = make_recipe(definitions, "slow", "tinylib==1.0", packages=packages, recipe=recipe)
    (folder / "wait.py").write_text(_WAIT, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "ann_bench",
        "install",
        "good",
        "slow",
        "--definitions",
        str(definitions),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        ids = wait_for(tmp_path / "ids")
        while describe("good", [definitions]).state != "ready":
            time.sleep(0.01)
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=60)
    assert are_gone(ids)
    assert program.returncode == 130
    assert err == "ann-bench: interrupted\n"
    rows = [line.split()[:2] for line in out.partition("\n\n")[2].splitlines()]
    assert ["good", "ready"] in rows
    assert ["slow", "missing"] in rows
    mark = environments_dir() / "good" / "mark"
    mark.touch()
    (tmp_path / "enough").touch()
    assert call(definitions, "good", "slow") == 0
    assert mark.exists()
    assert describe("slow", [definitions]).state == "ready"


def test_a_failure_makes_the_exit_code_1_and_stops_nothing(
    definitions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What comes after a failed installation is installed all the same; the failure tells reason and log."""
    assert call(definitions, "broken", "good") == 1
    printed = capsys.readouterr()
    assert "good: ready in " in printed.out
    assert printed.err.startswith("broken: failed: Because there is no version of tinylib==9.9")
    assert printed.err.splitlines()[1].endswith("broken.log")


def test_what_is_declared_unavailable_is_no_failure(
    definitions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A recipe that says it cannot be installed is told as such, with exit code 0."""
    assert call(definitions, "gone") == 0
    assert capsys.readouterr().err == "gone: unavailable: no registry has it\n"


def test_the_list_tells_state_version_and_reason(
    definitions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list has every recipe with its state, and fits 80 columns."""
    call(definitions, "good", "broken")
    capsys.readouterr()
    assert call(definitions, "--list") == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert max(len(line) for line in lines) <= 80
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in lines if line.strip()}
    assert (rows["good"][0], rows["good"][1].split(maxsplit=1)[1]) == ("ready", "tinylib 1.0")
    assert rows["broken"][0] == "failed"
    assert "Because there is no version of" in rows["broken"][1]
    assert rows["gone"] == ["unavailable", "no registry has it"]
    assert rows["annoy"] == ["missing", "not installed: ann-bench install annoy"]


def test_an_unknown_name_is_refused_before_anything_is_installed(
    definitions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong name among several is a usage error, and none of them is installed."""
    with pytest.raises(UsageError, match=r'^goood: .*did you mean "good"\?$'):
        call(definitions, "good", "goood")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("words", [(), ("--all", "--list"), ("good", "--all")])
def test_one_of_names_all_and_list_must_be_given(definitions: Path, words: tuple[str, ...]) -> None:
    """Neither nothing nor two things at a time can be asked for."""
    with pytest.raises(UsageError, match="name the environments to install, or give --all or --list"):
        call(definitions, *words)
