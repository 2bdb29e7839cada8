"""The results files: whole or not there, never overwritten, found again, damaged ones passed over."""

import errno
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from ann_bench import results
from ann_bench.errors import ResultsError
from ann_bench.results import Measurement
from tests.measurements import make_measurement

GOLDEN = Path(__file__).parent / "golden" / "results-v1.hdf5"
ROOT = Path(__file__).parents[1]


def silent(line):
    """Fail: nothing was to be passed over."""
    raise AssertionError(f"nothing should have been passed over: {line}")


def scripted(code: str, *arguments: object) -> subprocess.Popen:
    """Start `code` in a Python of its own, with our modules and `tests.measurements` at hand."""
    head = "import sys\nfrom pathlib import Path\nfrom ann_bench import results\n"
    head += "from tests.measurements import make_measurement\n"
    command = [sys.executable, "-c", head + textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def files_below(folder: Path) -> list[Path]:
    """Return every file below `folder`, hidden ones too."""
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_is_written_is_read_back(tmp_path):
    """Record, arrays, lock and log come back equal, arrays in the types of the schema."""
    wrote = make_measurement()
    measurement = results.read(results.write(wrote, tmp_path))
    digest = results.identity_hash(wrote.record["identity"])
    assert measurement.record == wrote.record | {"identity_hash": digest, "schema_version": 1}
    assert (measurement.lock, measurement.log) == (wrote.lock, wrote.log)
    assert measurement.arrays.keys() == wrote.arrays.keys()
    for name, array in wrote.arrays.items():
        np.testing.assert_array_equal(measurement.arrays[name], array)
    dtypes = {name: array.dtype for name, array in measurement.arrays.items()}
    assert (dtypes.pop("neighbors"), dtypes.pop("distances")) == (np.int32, np.float32)
    assert set(dtypes.values()) == {np.dtype(np.int64)}


def test_the_order_of_parameters_is_kept(tmp_path):
    """Parameters come back in the order of the grid: labels are made of them."""
    path = results.write(make_measurement(build={"z": 1, "a": 2}), tmp_path)
    assert list(results.read_record(path)["build"]) == ["z", "a"]


def test_a_failed_measurement_needs_no_arrays(tmp_path):
    """A setting that failed at once is stored with its reason and no arrays."""
    failure = {"kind": "signal", "stage": "build", "text": "SIGSEGV", "log_tail": "…\n"}
    record = make_measurement(failure=failure).record
    measurement = results.read(results.write(Measurement(record), tmp_path))
    assert (measurement.arrays, measurement.lock, measurement.log) == ({}, "", "")
    assert measurement.record["failure"] == failure


def test_the_path_tells_dataset_k_mode_algorithm_and_hash(tmp_path):
    """A file lies where the README says, and a repetition of it beside it, the first untouched."""
    measurement = make_measurement(algorithm="faiss-ivf", dataset={"name": "glove-4-angular"}, k=3)
    first = results.write(measurement, tmp_path)
    content = first.read_bytes()
    second = results.write(measurement, tmp_path)
    digest = results.identity_hash(measurement.record["identity"])
    folder = tmp_path / "glove-4-angular" / "3" / "single" / "faiss-ivf"
    assert (first, second) == (folder / f"{digest}.hdf5", folder / f"{digest}.2.hdf5")
    assert first.read_bytes() == content
    assert sorted(files_below(tmp_path)) == sorted([first, second])


@pytest.mark.parametrize(
    "name",
    [
        "../../etc",
        "a/b",
        "/root",
        "..",
        ".",
        "",
        ".hidden",
        "x" * 5000,
        "naïve 向量",
        "a\0b\n",
        "\udcff",
        "con:*?",
    ],
)
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    """Whatever a dataset, an algorithm or a label is called, its file lies four folders below the root."""
    root = tmp_path / "root"
    measurement = make_measurement(algorithm=name, dataset={"name": name}, label=name)
    path = results.write(measurement, root)
    assert files_below(tmp_path) == [path]
    parts = path.resolve().relative_to(root.resolve()).parts
    assert len(parts) == 5
    assert all(part.isascii() and len(part) <= 255 and not part.startswith(".") for part in parts)
    assert results.read_record(path)["algorithm"]["name"] == name
    assert [record["label"] for record in results.scan(root, on_skip=silent)] == [name]


def test_names_that_become_alike_stay_apart():
    """Two names that differ only in what a path cannot hold do not share a folder."""
    assert results.path_part("a/b") != results.path_part("a?b")
    assert results.path_part("glove-100-angular_25k.v2") == "glove-100-angular_25k.v2"


def test_the_identity_hash_depends_on_content_alone():
    """Order of keys and NumPy's number types do not matter; any value does. Its 12 digits never change."""
    assert results.identity_hash({"a": 1, "b": [2]}) == results.identity_hash({"b": [2], "a": np.int64(1)})
    assert results.identity_hash({"a": 1}) != results.identity_hash({"a": 2})
    assert results.identity_hash({"k": 10, "mode": "single"}) == "6e25221f9497"


def test_a_large_record_and_any_text_survive(tmp_path):
    """A record of 200 KiB is beyond HDF5's plain attributes; logs may hold NUL, lone surrogates, anything."""
    text = "\0\x1b[31m\udcff" + "é" * 100
    record = make_measurement(notes=["x" * 200 * 1024]).record
    measurement = results.read(results.write(Measurement(record, {}, lock=text, log=text * 1000), tmp_path))
    assert measurement.record["notes"] == record["notes"]
    assert (measurement.lock, measurement.log) == (text, text * 1000)


def test_what_json_cannot_hold_is_refused(tmp_path):
    """NaN in a record would make it unreadable elsewhere: it is refused, and no file is left."""
    with pytest.raises(ValueError, match="JSON compliant"):
        results.write(make_measurement(metrics={"recall": float("nan")}), tmp_path)
    assert files_below(tmp_path) == []


def test_an_incomplete_record_is_refused(tmp_path):
    """A record without one of its keys is named with what it lacks, and no file is left."""
    record = make_measurement().record
    del record["costs"]
    with pytest.raises(ResultsError, match="its record lacks costs"):
        results.write(Measurement(record), tmp_path)
    assert files_below(tmp_path) == []


def test_a_full_disk_leaves_nothing_and_says_so(tmp_path, monkeypatch):
    """No space: an error with the numbers, nothing half-written, and the next write succeeds."""

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            ResultsError, match=r"No space left on device \([\d,]+ bytes to write, [\d,]+ free\)"
        ):
            results.write(make_measurement(), tmp_path)
    assert files_below(tmp_path) == []
    assert results.write(make_measurement(), tmp_path).exists()


