"""Every wrapper whose library is installed, in its own environment, against brute force."""

import ctypes
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ann_bench.config import Algorithm, expand, load_algorithms
from ann_bench.distances import distances_to
from ann_bench.environments import describe
from ann_bench.paths import PACKAGE
from ann_bench.recipes import HARNESS
from ann_bench.runner.launch import THREAD_VARIABLES
from tests.wrappers import check_wrapper

ALGORITHMS = load_algorithms()
CASES = [(name, distance) for name, algorithm in ALGORITHMS.items() for distance in algorithm.distances]
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


@pytest.mark.parametrize(("name", "distance"), CASES)
def test_a_wrapper_keeps_the_contract(name: str, distance: str) -> None:
    """In its library's environment, for each distance, all holds that `check_wrapper.Check` looks for.

    After `ann-bench install`, `pytest tests/wrappers` checks the libraries with environments of their own.
    """
    algorithm = ALGORITHMS[name]
    environment = describe(algorithm.environment)
    if environment.state != "ready":
        pytest.skip(f"{algorithm.environment}: {environment.reason}")
    group = expand(algorithm, "quick", distance=distance, dimension=24, k=K).builds[0]
    spec = {
        "package": str(PACKAGE),
        "wrapper_path": str(algorithm.wrapper_path),
        "wrapper_class": algorithm.wrapper_class,
        "distance": distance,
        "build": group.build,
        "query": group.queries[-1],
        "limits": sorted(algorithm.limits),
        "floor": 1.0 if algorithm.family == "exact" else 0.9,
    }
    if algorithm.environment == HARNESS:
        wrapper_class = check_wrapper.load_class(spec["wrapper_path"], algorithm.wrapper_class)
        check_wrapper.Check(wrapper_class, spec).run()
        return
    done = subprocess.run(
        [str(environment.python), "-I", check_wrapper.__file__, json.dumps(spec)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={key: value for key, value in os.environ.items() if key not in THREAD_VARIABLES},
    )
    assert done.returncode == 0, done.stderr


def _broken_wrappers() -> dict[str, type]:
    """Return wrappers by what is said of them."""
    brute_force: Any = check_wrapper.load_class(str(PACKAGE / "wrappers" / "bruteforce.py"), "BruteForce")

    class Repeats(brute_force):
        def query(self, vector: Vectors, k: int) -> Any:
            return [super().query(vector, k)[0]] * k

    class Backwards(brute_force):
        def query(self, vector: Vectors, k: int) -> Any:
            return super().query(vector, k)[::-1]

    class SkipsTheNearest(brute_force):
        def query(self, vector: Vectors, k: int) -> Any:
            return super().query(vector, 3 * k)[2 * k :]

    class Hesitates(brute_force):
        calls = 0

        def query(self, vector: Vectors, k: int) -> Any:
            self.calls += 1
            return super().query(vector, 2 * k)[self.calls // 43 : k + self.calls // 43]

    class MixesUpABatch(brute_force):
        def query_batch(self, vectors: Vectors, k: int) -> Any:
            answers = super().query_batch(vectors, k)
            return answers if len(vectors) == 1 else answers[::-1]

    class LoadsAnother(brute_force):
        def save(self, path: str) -> None:
            pass

        def load(self, path: str) -> None:
            self.build(self.train[::-1], self.distance, self.threads)

    class ForgetsSome(brute_force):
        def query(self, vector: Vectors, k: int) -> Any:
            return super().query(vector, min(k, K))

    class Scribbles(brute_force):
        def build(self, train: Vectors, distance: str, threads: int) -> None:
            super().build(train.copy(), distance, threads)
            ctypes.memset(train.ctypes.data, 0, 4)

    return {
        "query 0: no 10 different rows": Repeats,
        "answers are not in order": Backwards,
        "is below 0.9": SkipsTheNearest,
        "the same queries get other answers": Hesitates,
        "a batch gets other answers": MixesUpABatch,
        "the loaded index gives other answers": LoadsAnother,
        "12 rows are not 12 answers": ForgetsSome,
        "changed the rows": Scribbles,
    }


@pytest.mark.parametrize("message", _broken_wrappers())
def test_a_wrapper_that_breaks_the_contract_is_found(message: str) -> None:
    """Each of the things that the contract asks for is looked at."""
    spec = {"distance": "manhattan", "build": {}, "query": {}, "limits": ["threads"], "floor": 0.9}
    with pytest.raises(AssertionError, match=message):
        check_wrapper.Check(_broken_wrappers()[message], spec).run()


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
    [*sorted((PACKAGE / "wrappers").glob("*.py")), Path(check_wrapper.__file__)],
    ids=lambda path: path.name,
)
def test_a_wrapper_is_python_3_7(path: Path) -> None:
    """Wrappers, and what checks them, run in old environments: their syntax is that of Python 3.7."""
    import ast

    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 7))
