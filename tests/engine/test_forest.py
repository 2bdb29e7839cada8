"""The forest's answers: recall, exactness, order, padding, threads."""

import math
import pickle
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ann_bench import engine
from ann_bench.distances import DISTANCES
from ann_bench.engine import Forest
from tests.engine.vectors import BIT_DISTANCES, Array, distances_to_rows, exact_distances, make_vectors

K = 10


def recall(forest: Forest, train: Array, queries: Array, **effort: int) -> float:
    """Return the share of the `K` nearest rows that the forest finds."""
    kth = np.sort(exact_distances(forest.distance, queries, train), axis=1)[:, K - 1 : K]
    ids, _ = forest.query(queries, K, **effort)
    return float((distances_to_rows(forest.distance, queries, train, ids) <= kth + 1e-12).mean())


def test_recall_has_a_floor(distance: str) -> None:
    """Looking at a fraction of the leaf entries finds nearly all true neighbours, for every distance."""
    train, queries = make_vectors(distance, 4000, 32, 1), make_vectors(distance, 100, 32, 2)
    forest = Forest.build(train, distance, n_trees=10, seed=1)
    assert recall(forest, train, queries, search_k=800) > 0.95
    assert forest.distance_computations < 100 * (800 + 32)
    assert recall(forest, train, queries, search_k=4000, rerank=200) > 0.99


def test_the_default_search_finds_most(distance: str) -> None:
    """Without any parameter more than half of the true neighbours are found."""
    train, queries = make_vectors(distance, 4000, 32, 1), make_vectors(distance, 100, 32, 2)
    assert recall(Forest.build(train, distance), train, queries) > 0.5


def test_more_search_finds_more(distance: str) -> None:
    """Recall rises with search_k, with the number of trees and with rerank, up to everything."""
    train, queries = make_vectors(distance, 3000, 100, 1), make_vectors(distance, 100, 100, 2)
    few, many = (Forest.build(train, distance, n_trees=n, seed=1) for n in (2, 20))
    found = [recall(few, train, queries, search_k=search_k) for search_k in (20, 200, 1000, 2 * 3000)]
    assert found[0] < found[1] < found[2] <= found[3] == 1
    assert recall(few, train, queries, search_k=20) < recall(many, train, queries, search_k=200)
    found = [recall(many, train, queries, search_k=10_000, rerank=rerank) for rerank in (10, 40, 400)]
    assert found[0] <= found[1] <= found[2]
    if distance != "hamming":  # whose estimates are exact
        assert found[0] < found[2]


