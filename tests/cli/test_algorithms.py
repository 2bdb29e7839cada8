"""`ann-bench algorithms`."""

import argparse
import json
from pathlib import Path

import pytest

from ann_bench.cli import algorithms
from ann_bench.config import FAMILIES, load_algorithms
from ann_bench.environments import library_version
from ann_bench.errors import UsageError

ENTRY = """\
mine:
  family: exact
  library: numpy
  description: a search of mine
  licence: MIT
  environment: harness
  wrapper: mine.Mine
  distances: [euclidean, dot]
  needs: {max_dimension: 2000}
  build:
    M: {type: integer, minimum: 2, meaning: links of a row}
  query:
    ef: {type: integer, minimum: k, meaning: size of the list}
  presets:
    default: {M: 8, grids: [{ef: [10, 20]}, {ef: 40}]}
    quick: {M: 4, ef: 10, max_seconds_per_setting: 1.5}
  overrides:
    - when: {distance: dot, max_dimension: 9}
      presets: {quick: {ef: [77, 78]}}
  limits: {prints: a greeting}
"""


@pytest.fixture
def definitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a definitions folder with one algorithm, and an empty cache."""
    monkeypatch.setenv("ANN_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "wrappers").mkdir()
    (tmp_path / "wrappers" / "mine.py").write_text("class Mine(object):\n    pass\n", encoding="utf-8")
    (tmp_path / "algorithms.yaml").write_text(ENTRY, encoding="utf-8")
    return tmp_path


def call(definitions: Path, *words: str) -> int:
    """Return the exit code of `ann-bench algorithms WORDS`."""
    parser = argparse.ArgumentParser()
    algorithms.add_arguments(parser)
    return algorithms.main(parser.parse_args([*words, "--definitions", str(definitions)]))


def table(text: str) -> dict[str, list[str]]:
    """Return the words of each row by its first."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}


def test_the_table_has_a_line_for_each_algorithm(
    definitions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Name, family, library with version, distances and state stand in 80 columns, families together."""
    assert call(definitions) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert max(len(line) for line in lines) <= 80
    rows = table(printed)
    assert rows["mine"][:5] == ["exact", "numpy", library_version("harness", "numpy"), "e-d---", "ready"]
    assert rows["hnswlib"][:4] == ["graph", "hnswlib", "ead---", "missing"]
    assert "distances: e euclidean, a angular, d dot, h hamming, m manhattan, j jaccard" in lines
    families = [row[0] for name, row in rows.items() if name in load_algorithms([definitions])]
    assert families == sorted(families, key=FAMILIES.index)


@pytest.mark.parametrize(("columns", "words"), [("300", ()), ("80", ("--wide",)), (None, ())])
def test_where_there_is_room_the_table_has_all(
    definitions: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: str | None,
    words: tuple[str, ...],
) -> None:
    """On a wide terminal, with --wide, and in a pipe: environment, licence and home page, on one line."""
    monkeypatch.delenv("COLUMNS")
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    assert call(definitions, *words) == 0
    printed = capsys.readouterr().out
    home = "https://github.com/nmslib/hnswlib"
    assert table(printed)["hnswlib"][-4:] == ["missing", "hnswlib", "Apache-2.0", home]
    assert "--wide" not in printed


def test_a_table_has_as_many_columns_as_there_is_room_for(
    definitions: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Home page, licence and environment are left out, in this order, and --wide is told to add them."""
    rest = ["environment", "licence", "home page"]
    seen = set()
    for columns in (80, 120, 400):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert call(definitions) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= columns
        shown = [heading for heading in rest if heading in lines[0]]
        assert shown == rest[: len(shown)]
        added = ", ".join(rest[len(shown) :])
        assert " ".join(lines).count(f"--wide adds {added}; ") == bool(added)
        seen.add(len(shown))
    assert max(seen) == 3


def test_the_table_can_be_narrowed(definitions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--family and --distance leave out all others; a name that is none is told with the nearest."""
    assert call(definitions, "--family", "exact", "--distance", "dot") == 0
    names = set(table(capsys.readouterr().out))
    assert {"mine", "bruteforce", "faiss-flat"} <= names
    assert not {"sklearn-brute", "hnswlib"} & names
    with pytest.raises(UsageError, match=r'^--family: got "trees"; did you mean "tree"\?$'):
        call(definitions, "--family", "trees")
    with pytest.raises(UsageError, match=r'^--distance: got "euclid"; did you mean "euclidean"\?$'):
        call(definitions, "--distance", "euclid")


def test_an_algorithm_is_shown_whole(definitions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Parameters with their meaning, every preset's grids, overrides and limits are shown."""
    assert call(definitions, "mine") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mine: a search of mine"
    expected = """\
  distances    euclidean, dot
  needs        max_dimension 2000
  build        M: integer >= 2 (links of a row)
  query        ef: integer >= k (size of the list)
  preset quick: 1 build, 1 setting; at most 60 s a build, 1.5 s a setting
    M 4; ef 10
  preset default: 1 build, 3 settings; at most 900 s a build, 20 s a setting
    M 8; ef 10 20
    M 8; ef 40
  preset full: 1 build, 3 settings; at most 7200 s a build, 120 s a setting
    M 8; ef 10 20
    M 8; ef 40
  for distance dot, max_dimension 9, preset quick:
    ef 77 78
  limit        prints: a greeting"""
    assert lines[7:] == expected.splitlines()


def test_json_holds_every_entry(definitions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON is a list of entries with version and state of the environment."""
    assert call(definitions, "--json", "mine", "annoy") == 0
    annoy, mine = json.loads(capsys.readouterr().out)
    assert (annoy["name"], annoy["version"], annoy["state"]) == ("annoy", None, "missing")
    assert (mine["state"], mine["query"]["ef"]["minimum"]) == ("ready", "k")
    assert mine["wrapper_path"] == str(definitions / "wrappers" / "mine.py")


def test_an_unknown_name_is_refused(definitions: Path) -> None:
    """A name that matches nothing is a usage error with the nearest one."""
    with pytest.raises(UsageError, match=r'^no algorithm matches "min"; did you mean "mine"\?$'):
        call(definitions, "min")
