"""AnnoyIndex in the place of Annoy's: what it returns, what it refuses, and that it keeps nothing."""

import json
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from ann_bench.engine import Forest
from ann_bench.engine.annoy import AnnoyIndex
from tests.engine import annoy_manners
from tests.engine.test_annoy_file import GOLDEN, annoy_python
from tests.engine.vectors import exact_distances, make_vectors

METRICS = annoy_manners.METRICS

# Where Annoy's words tell of its own class or of a C call; the kind of error is the same.
OTHER_WORDS = {
    *("without_f", "new_attribute", "pickled", "copied", "deep_copied", "vector_by_name", "add_nothing"),
    *("build_nothing", "unload_argument", "set_seed_by_name", "unknown_metric"),
}


def annoys_distances(metric: str, distances: Any, f: int) -> Any:
    """Return what Annoy calls the package's distances."""
    if metric == "angular":
        return np.sqrt(2 * distances)
    return {"dot": -distances, "hamming": distances * f}.get(metric, distances)


def build(metric: str, train: Any, n_trees: int = 10, seed: int | None = None) -> AnnoyIndex:
    """Return an index over all rows."""
    index = AnnoyIndex(train.shape[1], metric)
    if seed is not None:
        index.set_seed(seed)
    for i, row in enumerate(train):
        index.add_item(i, row)
    index.build(n_trees, n_jobs=2)
    return index


@pytest.fixture(params=METRICS)
def metric(request: pytest.FixtureRequest) -> str:
    """Each metric in turn."""
    return str(request.param)


def told_alike(name: str, ours: list[Any], annoys: list[Any]) -> bool:
    """Whether two outcomes are the same; distances but for rounding, errors of the system but for words."""
    if ours[0] != annoys[0]:
        return False
    if ours[0] == "raises":
        return ours[1] == annoys[1] and (ours[1] == "OSError" or name in OTHER_WORDS or ours == annoys)
    return ours[2:] == annoys[2:] and alike(ours[1], annoys[1])


def alike(ours: Any, annoys: Any) -> bool:
    """Whether two values are of one type and equal, floats but for rounding."""
    if type(ours) is not type(annoys):
        return False
    if isinstance(ours, list):
        return len(ours) == len(annoys) and all(map(alike, ours, annoys))
    if isinstance(ours, float):
        return bool(abs(ours - annoys) <= 1e-6 * max(1, abs(annoys)))
    return bool(ours == annoys)


def test_every_use_right_or_wrong_ends_as_with_annoy(tmp_path: Path) -> None:
    """Return values and their types, warnings, exceptions and their messages are those of annoy 1.17.3."""
    annoys = json.loads((GOLDEN / "manners.json").read_text())
    ours = json.loads(json.dumps(annoy_manners.try_everything(AnnoyIndex, tmp_path)))
    assert ours.keys() == annoys.keys()
    different = {
        name: (ours[name], annoys[name]) for name in ours if not told_alike(name, ours[name], annoys[name])
    }
    assert different == {}


def test_the_checked_in_manners_are_annoys(tmp_path: Path) -> None:
    """Where Annoy is installed, it does what `manners.json` says that it does."""
    command = [annoy_python(), annoy_manners.__file__, str(tmp_path / "manners.json")]
    subprocess.run(command, check=True, capture_output=True)
    now = json.loads((tmp_path / "manners.json").read_text())
    golden = json.loads((GOLDEN / "manners.json").read_text())
    assert now.keys() == golden.keys()
    assert {name for name in now if not told_alike(name, now[name], golden[name])} == set()


def test_a_search_without_limit_is_exact(metric: str, tmp_path: Path) -> None:
    """All items come back in the order of their distance, built and loaded; distances are Annoy's."""
    train, queries = make_vectors(metric, 300, 20, 1), make_vectors(metric, 5, 20, 2)
    exact = annoys_distances(metric, exact_distances(metric, queries, train), 20)
    index = build(metric, train)
    index.save(str(tmp_path / "index"))
    loaded = AnnoyIndex(20, metric)
    loaded.load(str(tmp_path / "index"))
    for which in (index, loaded):
        for query, expected in zip(queries, exact, strict=True):
            ids, distances = which.get_nns_by_vector(query, 300, 10**9, include_distances=True)
            assert sorted(ids) == list(range(300))
            np.testing.assert_allclose(distances, expected[ids], rtol=1e-5, atol=1e-4)
            ordered = np.array(distances) * (-1 if metric == "dot" else 1)
            assert (np.diff(ordered) >= 0).all()
        i, j = 3, 250
        of_item = annoys_distances(metric, exact_distances(metric, train[i : i + 1], train), 20)
        assert loaded.get_distance(i, j) == pytest.approx(of_item[0, j], rel=1e-5, abs=1e-6)


