"""Loading a dataset by name or path, with the answers that were asked for."""

import hashlib
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ann_bench import paths
from ann_bench.datasets import Dataset, exact_neighbors, load, load_dataset
from ann_bench.distances import DISTANCES, distances_to
from ann_bench.errors import DatasetError, UsageError
from tests.datasets.files import vectors, write


@pytest.mark.parametrize("distance", DISTANCES)
def test_answers_come_sorted_and_recomputed(folders: Path, distance: str) -> None:
    """Ids are those of the file, by distance, then id; distances are float64, in our definition."""
    path = write(folders / "mine.hdf5", distance)
    with h5py.File(path, "r+") as file:
        file["distances"][...] = 7.0
    dataset = load_dataset("mine", k=5)
    train, test = vectors(distance)
    ids, distances = exact_neighbors(distance, train, test, 20)
    assert (dataset.name, dataset.distance, dataset.n, dataset.dimension) == ("mine", distance, 200, 12)
    assert np.array_equal(dataset.neighbors, ids)
    assert np.array_equal(dataset.distances, distances)
    assert (dataset.rows_available, dataset.queries_available) == (200, 30)
    assert dataset.provenance["path"] == str(path)
    assert "not used" in dataset.provenance["stored_distances"]


def test_angular_rows_are_not_normalised_and_may_be_zero(folders: Path) -> None:
    """Rows keep their lengths; a zero row stays a zero row."""
    train, test = vectors("angular")
    train[5] = 0
    train[6] *= 1000
    dataset = load_dataset(str(write(folders / "zero.hdf5", "angular", train=train, test=test)))
    assert np.array_equal(dataset.train, train)


def test_a_path_is_loaded_as_a_name_is(folders: Path) -> None:
    """A file anywhere is named by its path, with ~ for the home folder; its identity is its content."""
    path = write(folders / "mine.hdf5")
    assert load_dataset(str(path)).sha256 == load_dataset("mine").sha256
    copy = folders.parent / "copy.hdf5"
    copy.write_bytes(path.read_bytes())
    assert load_dataset(str(copy)).sha256 == load_dataset("mine").sha256