def test_a_write_that_breaks_off_leaves_nothing(tmp_path):
    """The kernel refuses the file half-way (here a limit of file sizes): no part of it stays."""
    code = """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            results.write(make_measurement(n_queries=5000), Path(sys.argv[1]))
        except results.files.ResultsError as error:
            print(error)
    """
    output, errors = scripted(code, tmp_path).communicate(timeout=60)
    assert "cannot write a measurement: File too large" in output, errors
    assert files_below(tmp_path) == []


def test_a_folder_that_is_none_is_an_error(tmp_path):
    """A file where the results folder should be is named, with the flag that picks another."""
    (tmp_path / "results").write_text("")
    with pytest.raises(ResultsError, match=r"cannot write a measurement: .*--results DIR"):
        results.write(make_measurement(), tmp_path / "results")


def test_without_hard_links_names_are_still_taken_once(tmp_path, monkeypatch):
    """On a file system without links nothing is overwritten either."""

    def no_links(source, target):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    paths = [results.write(make_measurement(), tmp_path) for _ in range(3)]
    assert sorted(files_below(tmp_path)) == sorted(paths)
    assert len(results.scan(tmp_path, on_skip=silent)) == 3


def test_processes_that_write_the_same_identity_lose_nothing(tmp_path):
    """Two processes write one identity at the same time: every file that was reported is there, and whole."""
    code = """
        for number in range(12):
            print(results.write(make_measurement(), Path(sys.argv[1])))
    """
    processes = [scripted(code, tmp_path) for _ in range(2)]
    reported = [line for process in processes for line in process.communicate(timeout=60)[0].split()]
    assert len(set(reported)) == 24
    assert sorted(map(str, files_below(tmp_path))) == sorted(reported)
    assert len(results.scan(tmp_path, on_skip=silent)) == 24


