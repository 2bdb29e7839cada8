"""What every kind of index does alike, from Python."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ann_bench.distances import DISTANCES
from ann_bench.engine import Cluster, DamagedIndexError, Flat, Forest, Graph
from tests.engine.vectors import BIT_DISTANCES, exact_distances, make_vectors

KINDS = (Flat, Forest, Graph, Cluster)
VECTOR_DISTANCES = ("euclidean", "angular", "dot")
ALL = [
    (kind, distance)
    for kind in KINDS
    for distance in DISTANCES
    if distance in (VECTOR_DISTANCES if kind in (Graph, Cluster) else DISTANCES)
]
every_kind = pytest.mark.parametrize(("kind", "distance"), ALL)


def few(kind: Any, distance: str, n: int = 400, dimension: int = 12) -> Any:
    """Return a small index."""
    return kind.build(make_vectors(distance, n, dimension, 1), distance)


@every_kind
def test_most_neighbours_are_found(kind: Any, distance: str) -> None:
    """What queries find by default is at least nine of ten neighbours; the flat kind finds all."""
    train, queries = make_vectors(distance, 3000, 40, 1), make_vectors(distance, 100, 40, 2)
    kth = np.sort(exact_distances(distance, queries, train), axis=1)[:, 9:10]
    index = kind.build(train, distance, threads=2)
    found = (index.query(queries, 10)[1] <= kth + 1e-5 * (1 + abs(kth))).mean()
    assert found == 1 if kind is Flat else found > 0.9


@every_kind
def test_one_vector_and_many_give_the_same(kind: Any, distance: str) -> None:
    """The short way for one vector, the long one, many at once and threads agree, for any memory layout."""
    index, queries = few(kind, distance), make_vectors(distance, 40, 12, 2)
    ids, distances = index.query(queries, 7)
    for other in (index.query(queries, 7, threads=3), index.query(np.asfortranarray(queries), 7)):
        np.testing.assert_array_equal(other, (ids, distances))
    for i, query in enumerate(queries):
        wide = np.repeat(query, 2)
        for one in (
            query,
            query.tolist(),
            wide[::2],
            wide.astype(np.float64)[::2] if query.dtype != bool else query,
        ):
            answer = index.query(one, 7)
            np.testing.assert_array_equal(answer, (ids[i], distances[i]))
            assert (answer[0].dtype, answer[1].dtype) == (np.int32, np.float32)
        np.testing.assert_array_equal(
            index._query(query, 7, None, None, None, None, 1), (ids[i], distances[i])
        )


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint8])
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_every_type_are_the_floats_that_they_are(kind: Any, dtype: Any) -> None:
    """Rows and queries of a small type give the answers of their float32 copies."""
    rng = np.random.default_rng(1)
    train, queries = (rng.integers(0, 100, (n, 10)).astype(dtype) for n in (300, 20))
    small, large = kind.build(train), kind.build(train.astype(np.float32))
    np.testing.assert_array_equal(small.query(queries, 5), large.query(queries.astype(np.float32), 5))
    np.testing.assert_array_equal(small.query(queries[0], 5), large.query(queries[0].astype(np.float32), 5))
    assert small.info() == large.info()
    np.testing.assert_array_equal(small.vector(7), train[7])


@every_kind
def test_only_allowed_rows_are_found(kind: Any, distance: str) -> None:
    """Row numbers and a mask mean the same; without any row there is no answer."""
    index, queries = few(kind, distance), make_vectors(distance, 20, 12, 2)
    mask = np.random.default_rng(3).random(400) < 0.2
    ids, distances = index.query(queries, 5, allow=mask)
    assert mask[ids].all()
    np.testing.assert_array_equal(index.query(queries, 5, allow=np.flatnonzero(mask)), (ids, distances))
    np.testing.assert_array_equal(index.query(queries[3], 5, allow=mask), (ids[3], distances[3]))
    ids, distances = index.query(queries, 5, allow=[])
    assert (ids == -1).all()
    assert np.isinf(distances).all()


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([400], ValueError, "got row 400; the index has rows 0 to 399"),
        ([-1], ValueError, "got row -1; the index has rows 0 to 399"),
        (np.ones(399, dtype=bool), ValueError, r"got bool of shape \(399,\); it is of shape \(400,\)"),
        ([[1, 2]], ValueError, r"got shape \(1, 2\); row numbers have one axis"),
        ([0.5], TypeError, "got dtype float64; it is row numbers, or bool"),
        (["a"], TypeError, "it is row numbers, or bool"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_none_are_refused(kind: Any, rows: Any, error: type[Exception], message: str) -> None:
    """`allow` and `delete` say what is wrong, and nothing is deleted."""
    index = few(kind, "euclidean")
    with pytest.raises(error, match="^allow: .*" + message):
        index.query(np.zeros(12), 5, allow=rows)
    with pytest.raises(error, match="^rows: .*" + message):
        index.delete(rows)
    assert index.info()["present"] == 400


@every_kind
def test_deleted_rows_are_gone_for_good(kind: Any, distance: str, tmp_path: Path) -> None:
    """By number or by mask, twice or once: no query finds them, nor one of the saved file."""
    index = few(kind, distance)
    index.delete(5)
    index.delete([5, 17, 200])
    index.delete(np.arange(400) >= 350)
    assert index.info()["present"] == 347
    gone = {5, 17, 200, *range(350, 400)}
    index.save(tmp_path / "index")
    for one in (index, kind.open(tmp_path / "index"), kind.open(tmp_path / "index", "ram")):
        ids, _ = one.query(make_vectors(distance, 400, 12, 1), 20)
        assert not gone & set(ids.ravel().tolist())
        assert one.info() == index.info()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_refused(kind: Any, tmp_path: Path) -> None:
    """The message names the file and both kinds."""
    for other in KINDS:
        few(other, "euclidean").save(tmp_path / "index")
        if other is kind:
            assert len(kind.open(tmp_path / "index")) == 400
        else:
            with pytest.raises(
                DamagedIndexError, match=f"holds an index of kind {other.kind}, and no {kind.kind}"
            ):
                kind.open(tmp_path / "index")


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_tells_what_it_is(kind: Any) -> None:
    """Name, size, distance and memory are told; it is neither made by hand nor pickled."""
    index = few(kind, "angular")
    info = index.info()
    assert (index.kind, info["kind"]) == (kind.kind, kind.kind)
    assert (len(index), index.dimension, index.distance) == (400, 12, "angular")
    assert info["size_bytes"] == index.size_bytes > 400 * 12 * 4
    assert info["tuned"] == []
    assert repr(index).startswith(f"<{kind.__name__} ")
    assert "400 x 12 angular" in repr(index)
    before = index.distance_computations
    index.query(np.ones(12), 3)
    assert index.distance_computations > before
    with pytest.raises(TypeError, match=rf"a {kind.__name__} is made by {kind.__name__}\.build"):
        kind()
    with pytest.raises(TypeError, match="is not pickled: save"):
        index.__reduce__()


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_queries_are_told(kind: Any) -> None:
    """Shape, type, k and values that are none are refused in words, one vector or many."""
    index = few(kind, "euclidean")
    for shape in ((11,), (3, 13)):
        with pytest.raises(ValueError, match="this index takes"):
            index.query(np.zeros(shape), 5)
    for bad in (0, -1, 2**31):
        with pytest.raises(ValueError, match=f"k: got {bad}; it is an integer from 1"):
            index.query(np.zeros(12, dtype=np.float32), bad)
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="holds NaN or infinity"):
            index.query(np.full(12, value, dtype=np.float32), 5)
    with pytest.raises(TypeError, match=r"k: got 1\.5"):
        index.query(np.zeros(12, dtype=np.float32), 1.5)


def test_clusters_say_for_which_distances_they_are() -> None:
    """Other distances are refused, and so are impossible options."""
    with pytest.raises(ValueError, match="distance: clusters are for euclidean, angular and dot"):
        Cluster.build(np.zeros((3, 3)), "manhattan")
    with pytest.raises(ValueError, match="clusters: got 0"):
        Cluster.build(np.zeros((3, 3)), clusters=0)
    with pytest.raises(ValueError, match="assignments: got 3"):
        Cluster.build(np.zeros((3, 3)), assignments=3)


@pytest.mark.parametrize("distance", VECTOR_DISTANCES)
def test_more_clusters_and_a_second_assignment_find_more(distance: str) -> None:
    """With all clusters read nearly all neighbours are found; with few the more the more are read."""
    train, queries = make_vectors(distance, 3000, 40, 1), make_vectors(distance, 100, 40, 2)
    kth = np.sort(exact_distances(distance, queries, train), axis=1)[:, 9:10]
    one, two = (Cluster.build(train, distance, assignments=number) for number in (1, 2))

    def recall(index: Cluster, nprobe: int) -> float:
        return float((index.query(queries, 10, nprobe, rerank=100)[1] <= kth + 1e-5 * (1 + abs(kth))).mean())

    assert recall(one, 1) < recall(one, 6) < recall(one, 60)
    assert recall(one, 137) > 0.98
    assert recall(two, 4) > recall(one, 4)
    assert two.size_bytes > one.size_bytes


def test_a_graph_says_for_which_distances_it_is() -> None:
    """Bits and manhattan are for other kinds; degree and alpha have bounds."""
    with pytest.raises(ValueError, match="distance: a graph is for euclidean, angular and dot"):
        Graph.build(np.zeros((3, 3)), "manhattan")
    with pytest.raises(ValueError, match="degree: got 0; it is an integer from 1 to 1024"):
        Graph.build(np.zeros((3, 3)), degree=0)
    with pytest.raises(ValueError, match=r"alpha: got 0\.9; it is a number from 1 to 2"):
        Graph.build(np.zeros((3, 3)), alpha=0.9)


@pytest.mark.parametrize("kind", [Forest, Graph, Cluster])
def test_recall_can_be_asked_for_where_it_was_tuned(kind: Any) -> None:
    """`recall=` takes the effort of the table, and says what there is if it has none for it."""
    index = few(kind, "euclidean", 2000)
    with pytest.raises(ValueError, match="recall: this index was not tuned: call tune"):
        index.query(np.zeros(12), 5, recall=0.9)
    assert index.tune(0.9, 5, recalls=(0.8, 0.97)) >= 0.9
    table = {round(recall, 3): effort for recall, _, *effort in index.info()["tuned"]}
    assert list(table) == [0.9, 0.8, 0.97]
    for recall, (reach, rerank) in table.items():
        query = make_vectors("euclidean", 1, 12, 2)[0]
        np.testing.assert_array_equal(
            index.query(query, 5, recall=recall), index.query(query, 5, reach, rerank=rerank)
        )
    for wrong in (0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="recall: got"):
            index.query(np.zeros(12), 5, recall=wrong)
    with pytest.raises(ValueError, match=r"this index was tuned for at most 0\.97"):
        index.query(np.zeros(12), 5, recall=0.99)


def test_a_graph_is_tuned_to_queries_that_it_was_not_shown() -> None:
    """Held-out rows find about the share that was asked for; other queries are tuned for as a sample."""
    vectors = make_vectors("angular", 5500, 64, 1)
    train, queries = vectors[:5000], vectors[5000:]
    kth = np.sort(exact_distances("angular", queries, train), axis=1)[:, 9:10]
    graph = Graph.build(train, "angular", degree=16)
    for target in (0.8, 0.95):
        assert graph.tune(target, queries=800) >= target
        assert abs((graph.query(queries, 10)[1] <= kth + 1e-6).mean() - target) < 0.05
    far = np.random.default_rng(4).standard_normal((300, 64), dtype=np.float32)
    assert graph.tune(0.95, queries=far) >= 0.95
    kth = np.sort(exact_distances("angular", far, train), axis=1)[:, 9:10]
    assert (graph.query(far, 10)[1] <= kth + 1e-6).mean() >= 0.95


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_rows_any_parameters(data: st.DataObject) -> None:
    """With everything looked at, any kind returns what sorting all distances gives, of the rows allowed."""
    kind, distance = data.draw(st.sampled_from(ALL))
    n, dimension = data.draw(st.integers(1, 90)), data.draw(st.integers(1, 40))
    k = data.draw(st.integers(1, n + 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    train = rng.integers(-3, 4, (n, dimension)).astype(np.float32)
    query = rng.integers(-3, 4, dimension).astype(np.float32)
    if distance in BIT_DISTANCES:
        train, query = train > 0, query > 0
    index = kind.build(train, distance)
    allowed = rng.random(n) < data.draw(st.sampled_from([0.2, 0.9, 1.0]))
    gone = rng.random(n) < data.draw(st.sampled_from([0.0, 0.3]))
    index.delete(gone)
    effort = {} if kind is Flat else {"rerank": 10**6}
    if kind is not Flat:
        effort[{Forest: "search_k", Graph: "ef", Cluster: "nprobe"}[kind]] = 10**6
    ids, distances = index.query(query, k, allow=allowed, **effort)
    exact = exact_distances(distance, query[None], train)[0].astype(np.float32)
    rows = np.flatnonzero(allowed & ~gone)
    count = min(k, len(rows))
    np.testing.assert_allclose(distances[:count], np.sort(exact[rows])[:count], rtol=1e-5, atol=1e-5)
    assert set(ids[:count].tolist()) <= set(rows.tolist())
    assert len(set(ids[:count].tolist())) == count
    assert (ids[count:] == -1).all()


# Prints a hash of each index's file, and of its answers, for one instruction set.
BUILD_AND_ASK = """
import hashlib
import sys
import numpy as np
from ann_bench.engine import Cluster, Flat, Graph, build_info
from tests.engine.vectors import make_vectors

