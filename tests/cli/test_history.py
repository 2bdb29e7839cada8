"""`ann-bench history`: what it prints and draws, and how it says that there is nothing."""

import json
from pathlib import Path

import pytest

from ann_bench.cli.main import main
from ann_bench.history import FILE_NAME, append
from tests.entries import make_entry, make_history, make_state, noisy


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a results folder with a shift of hnswlib and two runs of annoy, at a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    for entry in make_history(noisy([10_000.0] * 10 + [10_600.0] * 8)):
        append(tmp_path, entry)
    for entry in make_history([70.0, None], "annoy", label="before the long rewriting of everything"):
        append(tmp_path, entry)
    return tmp_path


def run(folder, *words):
    """Run `ann-bench history` on the folder and return its exit code."""
    return main(["history", *map(str, words), "--results", str(folder)])


def test_the_table_tells_runs_and_shifts_in_80_columns(folder, capsys):
    """Each run with its time, state, speed and interval; the shift with date, states and ratio."""
    assert run(folder, "--text") == 0
    output = capsys.readouterr().out
    assert max(map(len, output.splitlines())) <= 80
    text = " ".join(output.split())
    assert "hnswlib glove-4-angular · k = 10 · one query at a time · 1 thread · preset quick" in text
    assert "2026-10-11 09:30 1.10.0 10,5" in text
    assert "shift 2026-10-11: 1.9.0 -> 1.10.0: ×1.0" in text  # noqa: RUF001 - a ratio, not a letter
    assert "18 runs, 2026-10-01 to 2026-10-18 · 1 shift · noise 0." in text
    assert "70 68.6 to 71.4" in text
    assert "1 run, 2026-10-01 · 1 run below recall 0.95 · shifts are looked for from 6 runs on" in text
    assert not list(folder.glob("*.png"))


def test_a_figure_is_drawn_beside_the_history(folder, capsys):
    """Its path is the last line; -o names another."""
    assert run(folder) == 0
    path = capsys.readouterr().out.splitlines()[-1]
    assert path == str(folder / "history.png")
    assert Path(path).stat().st_size > 10_000
    assert run(folder, "-o", folder / "trend.svg") == 0
    assert (folder / "trend.svg").read_text().count("hnswlib") >= 1


def test_json_tells_series_points_levels_and_shifts(folder, capsys):
    """A program gets numbers, whole states and places; nothing else is printed, nothing drawn."""
    assert run(folder, "--json", "--algorithm", "hnsw*") == 0
    told = json.loads(capsys.readouterr().out)
    (series,) = told["series"]
    (shift,) = series["shifts"]
    assert (told["recall"], series["algorithm"], series["k"]) == (0.95, "hnswlib", 10)
    assert (shift["at"], shift["before"], shift["after"]) == (10, "1.9.0", "1.10.0")
    assert shift["when"] == series["points"][10]["when"]
    assert shift["ratio"] == pytest.approx(series["levels"][1]["qps"] / series["levels"][0]["qps"])
    assert [(level["first"], level["last"]) for level in series["levels"]] == [(0, 9), (10, 17)]
    assert set(series["points"][0]) >= {"state", "library_digest", "label", "qps", "low", "high"}
    assert not list(folder.glob("*.png"))


def test_dataset_algorithm_and_recall_choose(folder, capsys):
    """Globs may be repeated; only what fits all is there, at the recall asked for."""
    append(folder, make_entry({"mrpt": make_state(qps_at={"0.9": None, "0.95": None, "0.99": None})}))
    assert run(folder, "--json", "--recall", ".99", "--algorithm", "annoy", "--algorithm", "mr*") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["recall"] == 0.99
    assert [(s["algorithm"], len(s["points"])) for s in told["series"]] == [("annoy", 1), ("mrpt", 0)]
    assert run(folder, "--text", "--dataset", "glove-*") == 0
    assert "hnswlib" in capsys.readouterr().out


def test_a_series_that_never_reached_the_recall_is_told_and_not_drawn(tmp_path, capsys):
    """There is no picture of nothing."""
    append(tmp_path, make_entry({"mrpt": make_state(None)}))
    assert run(tmp_path) == 0
    assert "1 run below recall 0.95" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.png"))


def test_a_comparison_tells_its_verdict(tmp_path, capsys, monkeypatch):
    """Beside the speed stands what came of it, ratio and interval."""
    monkeypatch.setenv("COLUMNS", "80")
    append(tmp_path, make_entry(kind="comparison", verdict="pass", change=1.031, interval=[1.02, 1.042]))
    assert run(tmp_path, "--text") == 0
    output = capsys.readouterr().out
    assert max(map(len, output.splitlines())) <= 80
    assert "pass ×1.031 (1.020 to 1.042)" in " ".join(output.split())  # noqa: RUF001 - a ratio


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_without_a_history_one_line_says_so(tmp_path, capsys, name):
    """The exit code is 1, and the line names the file and who makes it."""
    assert run(tmp_path / name) == 1
    error = capsys.readouterr().err
    assert f"{tmp_path / name / FILE_NAME}: there is no history here yet; each run of run.py adds" in error
    assert error.count("\n") == 1


def test_damaged_lines_are_told_on_stderr(folder, capsys):
    """The others are shown; what the line holds cannot reach the terminal as it is."""
    with (folder / FILE_NAME).open("a") as file:
        file.write('{"schema_version": "\\u001b[2J"}\n')
    assert run(folder, "--text") == 0
    captured = capsys.readouterr()
    assert "hnswlib" in captured.out
    assert f"passed over {folder / FILE_NAME}:21: schema_version is" in captured.err
    assert "\x1b" not in captured.err


def test_names_from_the_file_cannot_reach_the_terminal_as_they_are(tmp_path, capsys):
    """Escape sequences in states, labels and names of algorithms are made harmless."""
    evil = "\x1b[2J\n"
    append(tmp_path, make_entry({evil: make_state(state=evil)}, label=evil, cpu=evil, preset=evil))
    assert run(tmp_path) == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--algorithm", "hsnw"], "fits; there is of the datasets glove-4-angular; of the algorithms annoy,"),
        (["-o", "trend.gif"], "trend.gif: a figure is written as .png, .svg, .pdf"),
        (["--recall", "0.5"], "--recall: got 0.5; the history keeps 0.9, 0.95, 0.99"),
        (["--recall", "nan"], "--recall: got nan; the history keeps 0.9, 0.95, 0.99"),
        (["-o", "trend.png", "--text"], "-o: --text and --json draw nothing"),
    ],
)
def test_nonsense_is_refused_in_one_line(folder, capsys, words, message):
    """The message tells what there is; the exit code is 2."""
    assert run(folder, *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