def test_a_full_search_is_exact(distance: str) -> None:
    """With search_k = n_trees * n the answer is brute force's to float32's precision, ties by id."""
    train, queries = make_vectors(distance, 700, 25, 1), make_vectors(distance, 30, 25, 2)
    forest = Forest.build(train, distance, n_trees=3)
    ids, distances = forest.query(queries, 50, search_k=3 * len(train), rerank=1)
    exact = exact_distances(distance, queries, train)
    np.testing.assert_allclose(distances, np.sort(exact, axis=1)[:, :50], rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(
        np.take_along_axis(exact, ids.astype(np.int64), axis=1), distances, rtol=2e-6, atol=1e-6
    )
    order = np.lexsort((ids, distances), axis=1)
    np.testing.assert_array_equal(order, np.tile(np.arange(50), (30, 1)))
    if distance == "hamming":
        np.testing.assert_array_equal(ids, np.argsort(exact, axis=1, kind="stable")[:, :50])


def test_a_row_finds_itself(small: Callable[..., Forest], distance: str) -> None:
    """A row of the index comes first, at distance 0 (but for dot, where longer rows are nearer)."""
    train = make_vectors(distance, 500, 100, 1)
    forest = small(dimension=100)
    ids, distances = forest.query(train, 1, search_k=5 * 500)
    if distance == "dot":
        np.testing.assert_allclose(
            distances[:, 0], exact_distances("dot", train, train).min(axis=1), rtol=1e-5
        )
    else:
        np.testing.assert_array_equal(ids[:, 0], np.arange(500))
        np.testing.assert_array_equal(distances, 0)


def test_one_vector_and_many_give_the_same(small: Callable[..., Forest], distance: str) -> None:
    """A batch gives, with any number of threads, what single queries give, as (m, k) and (k,) arrays."""
    forest, queries = small(), make_vectors(distance, 70, 20, 2)
    for threads in (1, 2, 3):
        ids, distances = forest.query(queries, 6, threads=threads)
        assert (ids.shape, ids.dtype, distances.shape, distances.dtype) == (
            (70, 6),
            np.int32,
            (70, 6),
            np.float32,
        )
        for query, row_ids, row_distances in zip(queries, ids, distances, strict=True):
            one_ids, one_distances = forest.query(query, 6)
            assert one_ids.shape == one_distances.shape == (6,)
            np.testing.assert_array_equal(one_ids, row_ids)
            np.testing.assert_array_equal(one_distances, row_distances)
    assert forest.query(queries[:0], 6)[0].shape == (0, 6)


def test_fewer_rows_than_k(small: Callable[..., Forest], distance: str) -> None:
    """Where n < k all n rows come back, each once; the rest is id -1 at distance +inf."""
    for n in (1, 2, 7, 30):
        ids, distances = small(n=n).query(make_vectors(distance, 1, 20, 2)[0], n + 4)
        assert sorted(ids[:n]) == list(range(n))
        assert np.isfinite(distances[:n]).all()
        np.testing.assert_array_equal(ids[n:], -1)
        np.testing.assert_array_equal(distances[n:], np.inf)


def test_the_smallest_search_still_answers_in_full(small: Callable[..., Forest], distance: str) -> None:
    """As many as k rows come back even where search_k is smaller than k."""
    ids, distances = small().query(make_vectors(distance, 20, 20, 2), 100, search_k=1)
    assert (ids >= 0).all()
    assert np.isfinite(distances).all()


def test_equal_rows(distance: str) -> None:
    """A thousand equal rows, and one that differs, are indexed and found like any others."""
    train = np.ones((1001, 9), dtype=bool if distance in BIT_DISTANCES else np.float32)
    train[1000, :4] = 0
    forest = Forest.build(train, distance, n_trees=4)
    ids, distances = forest.query(train[0], 1001)
    assert sorted(ids) == list(range(1001))
    assert ids[-1] == 1000
    assert len(set(distances[:1000].tolist())) == 1


def test_zero_rows(distance: str) -> None:
    """Zero rows and zero queries have the distances of the definitions: 1 for angular, to any row."""
    train = make_vectors(distance, 200, 12, 1)
    train[::2] = 0
    forest = Forest.build(train, distance, n_trees=3)
    queries = np.concatenate([train[:2], make_vectors(distance, 3, 12, 2)])
    ids, distances = forest.query(queries, 200)
    np.testing.assert_allclose(
        distances, distances_to_rows(distance, queries, train, ids), rtol=1e-6, atol=1e-6
    )
    if distance == "angular":
        np.testing.assert_array_equal(distances[0], 1)
        np.testing.assert_array_equal(ids[0], np.arange(200))


def test_near_duplicates_keep_their_order() -> None:
    """Angular distances far below float32's step around 1 are still told apart."""
    rng = np.random.default_rng(5)
    base = rng.standard_normal(50)
    train = (base + np.linspace(0, 1e-2, 40)[:, None] * rng.standard_normal(50)).astype(np.float32)
    ids, distances = Forest.build(train, "angular", n_trees=1).query(train[0], 40)
    np.testing.assert_array_equal(ids, np.arange(40))
    np.testing.assert_allclose(
        distances, exact_distances("angular", train[:1], train)[0], rtol=1e-3, atol=1e-13
    )


def test_large_and_small_values_do_not_break_it() -> None:
    """Values at the ends of float32's range may give infinite distances, but every row is found once."""
    rng = np.random.default_rng(5)
    for name in ("euclidean", "angular", "dot", "manhattan"):
        for size in (1e-44, 1e-30, 1e25, 3e38):
            train = (size * rng.uniform(-1, 1, (300, 6))).astype(np.float32)
            ids, distances = Forest.build(train, name, n_trees=2).query(train[3], 300)
            assert sorted(ids) == list(range(300))
            assert not np.isnan(distances).any()


def test_two_threads_query_one_index(small: Callable[..., Forest], distance: str) -> None:
    """Queries from several Python threads at once give what one thread gets."""
    forest, queries = small(n=2000), make_vectors(distance, 300, 20, 2)
    expected, _ = forest.query(queries, 5)
    answers: list[object] = []

    def ask() -> None:
        answers.append(np.array([forest.query(query, 5)[0] for query in queries]))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 3
    for answer in answers:
        np.testing.assert_array_equal(answer, expected)


def test_other_threads_run_meanwhile() -> None:
    """Python threads go on while an index is built and searched: neither holds the GIL."""
    train = make_vectors("euclidean", 10_000, 64, 1)
    state = {"running": False, "ticks": 0}

    def meanwhile(work: Callable[[], object]) -> int:
        state.update(running=True, ticks=0)

        def tick() -> None:
            while state["running"]:
                state["ticks"] += 1
                time.sleep(0.0005)

        ticker = threading.Thread(target=tick)
        ticker.start()
        before = state["ticks"]
        work()
        ticks = state["ticks"] - before
        state["running"] = False
        ticker.join()
        return ticks

    forest = Forest.build(train, n_trees=1)
    assert meanwhile(lambda: Forest.build(train, n_trees=12)) > 5
    assert meanwhile(lambda: forest.query(train[:200], 10, search_k=10_000)) > 5


def test_distance_computations_count_leaf_entries() -> None:
    """Every entry of a leaf that is read counts, a row once for each tree that turns it up."""
    train = make_vectors("euclidean", 300, 8, 1)
    forest = Forest.build(train, n_trees=7)
    assert forest.distance_computations == 0
    forest.query(train[:4], 3, search_k=7 * 300)
    full = forest.distance_computations
    assert 4 * 7 * 300 <= full < 4 * 7 * (300 + 32)
    forest.query(train[0], 3, search_k=1)
    assert forest.distance_computations == full + 32


def test_rows_that_are_not_present_are_never_found(distance: str) -> None:
    """The mask takes rows out of the answers and nothing else; the numbers of the others stay."""
    train, queries = make_vectors(distance, 500, 20, 1), make_vectors(distance, 30, 20, 2)
    present = np.random.default_rng(4).random(500) < 0.3
    forest = Forest.build(train, distance, n_trees=4, present=present)
    assert len(forest) == forest.info()["rows"] == 500
    assert forest.info()["present"] == present.sum()
    ids, distances = forest.query(queries, 20, search_k=4 * 500)
    assert present[ids].all()
    exact = np.sort(exact_distances(distance, queries, train[present]), axis=1)[:, :20]
    np.testing.assert_allclose(distances, exact, rtol=2e-6, atol=1e-6)
    ids, _ = forest.query(train[~present], 500, search_k=1)
    assert present[ids[:, : present.sum()]].all()
    assert (ids[:, present.sum() :] == -1).all()
    np.testing.assert_array_equal(forest.vector(3), train[3])
    everything = Forest.build(train, distance, n_trees=4, present=np.ones(500, dtype=bool))
    plain = Forest.build(train, distance, n_trees=4)
    np.testing.assert_array_equal(everything.query(queries, 9)[0], plain.query(queries, 9)[0])
    nothing = Forest.build(train, distance, n_trees=4, present=np.zeros(500, dtype=bool))
    assert (nothing.query(queries, 2)[0] == -1).all()


def test_vector_gives_rows_as_they_came(distance: str) -> None:
    """Every row comes back unchanged as float32, and only rows that exist do."""
    train = make_vectors(distance, 50, 70, 1)
    forest = Forest.build(train, distance, n_trees=1)
    rows = np.array([forest.vector(row) for row in range(50)])
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, train)
    for row in (-1, 50):
        with pytest.raises(ValueError, match=f"row: got {row}; it is an integer from 0 to 49"):
            forest.vector(row)
    with pytest.raises(TypeError, match=r"row: got 1\.5"):
        forest.vector(1.5)  # type: ignore[arg-type]


