"""`ann-bench compare`: two folders of results to a verdict, its exit code and its words."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ann_bench.cli.main import main
from tests.compare.folders import fill, write_dataset

Filled = Callable[..., Path]


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Filled:
    """Return a function that fills the folder of a name; what else it takes goes to `fill`."""
    monkeypatch.setenv("ANN_BENCH_DATA", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    dataset = write_dataset(tmp_path)
    return lambda name, **planted: fill(tmp_path / name, planted.pop("dataset", dataset), **planted)


def compare(*arguments: object) -> int:
    """Return the exit code of `ann-bench compare`."""
    return main(["compare", *(str(argument) for argument in arguments)])


def test_a_folder_against_itself_passes(filled, capsys):
    """The verdict is the last line, nothing is worse or better, and the exit code is 0."""
    folder = filled("one")
    assert compare(folder, folder) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "pass: nothing gated is worse by its margin; 4 settings matched"
    assert "within 0.005" in out
    assert not re.search(r"worse *$|better", out, flags=re.MULTILINE)
    assert set(re.findall(r"^x(\S+)", out, flags=re.MULTILINE)) == {"1.000"}


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ({"lost": 0.01}, "hnswlib: -0.0100 ± 0.0018 of recall, mean of 4, margin 0.005"),
        ({"factors": {"index_bytes_saved": 1.1}}, "hnswlib: x1.100 of index size, saved, margin 2 %"),
        (
            {"factors": {"distance_computations": 1.1}},
            "hnswlib: x1.100 of distance computations at recall 0.9, 0.95, margin 2 %",
        ),
    ],
    ids=["recall", "bytes", "distances"],
)
def test_a_planted_regression_ends_with_1_and_is_named(filled, capsys, planted, said):
    """The last words tell what got worse, by how much and against which margin."""
    assert compare(filled("base"), filled("new", **planted)) == 1
    assert said in " ".join(capsys.readouterr().out.split())


def test_the_output_fits_80_columns_ratio_first(filled, capsys):
    """Each line fits, and each row begins with its change."""
    base = filled("base", version="1.0")
    names = {"efs": (10, 20), "version": "1.0+a.long.local.version", "machine": {"cpu": "Othercore"}}
    compare(base, filled("new", lost=0.01, factors={"build_peak_bytes": 1.2e6}, **names))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    rows = [line for line in lines if re.search(r"worse *$|within [0-9.]+( %)? *$|better *$", line)]
    assert len([row for row in rows if re.match(r"(x\d|[+-]\d\.\d{4} ± )", row)]) >= 8


@pytest.mark.parametrize("form", ["text", "markdown", "json"])
def test_time_is_called_unpaired_and_nothing_is_called_faster_or_slower(filled, capsys, form):
    """However much time differs, the words for it are not earned by files."""
    assert compare(filled("base"), filled("new", slowdown=3.0), "--format", form) == 0
    out = capsys.readouterr().out
    assert not re.search("faster|slower", out)
    assert ("time, unpaired: not gated" in out) == (form != "json")


def test_markdown_begins_with_the_verdict_and_has_whole_tables(filled, capsys):
    """Each row of a table has five cells, whatever a name contains, and the verdict stands first."""
    named = {"algorithm": "odd|*name*"}
    assert compare(filled("base", **named), filled("new", lost=0.01, **named), "--format", "markdown") == 1
    out = capsys.readouterr().out
    assert out.startswith("**regression**: odd\\|\\*name\\*: -0.0100 ± ")
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert len(rows) > 8
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


def test_json_holds_the_figures_and_nothing_else_is_printed(filled, capsys):
    """The output is one JSON document with verdict, margins and figures."""
    flags = ("--margin", "3 %", "--recall-margin", "0.01", "--recall", "0.9", "0.8", "--format", "json")
    assert compare(filled("base"), filled("new", factors={"index_bytes_saved": 1.1}), *flags) == 1
    plain = json.loads(capsys.readouterr().out)
    assert (plain["verdict"], plain["exit_code"], plain["targets"]) == ("regression", 1, [0.8, 0.9])
    assert plain["margins"] == {"ratio": 0.03, "recall": 0.01}
    (saved,) = [r for r in plain["findings"][0]["ratios"] if r["quantity"] == "index_bytes_saved"]
    assert (saved["ratio"], saved["decision"]) == (pytest.approx(1.1), "worse")


def test_labels_of_one_folder_can_be_compared(filled, capsys):
    """With labels BASE and NEW may be one folder, and each side is called by its label."""
    folder = filled("both", label="before")
    filled("both", label="after", factors={"index_bytes_saved": 1.1})
    assert compare(folder, folder, "--base-label", "before", "--new-label", "after") == 1
    assert compare(folder, folder, "--base-label", "after", "--new-label", "before") == 0
    capsys.readouterr()
    compare(folder, folder, "--base-label", "before", "--new-label", "after", "--format", "json")
    assert json.loads(capsys.readouterr().out)["base"] == f"{folder} [before]"


def test_algorithms_and_counts_are_chosen(filled, capsys):
    """What the flags leave out is neither compared nor listed."""
    base, new = filled("base"), filled("new")
    filled("base", algorithm="annoy")
    filled("new", algorithm="annoy", factors={"index_bytes_saved": 2})
    assert compare(base, new) == 1
    capsys.readouterr()
    assert compare(base, new, "--algorithm", "hnsw*", "--dataset", "points", "-k", 10) == 0
    assert "annoy" not in capsys.readouterr().out


def test_settings_that_only_one_side_has_are_named(filled, capsys):
    """A remark tells how many and which, and so does one for algorithms without a counterpart."""
    base, new = filled("base"), filled("new", efs=(10, 20, 40))
    filled("new", algorithm="annoy")
    assert compare(base, new) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "hnswlib: 1 setting measured only in BASE: M=4 ef=80" in out
    assert "only in NEW: annoy on points k=10 single" in out


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line on stderr; nothing was printed but it."""
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert captured.out == ""
    return line


