"""Reading files in ann-benchmarks' layout, old and damaged ones too."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ann_bench.datasets import hdf5
from ann_bench.distances import DISTANCES
from ann_bench.errors import DatasetError
from ann_bench.worker.sets import values
from tests.datasets.files import vectors, write


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_file_is_read_as_it_is(tmp_path: Path, distance: str) -> None:
    """Vectors come back C-contiguous, float32 or bool, unchanged, sets as sets; ids as int32."""
    train, test = vectors(distance)
    contents = hdf5.read(write(tmp_path / "a.hdf5", distance))
    assert contents.distance == distance
    assert contents.train.dtype == {"hamming": bool, "jaccard": np.int32}.get(distance, np.float32)
    for read, written in ((contents.train, train), (contents.test, test)):
        assert values(read).flags.c_contiguous
        assert [row.tolist() for row in read] == [row.tolist() for row in written]
    assert contents.neighbors.dtype == np.int32
    assert contents.rows == 200


def test_an_old_file_needs_nothing_but_a_distance(tmp_path: Path) -> None:
    """`type`, `dimension`, `point_type` and `distances` may be missing, and the attribute may be bytes."""
    attributes = {"distance": np.bytes_(b"angular")}
    contents = hdf5.read(write(tmp_path / "a.hdf5", "angular", attributes=attributes, distances=None))
    assert contents.distance == "angular"
    assert contents.stored_distances is None


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int8", "int16", "int64"])
def test_any_number_type_is_cast_to_float32_once(tmp_path: Path, dtype: str) -> None:
    """Whatever the file stores, the vectors are its values as float32."""
    train, test = ((np.clip(part, -2, 2) * 30 + 100).astype(dtype) for part in vectors("euclidean"))
    path = write(tmp_path / "a.hdf5", train=train, test=test, neighbors=np.zeros((30, 1), dtype=np.int64))
    contents = hdf5.read(path)
    assert np.array_equal(contents.train, train.astype(np.float32))
    assert contents.test.dtype == np.float32
    assert contents.attributes["stored_as"]["train"] == dtype


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32"])
def test_bits_may_be_stored_as_any_zeros_and_ones(tmp_path: Path, dtype: str) -> None:
    """Booleans and numbers 0 and 1 are the same bits."""
    train, test = vectors("hamming")
    path = write(tmp_path / "a.hdf5", "hamming", train=train.astype(dtype), test=test.astype(dtype))
    assert np.array_equal(hdf5.read(path).train, train)


def test_packed_bits_are_unpacked(tmp_path: Path) -> None:
    """VIBE's `binary` points, eight bits a byte, become booleans, as many as `dimension` says."""
    train, test = vectors("hamming")
    packed = {"train": np.packbits(train, axis=1), "test": np.packbits(test, axis=1)}
    attributes = {"distance": "hamming", "point_type": "binary", "dimension": 12}
    neighbors = np.zeros((30, 1), dtype=int)
    contents = hdf5.read(
        write(tmp_path / "a.hdf5", "hamming", attributes=attributes, neighbors=neighbors, **packed)
    )
    assert np.array_equal(contents.train, train)
    assert hdf5.read_header(tmp_path / "a.hdf5").dimension == 12


@pytest.mark.parametrize(
    ("theirs", "ours"), [("cosine", "angular"), ("normalized", "angular"), ("ip", "dot")]
)
def test_other_names_of_our_distances_are_understood(tmp_path: Path, theirs: str, ours: str) -> None:
    """VIBE's names for angular and dot are read as these."""
    assert hdf5.read(write(tmp_path / "a.hdf5", ours, attributes={"distance": theirs})).distance == ours


def test_the_name_of_a_file_does_not_matter(tmp_path: Path) -> None:
    """lastfm-64-dot is called dot, has 65 components and an angular distance: the attribute holds."""
    path = write(tmp_path / "lastfm-64-dot.hdf5", "angular")
    assert hdf5.read(path).distance == "angular"