def test_a_forest_tells_what_it_is() -> None:
    """Properties, len, repr and info agree with what was asked for, and pickling is refused with advice."""
    forest = Forest.build(make_vectors("dot", 300, 8, 1), "dot", n_trees=7, seed=5)
    info = forest.info()
    assert (forest.distance, forest.dimension, forest.n_trees, len(forest)) == ("dot", 8, 7, 300)
    assert info == {
        "kind": "forest",
        "distance": "dot",
        "dimension": 8,
        "rows": 300,
        "present": 300,
        "n_trees": 7,
        "seed": 5,
        "code_width": 64,
        "nodes": 0,
        "boughs": 7,
        "leaves": 7 * 10,
        "tuned": [],
        "size_bytes": forest.size_bytes,
    }
    assert repr(forest) == f"<Forest of 7 trees over 300 x 8 dot, {forest.size_bytes / 1e6:.1f} MB>"
    with pytest.raises(TypeError, match=r"save\(\) it"):
        pickle.dumps(forest)
    with pytest.raises(TypeError, match=r"Forest\.build"):
        Forest()


def test_build_info_names_compiler_and_flags() -> None:
    """The module tells how it was built; contraction is off, or sums would differ between machines."""
    info = engine.build_info()
    assert {"version", "compiler", "flags", "build_type", "isa", "file_version"} == set(info)
    assert info["isa"] in ("portable", "avx2", "avx512")
    assert "-ffp-contract=off" in info["flags"]
    assert "-march" not in info["flags"]