path = sys.argv[1]
for kind in (Flat, Graph, Cluster):
    for distance in ("euclidean", "angular", "dot"):
        for dimension, scale in ((3, 1), (100, 40), (300, 1)):
            train, queries = ((scale * make_vectors(distance, n, dimension, n)) for n in (900, 50))
            if scale == 40:
                train = train.astype(np.int8)
            index = kind.build(train, distance, threads=2)
            index.save(path)
            digest = hashlib.sha256(open(path, "rb").read())
            for array in (*index.query(queries, 10), *index.query(queries, 10, allow=range(0, 900, 2))):
                digest.update(array.tobytes())
            print(digest.hexdigest())
print(build_info()["isa"])
"""


def test_neither_file_nor_answers_depend_on_the_instruction_set(tmp_path: Path) -> None:
    """Portable, AVX2 and AVX-512 kernels build the same files and give the same ids and distances."""
    printed = {}
    for isa in ("portable", "avx2", "avx512"):
        done = subprocess.run(
            [sys.executable, "-c", BUILD_AND_ASK, str(tmp_path / "index")],
            env=os.environ | {"ANN_BENCH_ISA": isa},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            *printed[isa], used = done.stdout.splitlines()
            assert used == isa
        else:
            assert "this processor runs" in done.stderr
    assert len(printed["portable"]) == 27
    assert all(hashes == printed["portable"] for hashes in printed.values())


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize(
    ("kind", "distance"),
    [(Flat, "euclidean"), (Flat, "angular"), (Graph, "dot"), (Cluster, "angular"), (Cluster, "dot")],
)
def test_bytes_are_compared_exactly(kind: Any, distance: str, dtype: Any) -> None:
    """Rows of bytes have their exact distances from bytes, from zeros and from what is between bytes."""
    rng, edges = np.random.default_rng(3), np.iinfo(dtype)
    train = rng.integers(edges.min, edges.max, (300, 77), endpoint=True).astype(dtype)
    queries = rng.integers(edges.min, edges.max, (6, 77), endpoint=True).astype(np.float32)
    queries[0], queries[1], queries[2] = edges.max, 0, train[5]
    queries[4] += 0.5
    queries[5] *= 3
    ids, distances = kind.build(train, distance).query(queries, 300)
    expected = np.take_along_axis(exact_distances(distance, queries, train.astype(np.float32)), ids, axis=1)
    np.testing.assert_allclose(distances, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("kind", [Forest, Graph, Cluster])
def test_a_filter_leaves_no_trace(kind: Any) -> None:
    """After searches that must not answer with half of the rows, others answer as before."""
    train, queries = make_vectors("euclidean", 40_000, 12, 1), make_vectors("euclidean", 60, 12, 2)
    options = {"n_trees": 5} if kind is Forest else {}
    effort = {Forest: {"search_k": 800}, Graph: {"ef": 20}, Cluster: {"nprobe": 6}}[kind]
    index = kind.build(train, **options, threads=2)
    before = index.query(queries, 10, rerank=30, **effort)
    allowed = np.random.default_rng(5).random(len(train)) < 0.5
    for query in queries:
        index.query(query, 10, rerank=30, allow=allowed, **effort)
    np.testing.assert_array_equal(index.query(queries, 10, rerank=30, **effort), before)
