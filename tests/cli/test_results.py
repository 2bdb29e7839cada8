"""`ann-bench results`: what it prints, what it writes, how it fails."""

import json
import shutil

import h5py
import numpy as np
import pytest

from ann_bench import results
from ann_bench.cli.main import main
from tests.measurements import make_dataset, make_measurement

FAILURE = {"kind": "signal", "stage": "build", "text": "died of SIGSEGV", "log_tail": "last words\x1b[2J\n"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a results folder with four measurements, seen through a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    build = {"M": 16, "efConstruction": 200}
    name = {"name": "glove-100-angular-25k"}
    for measurement in (
        make_measurement(build=build, query={"ef": 40}, dataset=name, recall=0.8765, qps=12345.6, minutes=1),
        make_measurement(build=build, query={"ef": 40}, dataset=name, recall=0.1, minutes=0, version="0.9"),
        make_measurement(algorithm="faiss-ivf", query={"nprobe": 8}, dataset=name, mode="batch"),
        make_measurement(algorithm="annoy", query={"search_k": 1000}, dataset=name, failure=FAILURE),
    ):
        results.write(measurement, tmp_path / "results")
    return tmp_path / "results"


def run(folder, *arguments):
    """Run `ann-bench results` with `arguments` on the folder and return its exit code."""
    return main(["results", *map(str, arguments), "--results", str(folder)])


def digest(folder, algorithm):
    """Return the hash of the newest measurement of an algorithm."""
    records = results.select(results.scan(folder, on_skip=print), algorithms=[algorithm])
    return max(records, key=lambda record: record["started"])["identity_hash"]


def test_list_shows_each_setting_once_in_80_columns(folder, capsys):
    """The newest measurement of each setting with recall, qps, status; no line beyond the terminal."""
    assert run(folder, "list") == 0
    output = capsys.readouterr().out
    assert max(map(len, output.splitlines())) <= 80
    text = " ".join(output.split())
    assert "glove-100-angular-25k · 100 rows · 20 queries · k = 3 · single" in text
    assert "0.8765 12,346 ok" in text
    assert "0.1000" not in text
    assert "signal" in text
    for part in ("hnswlib", "M=16", "ef=40", "faiss-ivf", "nprobe=8", digest(folder, "hnswlib")[:7]):
        assert part in text


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--all"], {"hnswlib": 2, "faiss-ivf": 1, "annoy": 1}),
        (["--algorithm", "hnsw*", "--algorithm", "annoy"], {"hnswlib": 1, "faiss-ivf": 0, "annoy": 1}),
        (["--failed"], {"hnswlib": 0, "faiss-ivf": 0, "annoy": 1}),
        (["--batch"], {"hnswlib": 0, "faiss-ivf": 1, "annoy": 0}),
        (["--dataset", "glove-*", "-k", "3", "--label", ""], {"hnswlib": 1, "faiss-ivf": 1, "annoy": 1}),
        (["-k", "10"], {"hnswlib": 0, "faiss-ivf": 0, "annoy": 0}),
        (["--dataset", "sift*"], {"hnswlib": 0, "faiss-ivf": 0, "annoy": 0}),
        (["--label", "after"], {"hnswlib": 0, "faiss-ivf": 0, "annoy": 0}),
    ],
)
def test_list_filters(folder, capsys, arguments, shown):
    """Each filter leaves what fits; when nothing does it says so."""
    assert run(folder, "list", *arguments) == 0
    output = capsys.readouterr().out
    assert {name: output.count(name) for name in shown} == shown
    assert ("no such measurements" in output) == (not any(shown.values()))


def test_a_damaged_file_is_told_on_stderr(folder, capsys):
    """The list goes on without a damaged file, and says which it passed over."""
    next(folder.rglob("faiss-ivf/*.hdf5")).write_bytes(b"")
    assert run(folder, "list") == 0
    output, errors = capsys.readouterr()
    assert "hnswlib" in output
    assert errors.startswith("passed over ")
    assert len(errors.splitlines()) == 1


def test_show_tells_everything_about_one(folder, capsys):
    """By the first digits of its hash, or by its path: parameters, metrics with units, machine, arrays."""
    hashed = digest(folder, "hnswlib")
    assert run(folder, "show", hashed[:8]) == 0
    by_hash = capsys.readouterr().out
    path = next(folder.rglob(f"{hashed}.hdf5"))
    assert run(folder, "show", path) == 0
    assert capsys.readouterr().out == by_hash
    text = " ".join(by_hash.split())
    for part in (
        "M=16 efConstruction=200",
        "ef=40",
        "recall 0.8765",
        "qps 12,346 1/s",
        "95 %, within launch",
    ):
        assert part in text
    for part in ("Testcore 9000", "latencies_ns int64 (6, 20)", "6 over 2 launches", hashed):
        assert part in text
    assert "building" not in text
    assert run(folder, "show", hashed, "--log", "--lock") == 0
    assert {"building …", "hnswlib==0.8.0"} <= set(capsys.readouterr().out.splitlines())


def test_show_tells_why_a_setting_failed(folder, capsys):
    """Kind, stage and reason of the failure and its last log lines, with no control characters."""
    assert run(folder, "show", digest(folder, "annoy")) == 0
    output = capsys.readouterr().out
    text = " ".join(output.split())
    assert "kind signal stage build reason died of SIGSEGV" in text
    assert "last words" in text
    assert "\x1b" not in output


