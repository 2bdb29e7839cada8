"""What single wrappers promise beyond the contract that `test_contract.py` holds all of them to."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ann_bench.config import Algorithm, expand, load_algorithms
from ann_bench.distances import distances_to
from ann_bench.paths import PACKAGE
from tests.wrappers import check_wrapper

ALGORITHMS = load_algorithms()
K = 10
Vectors = npt.NDArray[np.generic]


def make_wrapper(algorithm: Algorithm, distance: str, train: Vectors) -> tuple[Any, dict[str, Any]]:
    """Return the algorithm's wrapper as the worker prepares it, and its most thorough quick query setting."""
    wrapper = check_wrapper.load_class(str(algorithm.wrapper_path), algorithm.wrapper_class)()
    group = expand(algorithm, "quick", distance=distance, dimension=train.shape[1], k=K).builds[0]
    wrapper.distance = distance
    wrapper.dimension = train.shape[1]
    wrapper.train = train
    wrapper.build_parameters = group.build
    wrapper.threads = 1
    wrapper.seed = 1
    return wrapper, group.queries[-1]


def recall(distance: str, train: Vectors, queries: Vectors, answers: Any) -> float:
    """Return the share of answers no farther than the k-th nearest row; each answer has k different rows."""
    everything = np.tile(np.arange(len(train)), (len(queries), 1))
    kth = np.sort(distances_to(distance, queries, train, everything), axis=1)[:, K - 1 : K]
    ids = np.array([list(answer) for answer in answers])
    assert ids.shape == (len(queries), K)
    assert all(len(set(row)) == K for row in ids.tolist())
    return float((distances_to(distance, queries, train, ids) <= kth + 1e-6 * abs(kth)).mean())


@pytest.mark.parametrize("name", ["bruteforce", "sklearn-brute", "sklearn-kd-tree", "sklearn-ball-tree"])
def test_a_row_of_zeros_is_at_a_right_angle_to_everything(name: str) -> None:
    """By angle a row of zeros comes after the rows within a right angle and before those beyond it."""
    train = np.array([[1, 0], [-1, 1], [0, 0], [-1, 0], [0.1, 1]], dtype=np.float32)
    wrapper, parameters = make_wrapper(ALGORITHMS[name], "angular", train)
    wrapper.build(train, "angular", 1, **wrapper.build_parameters)
    wrapper.set_query(1, **parameters)
    query = np.array([3, 0], dtype=np.float32)
    assert list(wrapper.query(query, 5)) == [0, 4, 2, 1, 3]
    assert list(wrapper.query_batch(query[None], 5)[0]) == [0, 4, 2, 1, 3]


def test_brute_force_is_exact_where_float32_is_not() -> None:
    """Rows far from the origin and near each other are still ranked rightly."""
    rng = np.random.default_rng(1)
    train = (1000 + rng.normal(size=(400, 30)) * 0.05).astype(np.float32)
    queries = (1000 + rng.normal(size=(20, 30)) * 0.05).astype(np.float32)
    wrapper, _ = make_wrapper(ALGORITHMS["bruteforce"], "euclidean", train)
    wrapper.build(train, "euclidean", 1)
    assert recall("euclidean", train, queries, wrapper.query_batch(queries, K)) == 1.0


def test_the_do_nothing_wrapper_answers_at_once() -> None:
    """What measures the harness's own cost returns one id, singly and in batch, and is listed nowhere."""
    wrapper = check_wrapper.load_class(str(PACKAGE / "wrappers" / "do_nothing.py"), "DoNothing")()
    vectors = np.zeros((3, 2), dtype=np.float32)
    wrapper.build(vectors, "euclidean", 1)
    wrapper.set_query(1)
    assert list(wrapper.query(vectors[0], 10)) == [0]
    assert np.array(wrapper.query_batch(vectors, 10)).tolist() == [[0], [0], [0]]
    assert "do-nothing" not in ALGORITHMS


@pytest.mark.parametrize(
    "path",
    [*sorted((PACKAGE / "wrappers").glob("*.py")), *sorted(Path(__file__).parent.glob("check_*.py"))],
    ids=lambda path: path.name,
)
def test_a_wrapper_is_python_3_7(path: Path) -> None:
    """Wrappers, and what checks them, run in old environments: their syntax is that of Python 3.7."""
    import ast

    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 7))