def test_a_writer_killed_at_any_moment_leaves_only_whole_files(tmp_path):
    """After kill -9 while writing every file there can be read, and every reported file is there."""
    code = """
        measurement = make_measurement(n_queries=2000)
        print("ready", flush=True)
        while True:
            print(results.write(measurement, Path(sys.argv[1])), flush=True)
    """
    moment = random.Random(7)
    processes = [scripted(code, tmp_path) for _ in range(4)]
    reported = []
    for process in processes:
        assert process.stdout.readline() == "ready\n"
        time.sleep(moment.uniform(0.01, 0.1))
        process.send_signal(signal.SIGKILL)
        # What came along with "ready" is lost: the first line may lack its beginning, the last its end.
        lines = process.communicate()[0].splitlines()
        reported += [line for line in lines if line.startswith(str(tmp_path)) and line.endswith(".hdf5")]
    whole = [record["path"] for record in results.scan(tmp_path, on_skip=silent)]
    assert reported
    assert set(reported) <= set(whole)
    assert len(results.read(Path(whole[-1])).arrays["neighbors"]) == 2000


def test_what_a_killed_writer_left_is_removed_later(tmp_path):
    """A temporary file older than an hour goes with the next write; a young one may be in use and stays."""
    folder = results.write(make_measurement(), tmp_path).parent
    for name, age in (("old", 7200), ("young", 60)):
        left = folder / f".{name}.tmp"
        left.write_bytes(b"half")
        os.utime(left, (time.time() - age,) * 2)
    results.write(make_measurement(), tmp_path)
    assert {path.name for path in folder.glob(".*.tmp")} == {".young.tmp"}


def rewrite(path: Path, **attributes: object) -> None:
    """Set attributes of a results file; None deletes one."""
    with h5py.File(path, "r+") as file:
        for name, value in attributes.items():
            if value is None:
                del file.attrs[name]
            else:
                file.attrs[name] = value