def test_show_wants_one_measurement(folder, capsys):
    """An unknown hash and one that several begin with are usage errors."""
    assert run(folder, "show", "zzz") == 2
    assert "got 'zzz'; it is a results file, or the first digits of a hash" in capsys.readouterr().err
    assert run(folder, "show", "") == 2
    capsys.readouterr()
    for number in range(20):  # more than 16 hashes: two begin with the same digit
        results.write(make_measurement(seed=number, query={"ef": number}), folder)
    begins = [record["identity_hash"][0] for record in results.scan(folder, on_skip=print)]
    common = max(begins, key=begins.count)
    assert run(folder, "show", common) == 2
    assert "give more digits" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["list"], ["show", "abc"], ["export", "--output", "x"]])
def test_without_a_folder_it_says_what_makes_one(tmp_path, capsys, command):
    """A results folder that is not there is an error that names it and what to do."""
    assert run(tmp_path / "nowhere", *command) == 1
    assert "nowhere: no such folder; `python run.py` makes it" in capsys.readouterr().err


def test_export_writes_a_table(folder, tmp_path, capsys):
    """One row per identity, filtered like the list."""
    output = tmp_path / "out.json"
    assert run(folder, "export", "--format", "json", "--output", output) == 0
    assert capsys.readouterr().out == f"{output}: 4 measurements\n"
    assert len(json.loads(output.read_text())) == 4
    assert run(folder, "export", "--format", "json", "--output", output, "--algorithm", "annoy") == 0
    assert [row["algorithm"] for row in json.loads(output.read_text())] == ["annoy"]


def test_results_travel_through_ann_benchmarks_layout(tmp_path, monkeypatch, capsys):
    """Exported, and imported with its dataset at hand: one file each way; the second import adds nothing."""
    random = np.random.default_rng(1)
    train, test = random.random((100, 4), dtype=np.float32), random.random((20, 4), dtype=np.float32)
    every = np.linalg.norm(test[:, None].astype(float) - train[None].astype(float), axis=2)
    order = np.argsort(every, axis=1)[:, :10]
    data = tmp_path / "data"
    data.mkdir()
    with h5py.File(data / "points-4-euclidean.hdf5", "w") as file:
        file.attrs["distance"] = "euclidean"
        file.update({"train": train, "test": test, "neighbors": order})
        file["distances"] = np.take_along_axis(every, order, axis=1)
    monkeypatch.setenv("ANN_BENCH_DATA", str(data))
    monkeypatch.setenv("ANN_BENCH_CACHE", str(tmp_path / "cache"))
    results.write(make_measurement(dataset={"name": "points-4-euclidean"}), tmp_path / "ours")
    theirs = tmp_path / "theirs"
    assert run(tmp_path / "ours", "export", "--format", "ann-benchmarks", "--output", theirs) == 0
    assert len(list(theirs.glob("results/points-4-euclidean/3/hnswlib/*.hdf5"))) == 1
    for line in ("1 imported, 0 there already, 0 passed over", "0 imported, 1 there already, 0 passed over"):
        capsys.readouterr()
        assert run(tmp_path / "back", "import", theirs, "--offline") == 0
        assert capsys.readouterr().out == f"{tmp_path / 'back'}: {line}\n"
    assert run(tmp_path / "back", "list", "--label", "imported") == 0
    assert {"hnswlib", "[imported]"} <= set(capsys.readouterr().out.split())


def test_an_import_that_passes_over_files_is_not_done(tmp_path, capsys):
    """A file that is none of theirs is named, and the exit code is 1; a missing folder is an error."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "bad.hdf5").write_text("no")
    assert run(tmp_path / "back", "import", tmp_path / "theirs", "--offline") == 1
    assert "bad.hdf5: not a result in ann-benchmarks' layout" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "theirs")
    assert run(tmp_path / "back", "import", tmp_path / "theirs", "--offline") == 1
    assert "no such folder; name the results folder of ann-benchmarks" in capsys.readouterr().err


def test_an_import_takes_a_run_once(tmp_path, monkeypatch, capsys):
    """Two copies of one file are one run."""
    monkeypatch.setenv("COLUMNS", "80")
    dataset = make_dataset()
    monkeypatch.setattr("ann_bench.datasets.load_dataset", lambda *_, **__: dataset)
    results.write(make_measurement(dataset={"name": "points"}), tmp_path / "ours")
    theirs = tmp_path / "theirs"
    assert run(tmp_path / "ours", "export", "--format", "ann-benchmarks", "--output", theirs) == 0
    (path,) = theirs.rglob("*.hdf5")
    shutil.copy(path, path.with_name("copy.hdf5"))
    capsys.readouterr()
    assert run(tmp_path / "back", "import", theirs, "--offline") == 0
    assert "1 imported, 1 there already, 0 passed over" in capsys.readouterr().out


def test_no_escape_in_a_file_reaches_the_terminal(tmp_path, capsys):
    """Names, labels, parameters and failures are printed without control characters, by list and by show."""
    evil = "\x1b]0;title\x07"
    failure = {"kind": evil, "stage": evil, "text": evil, "log_tail": evil}
    path = results.write(
        make_measurement(
            algorithm=f"annoy{evil}", label=evil, dataset={"name": evil}, query={evil: evil}, failure=failure,
            machine={evil: evil}, problems=[{"kind": evil, "text": evil}], notes=[evil],
        ),
        tmp_path,
    )  # fmt: skip
    (tmp_path / f"{evil}.hdf5").write_text("no")
    for arguments in (["list"], ["show", path]):
        assert run(tmp_path, *arguments) == 0
        output = "".join(capsys.readouterr())
        assert "annoy" in output
        assert not {"\x1b", "\x07"} & set(output)


@pytest.mark.parametrize("command", [[], ["list"], ["show"], ["export"], ["import"]])
def test_help_fits_80_columns(command, monkeypatch, capsys):
    """The help of `results` and of each of its commands has no line beyond the terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["results", *command, "--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