def test_the_default_search_finds_most_neighbours(metric: str) -> None:
    """With search_k = n * n_trees, 0.8 of the ten nearest are found, with either way to say so."""
    train, queries = make_vectors(metric, 3000, 16, 1), make_vectors(metric, 40, 16, 2)
    index = build(metric, train, n_trees=20)
    exact = exact_distances(metric, queries, train)
    right = 0.0
    for query, distances in zip(queries, exact, strict=True):
        ids = index.get_nns_by_vector(query, 10)
        assert ids == index.get_nns_by_vector(query.tolist(), 10, 200)
        right += float((distances[ids] <= np.sort(distances)[9] + 1e-6).mean())
    assert right / len(queries) >= 0.8


def test_numbers_that_were_left_out_are_never_found(metric: str, tmp_path: Path) -> None:
    """Holes count in get_n_items, have zeros for a vector, and are in no answer, saved and rebuilt too."""
    train = make_vectors(metric, 200, 12, 1)
    used = [i for i in range(200) if i % 3]
    index = AnnoyIndex(12, metric)
    for i in reversed(used):
        index.add_item(i, train[i])

    def check() -> None:
        assert index.get_n_items() == 200
        assert index.get_item_vector(3) == [0.0] * 12
        assert sorted(index.get_nns_by_item(3, 500)) == used
        assert sorted(index.get_nns_by_vector(train[0], -1)) == used

    for _ in range(2):
        index.build(4)
        check()
        index.unbuild()
    index.build(4)
    index.save(str(tmp_path / "index"))
    check()
    index = AnnoyIndex(12, metric)
    index.load(str(tmp_path / "index"))
    check()


def test_angular_vectors_come_back_as_given(tmp_path: Path) -> None:
    """Built, saved and unbuilt, an index tells the vectors that were added, not unit vectors."""
    train = make_vectors("angular", 50, 7, 1)
    index = build("angular", train)
    assert index.get_item_vector(9) == train[9].tolist()
    index.unbuild()
    assert index.get_item_vector(9) == train[9].tolist()
    index.build(3)
    index.save(str(tmp_path / "index"))
    assert index.get_item_vector(9) == train[9].tolist()


@pytest.mark.parametrize("other", ["euclidean", "manhattan", "hamming", "dot"])
def test_vectors_come_back_as_given(other: str, tmp_path: Path) -> None:
    """Built, saved and unbuilt, an index tells the vectors that were added."""
    train = make_vectors(other, 50, 7, 1)
    index = build(other, train)
    expected = train.astype(np.float32).tolist()
    assert [index.get_item_vector(i) for i in range(50)] == expected
    index.unbuild()
    assert [index.get_item_vector(i) for i in range(50)] == expected
    index.build(3)
    index.save(str(tmp_path / "index"))
    assert [index.get_item_vector(i) for i in range(50)] == expected