@settings(max_examples=80)
@given(data=st.data())
def test_any_rows_any_parameters(data: st.DataObject) -> None:
    """For any rows (few values, so ties and equal rows abound) and parameters the answer is valid and honest.

    Ids are distinct and in range, as many as there can be; distances are those of the rows named, and rise;
    and a full search has the smallest ones.
    """
    name = data.draw(st.sampled_from(DISTANCES))
    n, dimension = data.draw(st.integers(1, 100)), data.draw(st.integers(1, 70))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    values = rng.integers(-2, 3, size=(n + 2, dimension))
    vectors = values > 0 if name in BIT_DISTANCES else values.astype(np.float32)
    train, queries = vectors[:n], vectors[n:]
    n_trees, k = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 120))
    present = np.ones(n, dtype=bool) if data.draw(st.booleans()) else rng.random(n) < 0.7
    present[data.draw(st.integers(0, n - 1))] = True
    forest = Forest.build(
        train,
        name,
        n_trees=n_trees,
        present=present,
        seed=data.draw(st.integers(0, 2**64 - 1)),
        threads=data.draw(st.integers(1, 3)),
    )
    for search_k in (1, None, n_trees * n):  # the last one looks at everything
        rerank = data.draw(st.none() | st.integers(1, 60))
        threads = data.draw(st.integers(1, 2))
        ids, distances = forest.query(queries, k, search_k, rerank=rerank, threads=threads)
        found = min(int(present.sum()), k)
        assert (ids[:, :found] >= 0).all()
        assert present[ids[:, :found]].all()
        assert (ids[:, found:] == -1).all()
        assert all(len(set(row[:found])) == found for row in ids.tolist())
        expected = distances_to_rows(name, queries, train, ids)
        np.testing.assert_allclose(distances, expected, rtol=1e-5, atol=1e-6)
        assert (np.diff(distances[:, :found], axis=1) >= 0).all()
    kth = np.sort(exact_distances(name, queries, train[present]), axis=1)[:, :found]
    np.testing.assert_allclose(distances[:, :found], kth, rtol=1e-5, atol=1e-6)
    assert not math.isnan(float(distances[0, 0]))
