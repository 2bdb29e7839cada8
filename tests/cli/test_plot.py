"""`plot.py`: from a results folder to pictures and tables."""

import subprocess
import sys
from pathlib import Path

import pytest

from ann_bench.cli.main import main
from ann_bench.results import Measurement, write
from tests.records import make_curve, make_failure, make_record

OTHER = {"name": "sift-4-euclidean", "distance": "euclidean"}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return a folder with two algorithms on one dataset, and one of them on another in batch mode."""
    folder = tmp_path / "results"
    theirs = {"ann_benchmarks_recall": 0.9, "latency_p50_us": 80.0}
    records = [
        *make_curve("hnswlib", metrics=theirs),
        *make_curve("annoy"),
        make_failure("annoy", query={"search_k": 7}),
    ]
    for record in [*records, *make_curve("annoy", dataset=OTHER, mode="batch", k=5)]:
        write(Measurement(record), folder)
    return folder


def plot(*arguments: object) -> int:
    """Return the exit code of `plot.py`."""
    return main([str(argument) for argument in arguments], script="plot")


def test_without_flags_every_dataset_gets_a_picture_in_the_results_folder_and_a_table(results, capsys):
    """A bare call draws each dataset, k and mode into results/, prints paths, tables and what failed."""
    assert plot("--results", results) == 0
    out = capsys.readouterr().out
    pictures = sorted(path.name for path in results.glob("*.png"))
    assert pictures == ["glove-4-angular-k10.png", "sift-4-euclidean-k5-batch.png"]
    assert all(str(results / name) in out for name in pictures)
    assert "queries/s at recall" in out
    assert "annoy search_k=7: out of memory in build" in out


def test_several_outputs_are_written_each_in_the_format_of_its_suffix(results, tmp_path):
    """-o may be repeated; PNG, SVG and PDF are told by the suffix."""
    names = ["a.png", "b.svg", "c.pdf"]
    flags = [word for name in names for word in ("-o", tmp_path / name)]
    assert plot("--results", results, "--dataset", "glove*", "--no-table", *flags) == 0
    starts = [(tmp_path / name).read_bytes()[:5] for name in names]
    assert starts == [b"\x89PNG\r", b"<?xml", b"%PDF-"]


def test_no_table_prints_nothing_but_the_path(results, tmp_path, capsys):
    """With --no-table the output is the picture's path alone, ready for another command."""
    assert plot("--results", results, "--batch", "--no-table", "-o", tmp_path / "b.png") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'b.png'}\n"


def test_algorithms_are_chosen_by_globs_and_left_out_by_except(results, tmp_path, capsys):
    """--algorithm takes in what one of its globs matches, --except takes out."""
    assert (
        plot("--results", results, "-k", 10, "--algorithm", "*", "--except", "ann*", "-o", tmp_path / "a.png")
        == 0
    )
    out = capsys.readouterr().out
    assert "hnswlib" in out
    assert "annoy" not in out


def test_the_names_that_ann_benchmarks_uses_are_understood(results, tmp_path):
    """-x k-nn -y p50 and the scales of ann-benchmarks draw; their metrics are ours under other names."""
    words = ("-x", "k-nn", "-y", "p50", "-X", "a3", "-Y", "symlog", "--count", "10", "--raw", "--no-table")
    assert plot("--results", results, *words, "-o", tmp_path / "a.png") == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-y", "speed"), "--y-axis: there is no metric 'speed'; it is one of recall,"),
        (("-X", "a0"), "--x-scale: got 'a0'; it is auto, linear, log, symlog, logit, or aN"),
        (("-o", "missing/a.png"), "missing/a.png: there is no folder missing; make it first"),
        (("-o", "a.gif"), "a.gif: a figure is written as .png, .svg, .pdf"),
        (
            ("--dataset", "mnist"),
            "--dataset glove-4-angular --count 10, --dataset sift-4-euclidean --count 5 --batch",
        ),
        (("--algorithm", "scann"), "of the algorithms annoy, hnswlib"),
    ],
)
def test_a_mistake_gets_one_line_that_tells_what_is_allowed(results, words, said, capsys, monkeypatch):
    """An unknown metric, scale, format, folder, dataset or algorithm ends with code 2 and the way out."""
    monkeypatch.chdir(results.parent)
    assert plot("--results", results, *words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_one_output_for_several_figures_is_refused(results, tmp_path, capsys):
    """-o names one file: with two datasets that fit, nothing is written and the message names both."""
    write(Measurement(make_record("annoy", dataset=OTHER)), results)
    assert plot("--results", results, "-o", tmp_path / "a.png") == 2
    assert (
        "2 figures fit what was asked for (glove-4-angular-k10, sift-4-euclidean-k10)"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "a.png").exists()


def test_of_several_subsets_the_one_measured_last_goes_into_the_file(results, tmp_path, capsys):
    """With -o a trial on fewer queries gives way to the later measurement, and a line says so."""
    write(Measurement(make_record("annoy", dataset={"queries": 50}, minutes=-9)), results)
    assert plot("--results", results, "--dataset", "glove*", "--no-table", "-o", tmp_path / "a.png") == 0
    said = "glove-4-angular-k10 is drawn; measured before and left out: glove-4-angular-k10-q50"
    assert said in capsys.readouterr().err


def test_an_empty_or_missing_results_folder_says_how_to_fill_it(tmp_path, capsys):
    """Where nothing was measured yet the message tells what to type."""
    assert plot("--results", tmp_path) == 1
    assert "run.py" in capsys.readouterr().err
    assert plot("--results", tmp_path / "none") == 1
    assert "--results" in capsys.readouterr().err


def test_a_damaged_file_is_named_and_the_rest_is_drawn(results, tmp_path, capsys):
    """One broken file costs a line on stderr, not the picture."""
    (results / "broken.hdf5").write_bytes(b"not HDF5")
    assert plot("--results", results, "--dataset", "glove*", "--no-table", "-o", tmp_path / "a.png") == 0
    assert "broken.hdf5" in capsys.readouterr().err


def test_the_command_needs_no_matplotlib_to_tell_its_flags():
    """Importing the command imports neither matplotlib nor NumPy nor rich: help is quick."""
    code = "import sys, ann_bench.cli.plot; print({'matplotlib', 'numpy', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("theirs", "ours"), [("indexsize", "index_bytes_resident"), ("rel", "distance_ratio")]
)
def test_a_name_of_ann_benchmarks_draws_our_metric_of_the_same_meaning(tmp_path, theirs, ours):
    """Their index size is the growth of the process, their relative error a ratio of distances."""
    folder = tmp_path / "results"
    for record in make_curve("hnswlib", metrics={"index_bytes_resident": 5e6, "distance_ratio": 1.5}):
        write(Measurement(record), folder)
    pictures = []
    for name in (theirs, ours):
        pictures.append(tmp_path / f"{name}.svg")
        assert plot("--results", folder, "-y", name, "--no-table", "-o", pictures[-1]) == 0
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


def test_a_metric_that_nothing_has_is_refused(results, capsys):
    """An empty picture helps nobody: the metric is named, and what it is."""
    assert plot("--results", results, "-y", "p999") == 2
    assert "--y-axis: no measurement here has latency_p999_us" in capsys.readouterr().err


def test_logit_is_for_shares(results, capsys):
    """A scale between 0 and 1 has no place for speeds."""
    assert plot("--results", results, "-Y", "logit") == 2
    assert "--y-scale: got 'logit' for qps" in capsys.readouterr().err
