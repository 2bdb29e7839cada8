"""`run.py` says what it would do, refuses nonsense in one line, and tells by its exit code what came."""

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import pytest

from ann_bench import history
from ann_bench.cli import arguments
from ann_bench.cli.main import COMMANDS, main, make_parser
from ann_bench.datasets import Dataset
from ann_bench.runner import sweep
from ann_bench.runner.lane import Observer
from ann_bench.runner.plan import Plan, Request, Setting
from tests.runner.conftest import DEFINITIONS, small_dataset

ROOT = Path(__file__).parents[2]
__all__ = ["small_dataset"]

Run = Callable[..., int]


@pytest.fixture
def run(small_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that calls `run.py` on a small dataset with the made-up algorithms."""
    path = tmp_path / "small-4-euclidean.hdf5"
    with h5py.File(path, "w") as file:
        file.attrs["distance"] = "euclidean"
        for name in ("train", "test", "neighbors", "distances"):
            file[name] = getattr(small_dataset, name)
    monkeypatch.setenv("ANN_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    fixed = [
        "--dataset",
        str(path),
        "--definitions",
        str(DEFINITIONS),
        "--results",
        str(tmp_path / "results"),
    ]

    def call(*words: str) -> int:
        return main([*fixed, "-k", "5", "--runs", "2", *words], script="run")

    return call


def test_a_sweep_that_measured_all_ends_with_0(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What was measured is told line by line, and a second call finds it done."""
    assert run("--algorithm", "steady") == 0
    output = capsys.readouterr().out
    assert "[1/1] steady(in_build=none, in_query=none): recall 1.0000" in output
    assert (
        f"draw it: python plot.py --dataset small-4-euclidean -k 5 --results {tmp_path / 'results'}" in output
    )
    assert run("--algorithm", "steady") == 0
    assert "measured already: 1 setting " in capsys.readouterr().out


def test_plot_draws_what_was_measured(run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With --plot the table and the picture follow."""
    assert run("--algorithm", "steady", "--plot") == 0
    assert "at recall" in capsys.readouterr().out
    assert list((tmp_path / "results").glob("*.png"))


def test_every_run_adds_a_line_to_the_history(run: Run, tmp_path: Path) -> None:
    """It tells what was measured or found measured; a dry run adds none."""
    folder = tmp_path / "results"
    run("--algorithm", "steady", "--dry-run")
    assert history.read(folder, on_skip=pytest.fail) == []
    for words in (["steady"], ["steady", "--force", "--label", "after"], ["steady", "--algorithm", "empty"]):
        run("--algorithm", *words)
    first, second, third = history.read(folder, on_skip=pytest.fail)
    steady = [entry.algorithms["steady"] for entry in (first, second, third)]
    assert (first.kind, first.k, first.mode, first.threads, first.preset) == (
        "sweep",
        5,
        "single",
        1,
        "quick",
    )
    assert (first.dataset.name, first.label, second.label) == ("small-4-euclidean", "", "after")
    assert all(set(state.qps_at) == {"0.9", "0.95", "0.99"} for state in steady)
    assert (steady[0].library, len({state.settings for state in steady})) == ("numpy", 1)
    assert steady[2].measured == steady[0].measured != steady[1].measured
    assert set(third.algorithms) == {"steady", "empty"}


def test_a_history_that_cannot_be_written_is_a_warning(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The measurements are kept and the exit code stays 0; one line says why."""
    (tmp_path / "results" / history.FILE_NAME).mkdir(parents=True)
    assert run("--algorithm", "steady") == 0
    captured = capsys.readouterr()
    warnings = [line for line in captured.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert "history.jsonl: cannot add this run's line: Is a directory" in warnings[0]
    assert len(list((tmp_path / "results").rglob("*.hdf5"))) == 1


@pytest.mark.parametrize(("measures", "lines"), [(True, [{"steady"}, {"steady"}]), (False, [{"steady"}])])
def test_an_interrupted_run_adds_the_algorithms_that_it_finished(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measures: bool, lines: list[set[str]]
) -> None:
    """Half of an algorithm's settings would look like a change of speed; where none was measured, no line."""

    def interrupted(request: Request, plan: Plan, observer: Observer) -> sweep.Outcome:
        outcome = sweep.Outcome() if not measures else run_sweep(request, plan, observer)
        (job,) = plan.jobs
        plan.jobs.append(replace(job, settings=(Setting({"in_query": "late"}, {"in_query": "late"}),)))
        return replace(outcome, interrupted=True)

    run_sweep = sweep.run_sweep
    run("--algorithm", "steady")
    monkeypatch.setattr(sweep, "run_sweep", interrupted)
    assert run("--algorithm", "steady", "--algorithm", "empty") == 130
    entries = history.read(tmp_path / "results", on_skip=pytest.fail)
    assert [set(entry.algorithms) for entry in entries] == lines


def test_a_failure_ends_with_1_also_the_next_time(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A batch that an algorithm cannot do is a failure with its reason, and stays one when nothing is new."""
    assert run("--algorithm", "steady", "--batch") == 1
    assert "failed steady(in_build=none, in_query=none): start in start: the wrapper has no query_batch" in (
        capsys.readouterr().out
    )
    assert run("--algorithm", "steady", "--batch") == 1
    assert "1 of them failed (--retry-failed tries again)" in capsys.readouterr().out


def test_an_algorithm_asked_for_by_name_that_cannot_run_ends_with_1(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its environment is not installed: one line says how to install it; by a glob it would not matter."""
    assert run("--algorithm", "steady", "--algorithm", "annoy") == 1
    assert "not installed: annoy (type `ann-bench install annoy --definitions " in capsys.readouterr().out
    assert run("--algorithm", "steady", "--algorithm", "ann*") == 0


def test_what_is_left_out_for_one_reason_is_told_in_one_line(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seventy algorithms that do not do a distance take a line, not seventy."""
    run("--algorithm", "steady", "--algorithm", "word2vec-*", "--algorithm", "lshforest")
    assert "left out: lshforest, word2vec-distance: does not do euclidean" in capsys.readouterr().out


def test_a_dry_run_measures_nothing(run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It tells indexes, settings and the most it can take, and after a measurement what to expect."""
    assert run("--algorithm", "steady", "--dry-run") == 0
    assert "1 setting on 1 build: at most 62 s" in capsys.readouterr().out
    assert not (tmp_path / "results").exists()
    run("--algorithm", "steady")
    capsys.readouterr()
    assert run("--algorithm", "steady", "--dry-run", "--force") == 0
    assert "from earlier measurements" in capsys.readouterr().out


def test_the_algorithms_can_be_listed(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """One name a line, those of --definitions among them."""
    assert run("--list-algorithms") == 0
    names = capsys.readouterr().out.split()
    assert names == sorted(names)
    assert {"engine-forest", "annoy", "steady"} <= set(names)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--algorithm", "stedy"], 'no algorithm matches "stedy"; did you mean "steady"?'),
        (["--cpus", "4096"], "--cpus: got 4096; this machine lets us use"),
        (["--parallelism", "4096"], "--parallelism: got 4096; this machine lets us use"),
        (["--batch", "--parallelism", "2"], "--parallelism: got 2 with --batch"),
        (["--queries", "21"], "queries: got 21"),
        (["--definitions", "nowhere"], "nowhere"),
        (["-k", "61"], "-k: got 61; small-4-euclidean has 60 rows"),
    ],
)
def test_nonsense_is_refused_in_one_line(
    run: Run, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    """The message names the flag, the value and what is allowed; the exit code is 2."""
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith("run.py: error: ")
    assert message in error
    assert error.count("\n") == 1


def test_an_unknown_dataset_is_refused_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit code 2."""
    assert main(["--dataset", "glove-100-angula-25k"], script="run") == 2
    assert "glove-100-angular-25k" in capsys.readouterr().err


def test_a_second_dataset_is_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """It would silently take the place of the first."""
    with pytest.raises(SystemExit) as ended:
        run("--dataset", "glove-100-angular-25k")
    assert ended.value.code == 2
    assert "--dataset: got it twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (arguments.seconds, "90", 90),
        (arguments.seconds, "15m", 900),
        (arguments.seconds, "1.5h", 5400),
        (arguments.byte_count(1), "2G", 2 * 2**30),
        (arguments.byte_count(1), "500MiB", 500 * 2**20),
        (arguments.cpu_list, "0,2-4", (0, 2, 3, 4)),
        (arguments.integer(1), "7", 7),
    ],
)
def test_units_are_understood(parse: Callable[[str], object], text: str, value: object) -> None:
    """Times, sizes and lists of cores can be written as people write them."""
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (arguments.seconds, "-1"),
        (arguments.seconds, "soon"),
        (arguments.byte_count(1), "0"),
        (arguments.byte_count(2**26), "10"),
        (arguments.cpu_list, "3-1"),
        (arguments.cpu_list, "1,1"),
        (arguments.cpu_list, ""),
        (arguments.integer(1), "0"),
        (arguments.integer(1, 5), "6"),
    ],
)
def test_what_is_no_value_is_refused(parse: Callable[[str], object], text: str) -> None:
    """The message repeats the value and tells the form."""
    with pytest.raises(argparse.ArgumentTypeError, match=r"^got "):
        parse(text)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_fits_80_columns(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The help describes the command and no line of it wraps on a small terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args([command, "--help"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert len(lines) > 8


def test_help_loads_nothing_heavy() -> None:
    """`run.py --help` must answer at once: NumPy, h5py, matplotlib, pydantic and rich stay unloaded."""
    code = (
        "import sys; sys.argv = ['run.py', '--help']\n"
        "from ann_bench.cli.main import main\n"
        "try: main(script='run')\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'h5py', 'matplotlib', 'pydantic', 'rich', 'yaml', 'psutil'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_outside_the_environment_one_line_says_what_to_type(tmp_path: Path) -> None:
    """Without the dependencies there is no traceback."""
    done = subprocess.run(
        [sys.executable, "-S", str(ROOT / "run.py")], cwd=tmp_path, capture_output=True, text=True, env={}
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "type `make run`" in done.stderr


def test_an_old_python_gets_the_same_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its version is named."""
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    assert main([], script="run") == 2
    assert capsys.readouterr().err == (
        "run.py: this is Python 3.9, 3.11 or newer is needed: type `make run`, "
        "or `. .venv/bin/activate` if that was done\n"
    )


def test_a_closed_pipe_is_no_error() -> None:
    """`ann-bench algorithms | head -1` ends quietly."""
    with subprocess.Popen(
        [sys.executable, "-m", "ann_bench", "algorithms"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()
        assert command.stderr.read() == ""