def test_blocks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compressed chunks read a few rows at a time give the same vectors."""
    train, _ = vectors("euclidean")
    path = write(tmp_path / "a.hdf5", train=None)
    with h5py.File(path, "r+") as file:
        file.create_dataset("train", data=train, chunks=(7, 12), compression="gzip")
    monkeypatch.setattr(hdf5, "_BLOCK_BYTES", 500)
    assert np.array_equal(hdf5.read(path).train, train)
    assert np.array_equal(hdf5.read(path, rows=33).train, train[:33])


def _with(array: Any, index: Any, value: Any) -> Any:
    array = array.copy()
    array[index] = value
    return array


TRAIN, TEST = vectors("euclidean")
IDS = np.tile(np.arange(20), (30, 1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": None}, "lacks train; the arrays that it has are: distances, neighbors, test"),
        ({"neighbors": None, "distances": None}, "lacks neighbors; the arrays that it has are: test, train"),
        (
            {"attributes": {}},
            "has no attribute `distance`; it is one of euclidean, angular, dot, hamming, manhattan, jaccard",
        ),
        (
            {"attributes": {"distance": "chebyshev"}},
            "attribute `distance` is 'chebyshev'; it is one of euclidean,",
        ),
        (
            {"attributes": {"distance": "jaccard"}},
            "`distance` is 'jaccard', its rows are dense vectors; sets go with jaccard",
        ),
        ({"train": TRAIN[:, 0]}, r"`train` has shape \(200,\); it has two dimensions, neither of them 0"),
        ({"test": TEST[:0]}, r"`test` has shape \(0, 12\); it has two dimensions, neither of them 0"),
        (
            {"train": TRAIN.astype(complex)},
            "`train` holds complex128; allowed are booleans, integers and floats",
        ),
        ({"neighbors": IDS.astype(float)}, "`neighbors` holds float64; allowed are integers"),
        ({"test": TEST[:, :5]}, r"`test` has shape \(30, 5\); `train` has 12 components"),
        ({"neighbors": IDS[:29]}, r"`neighbors` 29 rows, so it must be \(29, 12\)"),
        (
            {"neighbors": IDS, "distances": IDS[:, :3]},
            r"`distances` has shape \(30, 3\), `neighbors` \(30, 20\)",
        ),
        (
            {"neighbors": _with(IDS, (4, 2), 200)},
            "1 ids that are not in 0 to 199, the first is 200 of query 4",
        ),
        ({"neighbors": _with(IDS, (4, 2), -1)}, "1 ids that are not in 0 to 199, the first is -1 of query 4"),
        (
            {"neighbors": _with(IDS, (6, 1), 0)},
            "`neighbors` repeats an id in 1 of 30 queries, the first is query 6",
        ),
        (
            {"train": _with(TRAIN, (150, 3), np.nan)},
            "`train` has 1 values .* not finite.* nan in row 150, column 3",
        ),
        ({"test": _with(TEST, (1, 2), np.inf)}, "`test` has 1 values .* not finite.* inf in row 1, column 2"),
        ({"train": TRAIN.astype(float) * 1e50}, r"`train` has 2,400 values .* not finite as float32"),
        (
            {"attributes": {"distance": "hamming"}},
            "`train` has 2,400 values .* neither 0 nor 1; the first is",
        ),
        (
            {"attributes": {"distance": "hamming", "point_type": "binary", "dimension": 12}},
            "`dimension` is 12, `train` has 12 float32 a row",
        ),
        (
            {"attributes": {"distance": "hamming", "point_type": "binary", "dimension": "twelve"}},
            "`dimension` is 'twelve', `train` has 12 float32 a row",
        ),
        (
            {"attributes": {"distance": ["dot", "angular"]}},
            r"attribute `distance` is \['dot', 'angular'\]; it is one",
        ),
        ({"train": h5py.SoftLink("/gone")}, "lacks train; the arrays that it has are: distances, neighbors"),
        ({"train": h5py.ExternalLink("gone.hdf5", "/train")}, "lacks train; the arrays that it has are"),
        ({"neighbors": h5py.Empty("i4"), "distances": None}, r"`neighbors` has shape \(\); it has two"),
        (
            {"distances": IDS.astype("S4")},
            r"`distances` holds \|S4; allowed are booleans, integers and floats",
        ),
        ({"distances": np.bytes_("far")}, r"`distances` has shape \(\); it has two dimensions"),
        ({"distances": h5py.SoftLink("/gone")}, "`distances` is no array; write one, or leave it out"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """Each fault gives one line that begins with the file and names what is wrong, with the numbers."""
    changes.setdefault("neighbors", IDS)
    changes.setdefault("distances", IDS)
    path = write(tmp_path / "a.hdf5", **changes)
    with pytest.raises(DatasetError, match=message) as caught:
        hdf5.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_what_has_a_link_to_nowhere_beside_its_arrays_is_read(tmp_path: Path) -> None:
    """A dangling link that nobody needs does no harm."""
    contents = hdf5.read(write(tmp_path / "a.hdf5", more=h5py.SoftLink("/gone")))
    assert "more" not in contents.attributes["stored_as"]


def test_distances_that_are_a_group_are_refused(tmp_path: Path) -> None:
    """Whatever else `distances` may be, it is told in one line."""
    path = write(tmp_path / "a.hdf5", distances=None)
    with h5py.File(path, "r+") as file:
        file.create_group("distances")
    with pytest.raises(DatasetError, match=r"a\.hdf5: `distances` is no array; write one, or leave it out"):
        hdf5.read(path)


@pytest.mark.parametrize("attribute", [["euclidean"], [b"euclidean"], np.array([b"euclidean"])])
def test_attributes_may_be_arrays_of_one(tmp_path: Path, attribute: Any) -> None:
    """MATLAB and Julia write text and numbers so; numbers may be floats."""
    attributes = {"distance": attribute, "dimension": [12.0]}
    contents = hdf5.read(write(tmp_path / "a.hdf5", attributes=attributes))
    assert contents.distance == "euclidean"
    assert contents.attributes["dimension"] == 12


def test_more_than_there_is_memory_for_is_refused(tmp_path: Path) -> None:
    """A file of a few kilobytes may declare terabytes; its first rows can be read all the same."""
    path = write(tmp_path / "a.hdf5", train=None)
    with h5py.File(path, "r+") as file:
        file.create_dataset("train", shape=(10**12, 12), dtype="f4", chunks=(1000, 12))
    with pytest.raises(DatasetError, match=r"1,000,000,000,000 rows .* this machine has .* \(--subset\)$"):
        hdf5.read(path)
    assert hdf5.read(path, rows=50).train.shape == (50, 12)


def test_sets_are_read_sorted_and_without_repeats(tmp_path: Path) -> None:
    """Flat arrays with sizes beside them are sets, even without `type` or `dimension`; some may be empty."""
    with h5py.File(tmp_path / "kosarak-jaccard.hdf5", "w") as file:
        file.attrs["distance"] = "jaccard"
        file["train"], file["size_train"] = np.array([3, 7, 3, 5, 1]), np.array([3, 0, 2])
        file["test"], file["size_test"] = np.array([4]), np.array([1])
        file["neighbors"] = np.array([[0, 1]])
    contents = hdf5.read(tmp_path / "kosarak-jaccard.hdf5")
    assert [row.tolist() for row in contents.train] == [[3, 7], [], [1, 5]]
    assert contents.train.shape == (3, 8)
    assert [row.tolist() for row in hdf5.read(tmp_path / "kosarak-jaccard.hdf5", rows=1).train] == [[3, 7]]


SETS, SETS_ASKED = vectors("jaccard")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size_train": None}, r"`distance` is 'jaccard', its rows are dense|lacks size_train"),
        (
            {"size_train": SETS.sizes + 1},
            "`train` and `size_train`: .* items in sets of .*sum is the number of",
        ),
        ({"size_train": SETS.sizes - SETS.sizes.max()}, "sizes are 0 or more"),
        ({"size_train": SETS.sizes[:, None]}, "`size_train` has shape .*; of sets it has one dimension"),
        ({"size_test": SETS_ASKED.sizes[:-1]}, "a row for each of `size_test`"),
        ({"train": -1 - SETS.indices}, "`train` and `size_train`: items from -12 to -1; they are from 0 to"),
        ({"train": SETS.indices.astype(float)}, "`train` holds float64; allowed are integers"),
        (
            {"attributes": {"distance": "euclidean", "type": b"sparse"}},
            r"is 'euclidean', its rows are sets \(sparse\); sets go with jaccard, vectors with the others",
        ),
    ],
)
def test_damaged_sets_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """Sizes that do not fit, items that cannot be, or another distance: one line says what and where."""
    sizes = {"size_train": SETS.sizes, "size_test": SETS_ASKED.sizes}
    flat = {"train": SETS.indices, "test": SETS_ASKED.indices, "neighbors": IDS, **sizes}
    path = write(tmp_path / "a.hdf5", "jaccard", **{**flat, **changes})
    with pytest.raises(DatasetError, match=message):
        hdf5.read(path)


def test_a_file_that_is_no_hdf5_is_refused(tmp_path: Path) -> None:
    """An error page saved as NAME.hdf5 is called what it is."""
    path = tmp_path / "a.hdf5"
    path.write_text("<html>403 Forbidden</html>")
    with pytest.raises(DatasetError, match=r"a.hdf5: is no HDF5 file \(26 bytes\); get it again"):
        hdf5.read(path)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    """What an interrupted transfer leaves is called cut off, with its size."""
    path = write(tmp_path / "a.hdf5")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DatasetError, match=rf"a.hdf5: is cut off after {int(len(whole) * share):,} bytes"):
        hdf5.read(path)


def test_a_file_whose_data_is_damaged_is_refused(tmp_path: Path) -> None:
    """Bytes overwritten inside compressed vectors are noticed."""
    path = write(tmp_path / "a.hdf5", train=None)
    with h5py.File(path, "r+") as file:
        file.create_dataset("train", data=TRAIN, chunks=(50, 12), compression="gzip", fletcher32=True)
        start = file["train"].id.get_chunk_info(1).byte_offset
    content = bytearray(path.read_bytes())
    content[start + 100 : start + 200] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.hdf5: is damaged"):
        hdf5.read(path)
