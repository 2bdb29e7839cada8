"""The layout of ann-benchmarks: written exactly as described, and read back."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from ann_bench import results
from ann_bench.ann_benchmarks import read_layout, write_layout
from ann_bench.errors import DatasetError, ResultsError
from tests.measurements import make_dataset, make_measurement

LAYOUT = json.loads((Path(__file__).parent / "golden" / "ann_benchmarks_layout.json").read_text())
KINDS = {"bool": np.bool_, "str": str, "int": np.integer, "float": np.floating}


def silent(line):
    """Fail: nothing was to be passed over."""
    raise AssertionError(f"nothing should have been passed over: {line}")


def exported(tmp_path, *measurements):
    """Store the measurements, export them, and return the paths of the copies."""
    for measurement in measurements:
        results.write(measurement, tmp_path / "ours")
    return write_layout(results.scan(tmp_path / "ours", on_skip=silent), tmp_path / "theirs", on_skip=silent)


@pytest.mark.parametrize("mode", ["single", "batch"])
def test_names_types_and_pads_are_those_of_the_description(tmp_path, mode):
    """Datasets and attributes are exactly those of the checked-in description: names, types, shapes, pads."""
    measurement = make_measurement(mode=mode, n_queries=20, k=3)
    measurement.arrays["neighbors"][4, 1:] = -1
    measurement.arrays["distances"][4, 1:] = np.inf
    (path,) = exported(tmp_path, measurement)
    sizes = {"queries": 20, "count": 3}
    with h5py.File(path) as file:
        assert set(file) == set(LAYOUT["datasets"])
        for name, wanted in LAYOUT["datasets"].items():
            assert file[name].dtype == np.dtype(wanted["dtype"])
            assert file[name].shape == tuple(sizes[size] for size in wanted["shape"])
        assert file["neighbors"][4].tolist()[1:] == [-1, -1]
        assert file["distances"][4].tolist()[1:] == [np.inf, np.inf]
        wanted = LAYOUT["attributes"] | LAYOUT["optional_attributes"]
        assert set(file.attrs) == set(wanted)
        for name, attribute in wanted.items():
            assert isinstance(file.attrs[name], KINDS[attribute["kind"]]), name
    with h5py.File(path, "r+"):
        pass  # ann-benchmarks writes its metrics into the file


@pytest.mark.parametrize(
    ("available", "said"),
    [
        ({"queries_available": 21}, "it has 20 of 21 queries, that layout all"),
        ({"rows_available": 25_000}, "it has 100 of 25,000 rows, that layout all"),
    ],
)
def test_a_part_of_the_dataset_is_not_exported(tmp_path, available, said):
    """Their plot compares with the dataset row by row: a part would be held against the wrong answers."""
    part = make_measurement(n_queries=20, k=3, dataset=available)
    results.write(part, tmp_path / "ours")
    lines = []
    records = results.scan(tmp_path / "ours", on_skip=silent)
    assert write_layout(records, tmp_path / "theirs", on_skip=lines.append) == []
    assert lines == [f"passed over {records[0]['path']}: {said}"]


def test_records_from_before_rows_available_are_exported(tmp_path):
    """A record that does not tell how many rows its dataset has was measured on all of them."""
    old = make_measurement()
    del old.record["dataset"]["rows_available"]
    assert len(exported(tmp_path, old)) == 1


def test_of_two_versions_of_a_setting_the_newest_is_exported(tmp_path):
    """Two versions would be two points of one frontier there; a later export replaces the earlier one."""
    old, new = (make_measurement(version=v, minutes=m) for v, m in (("1.0", 0), ("1.1", 5)))
    new.arrays["neighbors"][:] = 7
    first = exported(tmp_path, old)
    assert exported(tmp_path, new) == first
    with h5py.File(first[0]) as file:
        assert set(file["neighbors"][()].flat) == {7}
    assert list((tmp_path / "theirs").rglob("*.hdf5")) == first


@pytest.mark.parametrize("damage", [b"", None])
def test_a_damaged_measurement_does_not_end_the_export(tmp_path, damage):
    """A file that broke after the scan, or lacks its arrays, is named in one line; the others are written."""
    good, bad = make_measurement(), make_measurement(algorithm="bad")
    path = results.write(bad if damage is not None else results.Measurement(bad.record), tmp_path / "ours")
    results.write(good, tmp_path / "ours")
    records = results.scan(tmp_path / "ours", on_skip=silent)
    if damage is not None:
        path.write_bytes(damage)
    lines = []
    assert len(write_layout(records, tmp_path / "theirs", on_skip=lines.append)) == 1
    assert len(lines) == 1
    assert lines[0].startswith(f"passed over {path}: ")


def test_values_by_hand(tmp_path):
    """Times and search time are of the best pass, in seconds; sizes in kB; computations of all passes."""
    measurement = make_measurement(
        algorithm="faiss-ivf", n_queries=2, k=2, rounds=3, build={"nlist": 256}, query={"nprobe": 8}
    )
    measurement.arrays["latencies_ns"] = np.array([[5000, 9000], [2000, 4000], [3000, 8000]])
    (path,) = exported(tmp_path, measurement)
    with h5py.File(path) as file:
        attributes = dict(file.attrs)
        np.testing.assert_allclose(file["times"], [2e-6, 4e-6], rtol=1e-6)
        np.testing.assert_array_equal(file["neighbors"], measurement.arrays["neighbors"])
        np.testing.assert_array_equal(file["distances"], measurement.arrays["distances"])
    assert attributes.pop("best_search_time") == pytest.approx(3e-6)
    assert attributes == {
        "batch_mode": False,
        "algo": "faiss-ivf",
        "name": "faiss-ivf(nlist=256; nprobe=8)",
        "count": 2,
        "dataset": "glove-4-angular",
        "distance": "angular",
        "run_count": 3,
        "build_time": 3.1,
        "candidates": 2.0,
        "index_size": 4.0,
        "expect_extra": False,
        "dist_comps": 3 * 80,
    }


def test_paths_are_those_that_ann_benchmarks_walks(tmp_path):
    """Paths are results/DATASET/K/ALGO[-batch]/*.hdf5, no underscore in DATASET, the label in ALGO."""
    paths = exported(
        tmp_path,
        make_measurement(algorithm="annoy", dataset={"name": "my_words 2"}, k=3),
        make_measurement(algorithm="annoy", mode="batch", k=5, label="after"),
    )
    parts = sorted(path.relative_to(tmp_path / "theirs").parts[:4] for path in paths)
    name = results.path_part("my_words 2").replace("_", "-")
    assert parts == [
        ("results", "glove-4-angular", "5", "annoy-after-batch"),
        ("results", name, "3", "annoy"),
    ]
    with h5py.File(next(path for path in paths if "after" in str(path))) as file:
        assert (file.attrs["algo"], bool(file.attrs["batch_mode"])) == ("annoy-after", True)
    assert "_" not in name


def test_the_algorithms_attribute_is_the_name_of_its_folder(tmp_path):
    """Their website makes a file named as the attribute says: it holds no separator, as the folder's."""
    (path,) = exported(tmp_path, make_measurement(algorithm="annoy", label="../../x y"))
    with h5py.File(path) as file:
        assert file.attrs["algo"] == path.parent.name
        assert "/" not in file.attrs["algo"]


def test_repeated_and_impossible_ids_cannot_score_there(tmp_path):
    """Their recall counts distances: a repeated id and one out of range get +inf in the copy."""
    measurement = make_measurement(n_queries=1, k=4)
    measurement.arrays["neighbors"][0] = [7, 7, 100, 8]
    (path,) = exported(tmp_path, measurement)
    with h5py.File(path) as file:
        assert np.isfinite(file["distances"][0]).tolist() == [True, False, False, True]


def test_failed_settings_have_no_file(tmp_path):
    """The layout knows no failures: they are left out, and the rest is written."""
    failure = {"kind": "signal", "stage": "build", "text": "SIGSEGV", "log_tail": ""}
    assert (
        len(exported(tmp_path, make_measurement(), make_measurement(algorithm="annoy", failure=failure))) == 1
    )


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    """A file in the way is an error that names the place and the flag."""
    (tmp_path / "theirs").write_text("")
    with pytest.raises(ResultsError, match=r"cannot write the export: .*; name another --output"):
        exported(tmp_path, make_measurement())


@pytest.mark.parametrize("mode", ["single", "batch"])
def test_what_was_exported_can_be_imported(tmp_path, mode):
    """Ids and best rate come back as they were; recall is computed anew from the vectors."""
    dataset = make_dataset()
    measurement = make_measurement(mode=mode, n_queries=20, k=3, dataset={"name": "points"})
    measurement.arrays["neighbors"] = dataset.neighbors[:, [0, 1, 5]].copy()
    exported(tmp_path, measurement)
    (found,) = read_layout(tmp_path / "theirs", lambda name, k: dataset, on_skip=silent)
    record = found.record
    assert (record["label"], record["status"], record["mode"], record["k"]) == ("imported", "ok", mode, 3)
    assert record["algorithm"]["name"] == "hnswlib"
    assert record["query"]["name"].startswith("hnswlib(")
    assert record["metrics"]["recall"] == pytest.approx(2 / 3)
    assert record["costs"]["build_wall_ns"] == 3_100_000_000
    assert record["costs"]["index_bytes_resident"] == 4096
    assert record["metrics"]["distance_computations"] == 40
    times = measurement.arrays.get(
        "latencies_ns", measurement.arrays.get("round_wall_ns")[:, None] if mode == "batch" else None
    )
    assert record["metrics"]["qps_best"] == pytest.approx(20 / times.sum(axis=1).min() * 1e9, rel=1e-4)
    assert record["threads"] == (1 if mode == "single" else None)
    np.testing.assert_array_equal(found.arrays["neighbors"], measurement.arrays["neighbors"])
    assert record.keys() == measurement.record.keys()
    for part in ("dataset", "algorithm", "costs", "harness"):
        assert record[part].keys() == measurement.record[part].keys()
    assert results.read(results.write(found, tmp_path / "again")).record["metrics"] == record["metrics"]


def test_attributes_of_old_files_may_be_bytes(tmp_path):
    """Some writers store attributes as bytes; they are read all the same."""
    (path,) = exported(tmp_path, make_measurement(dataset={"name": "points"}))
    with h5py.File(path, "r+") as file:
        for name in ("algo", "name", "dataset"):
            file.attrs[name] = np.bytes_(file.attrs[name])
    (found,) = read_layout(tmp_path / "theirs", lambda name, k: make_dataset(), on_skip=silent)
    assert found.record["algorithm"]["name"] == "hnswlib"


def test_files_that_cannot_be_imported_are_passed_over_with_a_line(tmp_path):
    """No HDF5, no attributes, no dataset, too many queries: one line each, and the others are read."""

    def load(name, k):
        if name == "unknown":
            raise DatasetError("unknown: no such dataset")
        return make_dataset()

    exported(
        tmp_path,
        make_measurement(dataset={"name": "points"}),
        make_measurement(dataset={"name": "unknown"}),
        make_measurement(dataset={"name": "points"}, n_queries=50, query={"ef": 9}),
    )
    (tmp_path / "theirs" / "bad.hdf5").write_text("no")
    h5py.File(tmp_path / "theirs" / "bare.hdf5", "w").close()
    lines = []
    assert len(read_layout(tmp_path / "theirs", load, on_skip=lines.append)) == 1
    assert len(lines) == 4
    assert all(line.startswith("passed over ") and "\n" not in line for line in lines)
    assert sum("unknown: no such dataset" in line for line in lines) == 1
    assert sum("it answers 50 queries, points has 20" in line for line in lines) == 1


def replace(name, array):
    """Return a change of a file of theirs: one of its datasets is another."""

    def change(file):
        del file[name]
        file[name] = array

    return change


BAD = {
    "no best time": lambda file: file.attrs.modify("best_search_time", 0.0),
    "no runs": lambda file: file.attrs.modify("run_count", 0),
    "endless build": lambda file: file.attrs.modify("build_time", np.inf),
    "count of 0": lambda file: file.attrs.modify("count", 0),
    "another count": lambda file: file.attrs.modify("count", 4),
    "count not a number": lambda file: file.attrs.create("count", np.nan),
    "size not a number": lambda file: file.attrs.modify("index_size", np.nan),
    "flat neighbors": replace("neighbors", np.arange(20)),
    "no neighbors": replace("neighbors", np.empty((0, 3), dtype=int)),
    "neighbors of no kind": replace("neighbors", np.full((20, 3), np.nan)),
    "ids beyond 32 bits": replace("neighbors", np.full((20, 3), 2**40)),
    "fewer times": replace("times", np.full(19, 1e-3)),
    "times that are none": replace("times", np.full(20, np.nan)),
    "negative times": replace("times", np.full(20, -1.0)),
    "no time at all": replace("times", np.zeros(20)),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_file_that_makes_no_sense_is_passed_over(tmp_path, bad):
    """Numbers out of range and shapes that do not fit cost one line; what is read can be written."""
    exported(tmp_path, make_measurement(dataset={"name": "points"}, algorithm="good"))
    (path,) = (
        p for p in exported(tmp_path, make_measurement(dataset={"name": "points"})) if "hnsw" in str(p)
    )
    with h5py.File(path, "r+") as file:
        BAD[bad](file)
    lines = []
    (found,) = read_layout(tmp_path / "theirs", lambda name, k: make_dataset(), on_skip=lines.append)
    assert found.record["algorithm"]["name"] == "good"
    assert len(lines) == 1
    assert lines[0].startswith(f"passed over {path}: not a result in ann-benchmarks' layout (")


def test_a_file_that_their_plot_wrote_into_is_the_same_run(tmp_path):
    """Their plot.py keeps its metrics in the file: the identity stays, and that of another run is another."""

    def identities():
        found = read_layout(tmp_path / "theirs", lambda name, k: make_dataset(), on_skip=silent)
        return [measurement.record["identity_hash"] for measurement in found]

    (path,) = exported(tmp_path, make_measurement(dataset={"name": "points"}))
    before = identities()
    with h5py.File(path, "r+") as file:
        file.create_group("metrics/knn").attrs["mean"] = 0.9
        file["metrics/knn/recalls"] = np.ones(20)
    assert identities() == before
    with h5py.File(path, "r+") as file:
        file["neighbors"][0, 0] += 1
    assert identities() != before


def test_a_process_that_shrank_has_no_index_size(tmp_path):
    """Their index size is the growth of a process, which may be negative: it is unknown then."""
    (path,) = exported(tmp_path, make_measurement(dataset={"name": "points"}))
    with h5py.File(path, "r+") as file:
        file.attrs["index_size"] = -12.0
    (found,) = read_layout(tmp_path / "theirs", lambda name, k: make_dataset(), on_skip=silent)
    assert found.record["costs"]["index_bytes_resident"] is None