def test_save_writes_the_engines_format(tmp_path: Path) -> None:
    """A saved index is one that Forest opens; the same seed gives the same bytes, another seed others."""
    train = make_vectors("euclidean", 400, 8, 1)
    for name, seed in (("a", 3), ("b", 3), ("c", -3), ("d", None), ("e", 0)):
        build("euclidean", train, seed=seed).save(str(tmp_path / name))
    a, b, c, d, e = ((tmp_path / name).read_bytes() for name in "abcde")
    assert a == b != c
    assert d == e != a
    forest = Forest.open(tmp_path / "a")
    assert (forest.distance, forest.dimension, len(forest), forest.n_trees) == ("euclidean", 8, 400, 10)
    with pytest.raises(OSError, match=r"metric euclidean, f = 8; it is opened with metric manhattan, f = 8"):
        AnnoyIndex(8, "manhattan").load(str(tmp_path / "a"))
    (tmp_path / "cut").write_bytes(a[: len(a) // 2])
    with pytest.raises(OSError, match=r"^[^:]*cut: \d+ bytes, .* cut off"):
        AnnoyIndex(8, "euclidean").load(str(tmp_path / "cut"))


def test_a_build_on_disk_writes_its_file(tmp_path: Path) -> None:
    """After on_disk_build the build's file is the index, no save is needed, and no other file stays."""
    train = make_vectors("angular", 700, 10, 1)
    index = AnnoyIndex(10, "angular")
    index.on_disk_build(tmp_path / "disk")
    for i, row in enumerate(train):
        index.add_item(i, row)
    index.build(5)
    assert [path.name for path in tmp_path.iterdir()] == ["disk"]
    loaded = AnnoyIndex(10, "angular")
    loaded.load(tmp_path / "disk", prefault=True)
    in_memory = build("angular", train, n_trees=5)
    for query in make_vectors("angular", 10, 10, 2):
        expected = in_memory.get_nns_by_vector(query, 10, include_distances=True)
        assert index.get_nns_by_vector(query, 10, include_distances=True) == expected
        assert loaded.get_nns_by_vector(query, 10, include_distances=True) == expected
    with pytest.raises(Exception, match="on_disk_build comes before the first add_item"):
        build_unbuilt = AnnoyIndex(2, "dot")
        build_unbuilt.add_item(0, [1, 2])
        build_unbuilt.on_disk_build(tmp_path / "other")


def test_what_the_engine_cannot_take_is_refused_at_once() -> None:
    """Values that are not finite, f < 1, no trees and no threads: Annoy takes them and comes to harm."""
    index = AnnoyIndex(2, "euclidean")
    for vector in ([float("nan"), 1], [1, float("inf")], [1e300, 1], np.array([np.nan, 1])):
        with pytest.raises(ValueError, match="item 0 holds NaN or infinity"):
            index.add_item(0, vector)
    assert index.get_n_items() == 0
    for f in (0, -1):
        with pytest.raises(ValueError, match=f"f: got {f}; it is the number of dimensions, 1 or more"):
            AnnoyIndex(f, "dot")
    index.add_item(0, [1, 2])
    for arguments in ((0,), (-2,), (1, 0), (1, -2)):
        with pytest.raises(ValueError, match="it is 1 or more, or -1 for an automatic choice"):
            index.build(*arguments)
    index.build(1)
    with pytest.raises(Exception, match="You can't add an item to a built index"):
        index.add_item(0, [1, 2])


@pytest.mark.parametrize(("metric", "f", "trees"), [("angular", 50, 21), ("dot", 2, 2), ("hamming", 128, 3)])
def test_automatic_trees_are_as_many_as_annoys(metric: str, f: int, trees: int) -> None:
    """build(-1) makes 0.4 trees for each item number that fits one of Annoy's nodes."""
    index = AnnoyIndex(f, metric)
    index.add_item(0, [1] * f)
    index.build(-1)
    assert index.get_n_trees() == trees


def test_a_subclass_may_forget_to_call_init() -> None:
    """As with Annoy, an index is whole when it exists."""

    class Named(AnnoyIndex):
        def __init__(self, f: int, metric: str) -> None:
            self.name = metric

    index = Named(2, "dot")
    index.add_item(0, [1, 2])
    assert (index.name, index.f, index.get_n_items()) == ("dot", 2, 1)


def test_threads_may_share_an_index() -> None:
    """Items added by four threads are all there, and four threads find what one finds while another loads."""
    train = make_vectors("euclidean", 2000, 12, 1)
    index = AnnoyIndex(12, "euclidean")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(index.add_item, range(2000), train))
    assert [index.get_item_vector(i) for i in range(2000)] == train.tolist()
    index.build(5)
    expected = [index.get_nns_by_item(i, 5) for i in range(200)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            assert list(pool.map(lambda i: index.get_nns_by_item(i, 5), range(200))) == expected
    stop = threading.Event()
    golden = AnnoyIndex(6, "dot")

    def load_and_unload() -> None:
        while not stop.is_set():
            golden.load(str(GOLDEN / "dot.ann"))
            golden.unload()

    thread = threading.Thread(target=load_and_unload)
    thread.start()
    try:
        answers = {tuple(golden.get_nns_by_vector([1, 0, 0, 0, 0, 0], 3)) for _ in range(2000)}
    finally:
        stop.set()
        thread.join()
    assert len(answers) <= 2  # nothing, or what is in the file


def test_nothing_is_kept(tmp_path: Path) -> None:
    """Sixty lives of an index, built, saved, loaded and dropped, take no more memory than twenty."""
    train = make_vectors("angular", 2000, 64, 1)  # half a megabyte

    def live(disk: bool) -> None:
        index = AnnoyIndex(64, "angular")
        if disk:
            index.on_disk_build(tmp_path / "disk")
        for i, row in enumerate(train):
            index.add_item(i, row)
        index.build(2, n_jobs=1)
        index.get_nns_by_item(0, 10)
        if not disk:
            index.save(str(tmp_path / "index"))
            index.get_nns_by_item(0, 10)
        index.unload()

    process = psutil.Process()
    for i in range(20):
        live(disk=i % 2 == 0)
    before, files = process.memory_info().rss, process.num_fds()
    for i in range(40):
        live(disk=i % 2 == 0)
    assert process.num_fds() == files
    assert process.memory_info().rss < before + 4_000_000