def test_a_wrong_folder_an_empty_one_and_one_without_what_was_asked_for_are_usage(filled, tmp_path, capsys):
    """Each ends with 2 and one line that names the folder and what to do."""
    base, empty = filled("base"), tmp_path / "empty"
    empty.mkdir()
    assert compare(base, tmp_path / "gone") == 2
    assert error_of(capsys).endswith(
        f"{tmp_path}/gone: no such folder; give one that `run.py --results DIR` filled"
    )
    assert compare(empty, base) == 2
    assert f"{empty}: holds no measurements" in error_of(capsys)
    assert compare(base, base, "--algorithm", "nope*") == 2
    assert f"{base}: none of its 4 measurements is of what was asked for" in error_of(capsys)


@pytest.mark.parametrize("flags", [("--margin", "0"), ("--margin", "x%"), ("--recall", "1.5")], ids=str)
def test_a_share_out_of_range_is_usage(filled, capsys, flags):
    """A margin or recall that is no share is refused with what is allowed."""
    with pytest.raises(SystemExit) as stopped:
        compare("a", "b", *flags)
    assert stopped.value.code == 2
    assert f"got {flags[1]!r}; it is a share such as 2% or 0.02" in capsys.readouterr().err


def test_other_datasets_are_invalid(filled, tmp_path, capsys):
    """Nothing in common, or one name for two contents, ends with 4 and one line."""
    (tmp_path / "elsewhere").mkdir()
    base = filled("base")
    same_name = filled("content", dataset=write_dataset(tmp_path / "elsewhere", seed=4))
    other_name = filled("name", dataset=write_dataset(tmp_path, "other", seed=4))
    assert compare(base, same_name) == 4
    assert "points is not the same dataset on both sides" in error_of(capsys)
    assert compare(base, other_name) == 4
    assert "no dataset, k, mode and algorithm in common" in error_of(capsys)


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_names_from_files_cannot_reach_the_terminal(filled, capsys, form):
    """Escape sequences in names are shown as replacement characters."""
    name = "evil\x1b[31m"
    assert compare(filled("base", algorithm=name), filled("new", algorithm=name), "--format", form) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "evil\N{REPLACEMENT CHARACTER}" in out
