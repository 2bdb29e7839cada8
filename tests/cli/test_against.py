"""`run.py --against` and `--versus`: what they take, and how they tell what came out."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from ann_bench.cli import against_text
from ann_bench.cli.main import main
from ann_bench.compare.session import Outcome
from ann_bench.compare.survey import Asked
from ann_bench.distances import DISTANCES
from ann_bench.errors import INTERRUPTED, InvalidComparisonError
from ann_bench.machine import allowed_cpus
from ann_bench.report import comparison
from tests.compare.recorded import recorded
from tests.compare.simulated import Machine


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--against", "HEAD", "--versus", "annoy"], "--against: got it with --versus"),
        (["--against", "HEAD", "--force"], "--force: a comparison has no use for it"),
        (["--against", "HEAD", "--parallelism", "2"], "--parallelism: got 2; a comparison runs on one core"),
        (["--versus", "bruteforce"], "--versus: got bruteforce; name the other with --algorithm"),
        (["--versus", "brutforce", "--algorithm", "bruteforce"], "there is no such algorithm"),
        (
            ["--against", "HEAD", "--algorithm", "bruteforce", "--build", "annoy:n_trees=3"],
            "--build: got 'annoy:n_trees=3'; it is NAME:KEY=VALUE,... and NAME one of bruteforce",
        ),
        (
            ["--against", "HEAD", "--algorithm", "annoy", "--build", "annoy:trees=3"],
            "--build: got 'trees=3' for annoy; its build parameters: n_trees is integer >= 1 (",
        ),
        (
            ["--versus", "annoy", "--algorithm", "bruteforce", "--build", "annoy:n_trees=many"],
            "--build: got 'n_trees=many' for annoy; n_trees is integer >= 1 (",
        ),
        (
            ["--build", "annoy:n_trees=3"],
            "--build: got 'annoy:n_trees=3'; it goes with --against or --versus",
        ),
        (["--against", "no-such-thing"], "--against: got no-such-thing; it is no revision"),
        (["--against", "numpy==1.0", "--algorithm", "bruteforce"], "harness's own environment"),
        (["--against", "gone.whl"], "--against: got gone.whl; there is no such wheel"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Flags that do not go together, and sides that name nothing, are told with the flag and the value."""
    assert main([*words, "--results", str(tmp_path)], script="run") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("run.py: error: ")
    assert said in error


def test_what_goes_wrong_is_no_regression(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A dataset that cannot be read ends a comparison with 5, and not with the 1 of a regression."""
    broken = tmp_path / "broken.hdf5"
    broken.write_bytes(b"no dataset")
    assert main(["--against", "HEAD", "--dataset", str(broken)], script="run") == 5
    assert "broken.hdf5" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--against", "HEAD"], ["--against", "HEAD", "--batch"], ["--versus", "bruteforce"]]
)
def test_what_is_asked_of_a_comparison(
    words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It has the last core, in batches as well; two algorithms are tuned on one half of the queries."""
    found: list[Asked] = []

    def run(asked: Asked, *_: object, **__: object) -> Outcome:
        found.append(asked)
        return Outcome(interrupted=True)

    side = SimpleNamespace(title="", algorithm=SimpleNamespace(distances=DISTANCES))
    monkeypatch.setattr("ann_bench.cli.against._sides", lambda *_: (side, side))
    monkeypatch.setattr("ann_bench.compare.session.run_comparison", run)
    assert (
        main([*words, "--algorithm", "bruteforce", "--results", str(tmp_path)], script="run") == INTERRUPTED
    )
    (asked,) = found
    assert asked.cpu == allowed_cpus()[-1]
    assert (asked.batch, asked.halves) == ("--batch" in words, "--versus" in words)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device", "x"), RuntimeError("a mistake")])
def test_no_error_of_any_kind_says_regression(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A full disk, or a mistake of ours, ends a comparison with 5."""

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("ann_bench.cli.against._sides", fails)
    assert main(["--against", "HEAD", "--results", str(tmp_path)], script="run") == 5
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("run.py: error: ")


def test_the_gravest_of_several_comparisons_counts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A regression of one algorithm is not forgotten where another cannot be compared."""

    def compared(_args: object, _dataset: object, _cpu: object, name: str, *_: object) -> int:
        if name == "annoy":
            raise InvalidComparisonError("no recalls to compare at")
        return 1

    monkeypatch.setattr("ann_bench.cli.against._sides", lambda _a, algorithm, _c: (algorithm.name, None))
    monkeypatch.setattr("ann_bench.cli.against._compare", compared)
    words = ["--against", "1.0", "--algorithm", "hnswlib", "--algorithm", "annoy"]
    assert main([*words, "--results", str(tmp_path)], script="run") == 1
    assert "annoy: no recalls to compare at" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("machine", "verdict", "word"),
    [(Machine(1), "pass: ", ""), (Machine(1, slowdown=0.04), "regression: ", "NEW is slower")],
)
def test_what_people_read_fits_in_80_columns_and_ends_with_the_verdict(
    machine: Machine,
    verdict: str,
    word: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each ratio stands with its interval; the last line is the verdict, with a word where it is earned."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    against_text.show(recorded(tmp_path, machine), interrupted=False)
    lines = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).rstrip().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1].startswith(verdict + word)
    rows = [line for line in lines if "x " in line and "[" in line and "recall" in line]
    assert len(rows) == 4
    assert ("faster" in "".join(lines)) is False


