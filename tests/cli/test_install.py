"""`ann-bench install`, with recipes whose packages lie in a folder."""

import argparse
from pathlib import Path

import pytest

from ann_bench.cli import install
from ann_bench.errors import UsageError
from tests.made_up_packages import make_recipe, make_wheel


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
    assert lines[:2] == ["good: making the environment", "good: installing tinylib 1.0"]
    assert lines[2].startswith("good: ready in ")
    assert lines[2].endswith(" s (tinylib 1.0)")
    assert call(definitions, "good") == 0
    assert capsys.readouterr().out == "good: ready already (tinylib 1.0)\n"
    assert call(definitions, "good", "--force") == 0
    assert "good: ready in " in capsys.readouterr().out


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
    assert rows["good"] == ["ready", "tinylib 1.0"]
    assert rows["broken"][0] == "failed"
    assert rows["broken"][1].startswith("Because there is no version of tinylib==9.9")
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
