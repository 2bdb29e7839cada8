"""`ann-bench datasets`: the table, the downloads, the facts."""

import argparse
import json
from pathlib import Path

import h5py
import pytest

from ann_bench.cli import datasets
from ann_bench.errors import DatasetError, UsageError
from tests.datasets.files import write


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point cache, downloads and search path into `tmp_path`; return the folder of ANN_BENCH_DATA."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("ANN_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ANN_BENCH_DATA", str(folder))
    monkeypatch.setenv("COLUMNS", "80")
    return folder


def run(*words: str) -> int:
    """Run `ann-bench datasets` with these words."""
    parser = argparse.ArgumentParser("ann-bench datasets")
    datasets.add_arguments(parser)
    return datasets.main(parser.parse_args(words))


def test_the_table_fits_80_columns_and_tells_the_state(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every set has a line that tells whether it is here or how it comes; files outside the catalogue too."""
    write(data / "my-words.hdf5", "angular")
    (data / "broken.hdf5").write_text("no HDF5")
    write(data / "sift-128-euclidean.hdf5")
    assert run("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    state = {line.split()[0]: line.strip().split("  ")[-1].strip() for line in lines[1:-2]}
    assert state["glove-100-angular-25k"] == "embedded"
    assert state["sift-128-euclidean"] == "here"
    assert state["gist-960-euclidean"] == "to download"
    assert state["manifold-128-euclidean-1m"] == "to generate"
    assert state["my-words"] == "here"
    assert state["broken"] == "unreadable"
    assert "9,990,000 x 96" in "\n".join(lines)


def test_no_file_keeps_the_others_from_being_listed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files that are damaged in odd ways are listed as unreadable."""
    write(data / "two.hdf5", attributes={"distance": ["dot", "angular"]})
    write(data / "link.hdf5", train=h5py.SoftLink("/gone"))
    attributes = {"distance": "hamming", "point_type": "binary", "dimension": "twelve"}
    write(data / "bits.hdf5", attributes=attributes)
    (data / "gone.hdf5").symlink_to(data / "nowhere")
    assert run("list", "--json") == 0
    states = {row["name"]: row["state"] for row in json.loads(capsys.readouterr().out)}
    assert {states[name] for name in ("two", "link", "bits", "gone")} == {"unreadable"}


def test_the_table_can_be_had_as_json(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same facts, complete, for programs."""
    write(data / "my-words.hdf5", "angular")
    assert run("list", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    mine = rows["my-words"]
    assert (mine["rows"], mine["dimension"], mine["queries"], mine["distance"]) == (200, 12, 30, "angular")
    assert rows["gist-960-euclidean"]["bytes"] == 3844648288


def test_get_prints_where_a_set_is(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is here is not downloaded, whether the catalogue knows it or not."""
    path = write(data / "my-words.hdf5", "angular")
    assert run("get", "my-words", "glove-100-angular-25k", "--offline") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"my-words: {path}"
    assert second.startswith("glove-100-angular-25k: ")


def test_get_goes_on_after_a_failure(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every name is tried; the failures are named at the end."""
    write(data / "my-words.hdf5", "angular")
    with pytest.raises(DatasetError, match=r"gist-960-euclidean: is not here, and --offline"):
        run("get", "gist-960-euclidean", "my-words", "--offline")
    assert "my-words: " in capsys.readouterr().out


def test_get_refuses_what_nobody_knows() -> None:
    """A name outside the catalogue is a mistake in usage."""
    with pytest.raises(UsageError, match="nonsense: unknown dataset"):
        run("get", "nonsense")


def test_info_tells_what_the_catalogue_knows(capsys: pytest.CaptureFixture[str]) -> None:
    """A set that is not here has its shape, licence, source, and how to get it."""
    assert run("info", "gist-960-euclidean") == 0
    out = capsys.readouterr().out
    assert "1,000,000 x 960, 1,000 queries, euclidean" in out
    assert "https://ann-benchmarks.com/gist-960-euclidean.hdf5" in out
    assert "to download: ann-bench datasets get gist-960-euclidean" in out


def test_info_tells_what_will_be_generated(capsys: pytest.CaptureFixture[str]) -> None:
    """A generated set that is not here has its generator, its shape, and how to get it."""
    assert run("info", "manifold-128-euclidean-1m") == 0
    out = capsys.readouterr().out
    assert "manifold, version 1, seed 1" in out
    assert "1,000,000 x 128, 10,000 queries, euclidean" in out
    assert "to generate: ann-bench datasets get manifold-128-euclidean-1m" in out


def test_info_checks_the_embedded_set(capsys: pytest.CaptureFixture[str]) -> None:
    """The set that ships with us has the catalogue's checksum and right answers."""
    assert run("info", "glove-100-angular-25k") == 0
    out = capsys.readouterr().out
    assert "(as in the catalogue)" in out
    assert "25,000 x 100 float32, stored as float16" in out
    assert "right for 20 sampled queries that were recomputed" in out
    assert "0 rows of zeros" in out
    assert "32.1 locally, from the 100 nearest rows of each query" in out


def test_info_reads_a_file(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path works as a name does; bits have a share of ones instead of lengths."""
    assert run("info", str(write(data / "bits.hdf5", "hamming"))) == 0
    out = capsys.readouterr().out
    assert "200 x 12 bool, stored as bool" in out
    assert "% of the bits" in out


def test_info_says_when_a_file_is_another(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of a catalogued name with another checksum is used, and info shows both checksums."""
    write(data / "sift-128-euclidean.hdf5")
    assert run("info", "sift-128-euclidean") == 0
    assert "the catalogue has dd6f0a6ed6b7" in capsys.readouterr().out


def test_info_refuses_wrong_answers(data: Path) -> None:
    """A file whose answers are not those of its distance is an error, with the distance that fits."""
    write(data / "wrong.hdf5", "angular", attributes={"distance": "euclidean"})
    with pytest.raises(DatasetError, match='they fit "angular"'):
        run("info", "wrong")