def change_record(path: Path, **changes: object) -> None:
    """Replace parts of the record of a results file."""
    with h5py.File(path, "r+") as file:
        file.attrs["record"] = json.dumps(json.loads(file.attrs["record"]) | changes)


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "short": lambda path: path.write_bytes(path.read_bytes()[:200]),
    "text": lambda path: path.write_text("not a file of ours"),
    "no record": lambda path: rewrite(path, record=None),
    "no version": lambda path: rewrite(path, schema_version=None),
    "no JSON": lambda path: rewrite(path, record="{"),
    "no mapping": lambda path: rewrite(path, record="[]"),
    "lacking": lambda path: rewrite(path, record='{"k": 10}'),
    "later": lambda path: rewrite(path, schema_version=2),
    "dataset a text": lambda path: change_record(path, dataset="x"),
    "dataset without rows": lambda path: change_record(path, dataset={"name": "x"}),
    "algorithm null": lambda path: change_record(path, algorithm=None),
    "k a text": lambda path: change_record(path, k="10"),
    "a metric a text": lambda path: change_record(path, metrics={"recall": "high"}),
    "problems of no kind": lambda path: change_record(path, problems=["bad"]),
    "failed without a reason": lambda path: change_record(path, status="failed"),
    "no time": lambda path: change_record(path, started="yesterday"),
    "a time without zone": lambda path: change_record(path, started="2026-11-01T00:00:00"),
    "queries a text": lambda path: change_record(path, identity={"queries": "all"}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_or_foreign_file_is_passed_over_with_one_line(tmp_path, damage):
    """A file that cannot be trusted is named in one line; the others are read as if it were not there."""
    bad, good = (results.write(make_measurement(algorithm=name), tmp_path) for name in ("bad", "good"))
    DAMAGE[damage](bad)
    lines = []
    assert [record["path"] for record in results.scan(tmp_path, on_skip=lines.append)] == [str(good)]
    assert len(lines) == 1
    assert lines[0].startswith(f"passed over {bad}: ")
    assert "\n" not in lines[0]
    with pytest.raises(ResultsError) as error:
        results.read(bad)
    assert f"passed over {error.value}" == lines[0]


def test_the_wrong_part_of_a_record_is_named(tmp_path):
    """The line about a record with a part of a wrong type says which part, and what it should be."""
    path = results.write(make_measurement(), tmp_path)
    change_record(path, dataset={**make_measurement().record["dataset"], "n": "many"})
    with pytest.raises(ResultsError) as error:
        results.read_record(path)
    said = "has a wrong dataset.n (Input should be a valid integer)"
    assert str(error.value) == f"{path}: its record {said}; measure again"


def test_another_schema_version_is_told_with_both_numbers(tmp_path):
    """The line about a later file says which version it is, which is read, and what to do."""
    path = results.write(make_measurement(), tmp_path)
    rewrite(path, schema_version=2)
    with pytest.raises(ResultsError) as error:
        results.read_record(path)
    assert str(error.value) == (
        f"{path}: schema_version is 2, this ann_bench reads 1;"
        " read it with the version that wrote it, or measure again"
    )


def test_a_flipped_bit_in_an_array_is_noticed(tmp_path):
    """Compressed arrays carry checksums: damaged latencies are an error, never numbers."""
    path = results.write(make_measurement(n_queries=500), tmp_path)
    with h5py.File(path) as file:
        offset = file["latencies_ns"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 20] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ResultsError, match="damaged"):
        results.read(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    """Reading a path that is not there names it."""
    with pytest.raises(ResultsError, match=r"nowhere\.hdf5: no such file"):
        results.read(tmp_path / "nowhere.hdf5")


def test_a_golden_file_of_version_1_is_read():
    """A file written when version 1 was made still reads, field by field."""
    measurement = results.read(GOLDEN)
    record = measurement.record
    assert (record["algorithm"]["name"], record["build"], record["query"]) == (
        "hnswlib",
        {"M": 16},
        {"ef": 40},
    )
    assert record["metrics"]["recall"] == 0.9
    assert measurement.arrays["neighbors"].tolist() == [[3, 1], [4, -1]]
    assert measurement.arrays["distances"].tolist() == [[0.25, 0.5], [0.125, np.inf]]
    assert measurement.arrays["latencies_ns"].tolist() == [[85000, 91000], [84000, 90000], [83000, 95000]]
    assert (measurement.lock, measurement.log) == ("hnswlib==0.8.0\n", "built\n")


def test_scan_of_nothing_is_empty(tmp_path):
    """A folder that is empty, or not there, holds no measurements and is left alone."""
    assert results.scan(tmp_path / "nowhere", on_skip=silent) == []
    assert results.scan(tmp_path, on_skip=silent) == []
    assert list(tmp_path.iterdir()) == []


def test_the_index_gives_what_the_files_give(tmp_path):
    """With the index, without it, with a broken one, and after files came and went, scan tells the same."""
    index = tmp_path / ".index.sqlite"
    paths = [results.write(make_measurement(seed=n, query={"ef": n}), tmp_path) for n in range(3)]
    first = results.scan(tmp_path, on_skip=silent)
    assert index.is_file()
    assert results.scan(tmp_path, on_skip=silent) == first
    index.write_bytes(b"no database" * 1000)
    assert results.scan(tmp_path, on_skip=silent) == first
    assert index.read_bytes().startswith(b"SQLite format 3")
    assert results.scan(tmp_path, on_skip=silent) == first
    paths[0].unlink()
    results.write(make_measurement(query={"ef": 9}), tmp_path)
    changed = results.scan(tmp_path, on_skip=silent)
    assert sorted(record["query"]["ef"] for record in changed) == [1, 2, 9]
    index.unlink()
    assert results.scan(tmp_path, on_skip=silent) == changed


def test_the_index_is_used_and_checked(tmp_path, monkeypatch):
    """A file that did not change is not opened again; one that did is."""
    paths = [results.write(make_measurement(query={"ef": n}), tmp_path) for n in range(3)]
    results.scan(tmp_path, on_skip=silent)
    os.utime(paths[1], ns=(0, 0))
    opened = []
    original = h5py.File

    def spy(path, *arguments, **options):
        opened.append(path)
        return original(path, *arguments, **options)

    monkeypatch.setattr(h5py, "File", spy)
    assert len(results.scan(tmp_path, on_skip=silent)) == 3
    assert opened == [paths[1]]


@pytest.mark.parametrize("row", ["{", "[]", '{"k": 10}', None, 3])
def test_a_row_of_the_index_that_makes_no_sense_is_ignored(tmp_path, row):
    """Where the index holds no record the file is read again, and the index set right."""
    results.write(make_measurement(), tmp_path)
    first = results.scan(tmp_path, on_skip=silent)
    index = sqlite3.connect(tmp_path / ".index.sqlite")
    with index:
        index.execute("UPDATE records_1 SET record = ?", (row,))
    assert results.scan(tmp_path, on_skip=silent) == first
    assert json.loads(index.execute("SELECT record FROM records_1").fetchone()[0])["k"] == first[0]["k"]
    index.close()


def test_scan_works_where_nothing_can_be_written(tmp_path, monkeypatch):
    """Without a place for the index (here a folder has its name) every record is read from its file."""
    results.write(make_measurement(), tmp_path)
    (tmp_path / ".index.sqlite").mkdir()
    assert len(results.scan(tmp_path, on_skip=silent)) == 1


def test_newest_takes_the_last_of_each():
    """Of repetitions the last by time is taken; `setting_of` also puts versions of a library together."""
    old, new, other = (
        make_measurement(minutes=minutes, version=version).record
        for minutes, version in ((5, "1.0"), (7, "1.0"), (6, "1.1"))
    )
    assert results.newest([new, old, other]) == [new, other]
    assert results.newest([old, other], key=results.setting_of) == [other]
    labelled = other | {"label": "after"}
    assert results.newest([old, labelled], key=results.setting_of) == [old, labelled]


def test_select_takes_globs_and_values():
    """Globs of datasets and algorithms, k, mode, label and status narrow the records; all must fit."""
    records = [
        make_measurement(algorithm=name, k=k, mode=mode).record
        for name, k, mode in (("faiss-ivf", 3, "single"), ("faiss-hnsw", 5, "batch"), ("annoy", 3, "single"))
    ]

    def names(**filters):
        return [record["algorithm"]["name"] for record in results.select(records, **filters)]

    assert names() == ["faiss-ivf", "faiss-hnsw", "annoy"]
    assert names(algorithms=["faiss-*"]) == ["faiss-ivf", "faiss-hnsw"]
    assert names(algorithms=["a*", "*ivf"], k=3) == ["faiss-ivf", "annoy"]
    assert names(datasets=["sift*"]) == []
    assert names(mode="batch", label="", status="ok") == ["faiss-hnsw"]
    assert names(status="failed") == names(label="x") == []


def test_the_readme_tells_every_key_and_array(tmp_path):
    """`results/README.md` names every key of the record and of its parts, and every array."""
    text = (ROOT / "results" / "README.md").read_text()
    measurement = results.read(results.write(make_measurement(mode="batch"), tmp_path))
    told = {*measurement.record, *measurement.arrays, "latencies_ns", "query_index", "lock", "log"}
    for part in ("dataset", "algorithm", "costs", "time_limits", "harness"):
        told |= measurement.record[part].keys()
    assert [name for name in sorted(told) if f"`{name}`" not in text] == []
    assert json.loads(json.dumps(measurement.record)) == measurement.record