def test_folders_are_searched_in_order(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first folder of ANN_BENCH_DATA that has the name wins; one that does not exist is passed over."""
    other = folders.parent / "other"
    other.mkdir()
    monkeypatch.setenv(
        "ANN_BENCH_DATA", os.pathsep.join([str(folders / "nowhere"), str(other), str(folders)])
    )
    write(folders / "mine.hdf5", "manhattan")
    write(other / "mine.hdf5", "dot")
    assert load_dataset("mine").distance == "dot"


def test_fewer_queries_are_spread_over_all(folders: Path) -> None:
    """`queries` takes so many at even distances, says how many there are, and makes another identity."""
    write(folders / "mine.hdf5")
    whole, few = load_dataset("mine"), load_dataset("mine", queries=4)
    assert np.array_equal(few.test, whole.test[[0, 7, 15, 22]])
    assert np.array_equal(few.neighbors, whole.neighbors[[0, 7, 15, 22]])
    assert few.queries_available == 30
    assert few.sha256 != whole.sha256
    assert load_dataset("mine", queries=30).sha256 == whole.sha256


def test_answers_kept_for_other_queries_are_not_used(folders: Path) -> None:
    """What the cache has for the first queries, by an older program, is none of the spread ones' business."""
    path = write(folders / "mine.hdf5")
    file_sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    older = hashlib.sha256(f"{file_sha256} rows=200 queries=4".encode()).hexdigest()
    kept = paths.cache_dir() / "ground-truth"
    kept.mkdir(parents=True)
    for version in (1, 2):
        key = hashlib.sha256(f"{version} {older} euclidean k=25".encode()).hexdigest()[:32]
        np.savez(kept / f"{key}.npz", neighbors=np.zeros((4, 25), np.int32), distances=np.zeros((4, 25)))
    few = load_dataset("mine", queries=4, k=25)
    assert few.sha256 == hashlib.sha256(f"{file_sha256} rows=200 queries=4 spread".encode()).hexdigest()
    for _ in range(2):  # computed, then from the cache
        again = load_dataset("mine", queries=4, k=25)
        assert np.array_equal(again.neighbors, exact_neighbors("euclidean", few.train, few.test, 25)[0])


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_subset_gets_answers_of_its_own(folders: Path, distance: str) -> None:
    """`subset` takes the first rows, and the answers are exact among them."""
    write(folders / "mine.hdf5", distance)
    part = load_dataset("mine", subset=50, k=7)
    ids, distances = exact_neighbors(distance, part.train, part.test, 7)
    assert (part.n, part.rows_available) == (50, 200)
    assert np.array_equal(part.neighbors, ids)
    assert np.array_equal(part.distances, distances)
    identities = {part.sha256, load_dataset("mine").sha256, load_dataset("mine", subset=51).sha256}
    assert len(identities) == 3


def test_more_neighbours_than_the_file_has_are_computed(folders: Path) -> None:
    """A k beyond the file's is answered exactly; one beyond the rows gives all the rows."""
    write(folders / "mine.hdf5")
    assert load_dataset("mine", k=20).provenance["answers"].startswith("the file's")
    dataset = load_dataset("mine", k=21)
    assert dataset.provenance["answers"] == "computed for k = 21"
    assert np.array_equal(dataset.neighbors, exact_neighbors("euclidean", dataset.train, dataset.test, 21)[0])
    assert load_dataset("mine", k=1000).neighbors.shape == (30, 200)


def test_computed_answers_are_kept(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second call takes them from the cache; a damaged cache file is computed again."""
    write(folders / "mine.hdf5")
    first = load_dataset("mine", subset=50)
    with monkeypatch.context() as patch:
        patch.setattr(load, "exact_neighbors", None)
        assert np.array_equal(load_dataset("mine", subset=50).neighbors, first.neighbors)
    (cached,) = (paths.cache_dir() / "ground-truth").iterdir()
    cached.write_bytes(cached.read_bytes()[:100])
    assert np.array_equal(load_dataset("mine", subset=50).neighbors, first.neighbors)


def test_the_computation_of_answers_shows_its_progress(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `progress` a bar is drawn on stderr, and ends full; without it nothing is printed."""
    write(folders / "mine.hdf5")
    monkeypatch.setenv("FORCE_COLOR", "1")
    load_dataset("mine", subset=50)
    assert capsys.readouterr() == ("", "")
    load_dataset("mine", subset=51, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "exact answers to 30 queries" in err
    assert "100%" in err


def test_a_cache_that_cannot_be_written_does_no_harm(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the cache folder is a file, answers are computed all the same."""
    write(folders / "mine.hdf5")
    blocked = folders.parent / "blocked"
    blocked.write_text("")
    monkeypatch.setenv("ANN_BENCH_CACHE", str(blocked))
    assert load_dataset("mine", subset=50).n == 50


@pytest.mark.parametrize(
    ("distance", "said"),
    [("euclidean", "angular"), ("angular", "euclidean"), ("dot", "angular"), ("manhattan", "dot")],
)
def test_answers_of_another_distance_are_refused_with_the_numbers(
    folders: Path, distance: str, said: str
) -> None:
    """The message names file, how many, the worst query with both distances, and what would fit."""
    path = write(folders / "mine.hdf5", distance, attributes={"distance": said})
    with pytest.raises(DatasetError) as caught:
        load_dataset("mine")
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "of 20 sampled queries disagree with `neighbors` (worst: query " in message
    assert f'the file\'s distance is "{said}", its answers are not: they fit "{distance}"' in message


def test_ties_are_put_in_the_order_of_ids(folders: Path) -> None:
    """A file that broke its ties in another way gives the answers by distance, then id, all the same."""
    train, test = vectors("hamming")
    everything = distances_to("hamming", test, train, np.tile(np.arange(200), (30, 1)))
    backwards = np.stack([np.lexsort((-np.arange(200), row))[:150] for row in everything])
    write(folders / "mine.hdf5", "hamming", neighbors=backwards)
    dataset = load_dataset("mine", k=70)
    order = np.lexsort((dataset.neighbors, dataset.distances), axis=1)
    assert np.array_equal(order, np.tile(np.arange(150), (30, 1)))


def test_answers_that_are_not_sorted_are_refused(folders: Path) -> None:
    """The layout has the nearest first; the right ids in another order are no answers for a smaller k."""
    ids, _ = exact_neighbors("euclidean", *vectors("euclidean"), 20)
    write(folders / "mine.hdf5", neighbors=ids[:, ::-1])
    with pytest.raises(DatasetError, match="20 of 20 sampled queries disagree"):
        load_dataset("mine")


def test_shuffled_answers_are_refused(folders: Path) -> None:
    """Answers that fit no distance are refused as such."""
    rng = np.random.default_rng(0)
    wrong = np.stack([rng.permutation(200)[:20] for _ in range(30)])
    write(folders / "mine.hdf5", neighbors=wrong)
    with pytest.raises(DatasetError, match=r"20 of 20 sampled .* they fit no other distance either"):
        load_dataset("mine")


def test_an_unknown_name_gets_near_ones(folders: Path) -> None:
    """Near names of the catalogue and of files that lie here are offered."""
    write(folders / "my-words-50-angular.hdf5", "angular")
    with pytest.raises(
        UsageError, match="sift-128-euclidian: unknown dataset; did you mean sift-128-euclidean"
    ):
        load_dataset("sift-128-euclidian")
    with pytest.raises(UsageError, match="did you mean my-words-50-angular"):
        load_dataset("mywords-50-angular")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k: got 0; it is a whole number >= 1"),
        ({"queries": 0}, "queries: got 0; it is a whole number >= 1"),
        ({"subset": -5}, "subset: got -5; it is a whole number >= 1"),
        ({"queries": 31}, "queries: got 31; .*mine.hdf5 has 30"),
        ({"subset": 201}, "subset: got 201; .*mine.hdf5 has 200"),
    ],
)
def test_numbers_out_of_range_are_refused(folders: Path, arguments: dict[str, Any], message: str) -> None:
    """Each flag names its value and what there is."""
    write(folders / "mine.hdf5")
    with pytest.raises(UsageError, match=message):
        load_dataset("mine", **arguments)


def test_a_path_that_does_not_exist_is_named(folders: Path) -> None:
    """A path is never taken for a name."""
    with pytest.raises(UsageError, match=r"nowhere/a.hdf5: no such file"):
        load_dataset(f"{folders}/nowhere/a.hdf5")


def test_offline_never_downloads(folders: Path) -> None:
    """What is not here is an error that says where it was looked for and what to type."""
    with pytest.raises(DatasetError, match=r"--offline forbids .*ann-bench datasets get sift-128-euclidean"):
        load_dataset("sift-128-euclidean", offline=True)


def test_the_embedded_set_is_what_it_says(folders: Path) -> None:
    """25,000 rows, 1,000 queries, 100 exact neighbours of each, words for all, no query among the rows."""
    dataset: Dataset = load_dataset("glove-100-angular-25k", k=100, offline=True)
    assert (dataset.n, dataset.dimension, len(dataset.test)) == (25_000, 100, 1_000)
    assert dataset.distance == "angular"
    few = slice(0, 200)
    ids, distances = exact_neighbors("angular", dataset.train, dataset.test[few], 100)
    assert np.allclose(dataset.distances[few], distances, rtol=1e-12)
    assert (dataset.neighbors[few] == ids).mean() > 0.999
    with h5py.File(dataset.provenance["path"]) as file:
        words, queries = file["words"].asstr()[:], file["test_words"].asstr()[:]
        assert np.allclose(file["distances"][:], dataset.distances, rtol=1e-5)
    assert len(set(words)) == 25_000
    assert not set(words) & set(queries)
    near = words[dataset.neighbors[list(queries).index("construction"), :3]]
    assert "building" in near


def _real() -> list[Path]:
    folders = [Path(part) for part in os.environ.get("ANN_BENCH_DATA", "").split(os.pathsep) if part]
    return sorted(path for folder in folders for path in folder.glob("*.hdf5"))


@pytest.mark.skipif(not _real(), reason="ANN_BENCH_DATA names no folder with datasets")
@pytest.mark.parametrize("path", _real(), ids=lambda path: path.stem)
def test_real_sets_are_read(path: Path) -> None:
    """Every set of ANN_BENCH_DATA loads, its answers are right, and their distances are those it stores."""
    dataset = load_dataset(str(path), queries=50)
    with h5py.File(path) as file:
        chosen = np.arange(50) * dataset.queries_available // 50
        stored = file["distances"][chosen, : dataset.neighbors.shape[1]]
    assert np.allclose(dataset.distances, stored, rtol=1e-4, atol=1e-5)
    recomputed = distances_to(dataset.distance, dataset.test, dataset.train, dataset.neighbors)
    assert np.array_equal(recomputed, dataset.distances)


def test_the_embedded_set_is_made_by_its_script(tmp_path: Path) -> None:
    """The checked-in script makes the checked-in file, where its source is at hand."""
    source = next((path for path in _real() if path.name == "glove-100-angular-195k.hdf5"), None)
    if source is None:
        pytest.skip("glove-100-angular-195k.hdf5 is not in ANN_BENCH_DATA")
    script = paths.carried("datasets") / "make_glove_25k.py"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(script), str(source), str(tmp_path / "again.hdf5")])
        runpy.run_path(str(script), run_name="__main__")
    with (
        h5py.File(tmp_path / "again.hdf5") as again,
        h5py.File(script.with_name("glove-100-angular-25k.hdf5")) as kept,
    ):
        assert set(again) == set(kept)
        for name in kept:
            assert np.array_equal(again[name][()], kept[name][()]), name
        assert dict(again.attrs) == dict(kept.attrs)