def test_markdown_has_the_verdict_first_and_a_table(tmp_path: Path) -> None:
    """A pull request shows the verdict, and a table with a row for the window and for each recall."""
    text = against_text.as_markdown(recorded(tmp_path, Machine(2, slowdown=0.05)), interrupted=False)
    assert text.startswith("**regression**: NEW is slower")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 6
    assert {line.count("|") for line in table} == {6}


def test_an_interrupted_comparison_shows_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With three launches there is an estimate, and the word interrupted in the verdict's place."""
    against_text.show(recorded(tmp_path, Machine(3), launches=3), interrupted=True)
    out = capsys.readouterr().out
    assert "recall 0.95" in out
    assert out.rstrip().splitlines()[-1].startswith("interrupted: ")


def test_without_a_launch_nothing_is_made_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Interrupted before the first launch is over, there is no ratio, no picture, and no error."""
    empty = recorded(tmp_path, Machine(3), launches=0)
    against_text.show(empty, interrupted=True)
    assert "x [" not in capsys.readouterr().out
    assert comparison.draw(empty) is None
    assert json.loads(json.dumps(against_text.as_json(empty, interrupted=True)))["ratio"] is None


def test_json_tells_each_figure_that_is_printed(tmp_path: Path) -> None:
    """It holds ratios with intervals, the control, the smallest slowdown, the plan and all launches."""
    told = against_text.as_json(recorded(tmp_path, Machine(1)), interrupted=False)
    assert told["verdict"] == "pass"
    assert told["exit_code"] == 0
    assert told["ratio"]["low"] <= told["ratio"]["ratio"] <= told["ratio"]["high"]
    assert list(told["at"]) == ["0.9", "0.95", "0.99"]
    assert len(told["launches"]) == 8
    assert json.loads(json.dumps(told)) == json.loads(json.dumps(told))


def test_batches_are_told(tmp_path: Path) -> None:
    """Text, JSON and the file's name say that queries were asked in batches, and of how many."""
    batches = recorded(tmp_path, Machine(1), mode="batch", protocol={"queries_per_call": 500})
    single = recorded(tmp_path, Machine(1))
    assert "batches of 500 queries" in against_text.as_markdown(batches, interrupted=False)
    assert "one query at a time" in against_text.as_markdown(single, interrupted=False)
    told = against_text.as_json(batches, interrupted=False)["plan"]
    assert (told["mode"], told["protocol"]) == ("batch", {"queries_per_call": 500})
    assert batches.path.name == single.path.stem + "-batch.jsonl"
    assert comparison.draw(batches) is not None


def test_halves_are_told(tmp_path: Path) -> None:
    """Where one half of the queries chose the settings, a line says how many they and the others are."""
    halves = against_text.as_markdown(
        recorded(tmp_path, Machine(1), protocol={"tuning_queries": 400}), interrupted=False
    )
    assert "settings chosen on 400 queries; recall and speed are those of the 600 others" in halves


def test_a_comparison_is_drawn(tmp_path: Path) -> None:
    """The figure has both curves above, and the ratio with its band below, over the same recalls."""
    figure = comparison.draw(recorded(tmp_path, Machine(1, slowdown=0.02)))
    assert figure is not None
    ratio, curves = figure.axes
    assert ratio.get_xlim() == curves.get_xlim() == pytest.approx((0.9, 0.99))
    assert [text.get_text() for text in curves.get_legend().get_texts()] == [
        "BASE: BASE side",
        "NEW: NEW side",
    ]
    low, high = ratio.get_ylim()
    assert low < 0.98 < 1 < high
