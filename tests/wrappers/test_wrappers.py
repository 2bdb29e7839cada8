"""Every wrapper whose library is installed, in its own environment, against brute force."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ann_bench.config import LIMITS, Algorithm, expand, load_algorithms
from ann_bench.distances import distances_to
from ann_bench.environments import describe
from ann_bench.paths import PACKAGE
from tests.wrappers import check_wrapper
from tests.wrappers.started import DIMENSION, check_contract, make_spec, show_limit

ALGORITHMS = load_algorithms()
CASES = [(name, distance) for name, algorithm in ALGORITHMS.items() for distance in algorithm.distances]
LEFT_TO_CHANCE = {"varying_answers"}
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


def ready(algorithm: Algorithm) -> Path:
    """Return the interpreter of the algorithm's environment; skip where it is not installed."""
    environment = describe(algorithm.environment)
    if environment.python is None or environment.state != "ready":
        pytest.skip(f"{algorithm.environment}: {environment.reason}")
    return environment.python


def dimension_for(algorithm: Algorithm) -> int:
    """Return 64, or what is nearest to it of the dimensions that the algorithm takes."""
    return min(max(DIMENSION, algorithm.needs.min_dimension), algorithm.needs.max_dimension)


@pytest.mark.parametrize(("name", "distance"), CASES)
def test_a_wrapper_keeps_the_contract(
    name: str, distance: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """In its library's environment, for each distance, all holds that `Check.contract` looks for.

    After `ann-bench install`, `pytest tests/wrappers` checks the libraries with environments of their own.
    Memory is watched at the first distance, as long as --watch-memory says.
    """
    algorithm = ALGORITHMS[name]
    spec = make_spec(algorithm, distance, dimension_for(algorithm))
    if distance == algorithm.distances[0]:
        spec["memory_s"] = pytestconfig.getoption("watch_memory")
    check_contract(spec, ready(algorithm), tmp_path)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        (name, limit)
        for name in ALGORITHMS
        for limit in ALGORITHMS[name].limits
        if limit not in LEFT_TO_CHANCE
    ],
)
def test_what_a_library_cannot_do_it_still_cannot(name: str, limit: str, tmp_path: Path) -> None:
    """Each limit shows at one distance at least, without a crash unless its reason says `crashes`."""
    algorithm = ALGORITHMS[name]
    python = ready(algorithm)
    shown = False
    for distance in algorithm.distances:
        folder = tmp_path / distance
        folder.mkdir()
        spec = make_spec(algorithm, distance, dimension_for(algorithm))
        shown = shown or bool(show_limit(limit, spec, python, folder))
    assert shown, (
        f"{limit}: does not show any more ({algorithm.limits[limit]}); take it out of algorithms.yaml"
    )


@pytest.mark.parametrize(
    ("name", "bound"),
    [(name, bound) for name in ALGORITHMS for bound in ALGORITHMS[name].needs.model_fields_set],
)
def test_a_dimension_that_a_library_does_not_take_it_still_does_not(
    name: str, bound: str, tmp_path: Path
) -> None:
    """One dimension fewer than it needs, or more than it takes, ends in an error or in wrong answers."""
    algorithm = ALGORITHMS[name]
    outside = getattr(algorithm.needs, bound) + (-1 if bound == "min_dimension" else 1)
    spec = make_spec(algorithm, algorithm.distances[0], outside)
    shown = show_limit("needs", spec, ready(algorithm), tmp_path)
    assert shown, f"{bound}: {outside} works as well; change it in algorithms.yaml"


def test_every_limit_is_asked_for() -> None:
    """What an entry may declare can be shown by the check, but for what depends on chance."""
    assert {limit for limit in LIMITS if not hasattr(check_wrapper.Check, limit)} == LEFT_TO_CHANCE


BROKEN = {
    "GivesTheLastTwice": "query 0: no 10 different rows",
    "Backwards": "answers are not in order",
    "Mingles": "answers are not in order",
    "SkipsTheNearest": "recall .* is below 0.9",
    "SkipsTheNearestOfOne": "k = 1 gets a near row for",
    "Hesitates": "the same queries get other answers",
    "ReturnsOneArray": "returns the same array each time",
    "MixesUpABatch": "a batch gets other answers\n",
    "LeavesOutOfABatch": "59 answers came back for 60 queries",
    "ScribblesOnABatch": "a batch changed the queries",
    "ReadsABatchByColumns": "a batch gets other answers if it is column-wise",
    "ReadsBytes": "a query gets other answers if it is strided",
    "MarksWhatIsReadOnly": "changed a read-only query",
    "ReadsRowsByBytes": "with rows that are column-wise: ",
    "SharesItsIndex": "with two indexes the first one gives other answers",
    "ClosesAll": "when another index is closed this one gives other answers",
    "ForgetsSome": "query 0: no 12 different rows",
    "RefusesOne": "one row is too few",
    "Crashes": "exit status -6",
    "LosesZeros": "query 0: no|not in order|recall",
    "SavesNothing": "left nothing at the path",
    "LoadsAnother": "the loaded index gives other answers",
    "Scribbles": "changed the queries",
    "ScribblesOnRows": "changed the rows",
    "TwoThreads": "searching with one thread took",
    "Leaks": "grew by",
    "Prints": "printed while searching: hello",
    "StartsProcesses": "started processes while searching",
    "Deletes": "deleted tmp",
    "Quits": "exit status 0",
}


def broken(name: str, **changes: Any) -> dict[str, Any]:
    """Return what the check has to know of a class in broken_wrappers.py, with fewer rows than usual."""
    return {
        "wrapper_path": str(Path(__file__).with_name("broken_wrappers.py")),
        "wrapper_class": name,
        "distance": "manhattan",
        "dimension": 16,
        "rows": 1200,
        **{name: {} for name in ("build", "query", "scant_build", "scant_query")},
        "recall": 0.9,
        "limits": {},
        "memory_s": 0.1,
        **changes,
    }


@pytest.mark.parametrize("name", BROKEN)
def test_a_wrapper_that_breaks_the_contract_is_found(name: str, tmp_path: Path) -> None:
    """Each of the things that the contract asks for is looked at."""
    with pytest.raises(AssertionError, match=BROKEN[name]):
        check_contract(broken(name), Path(sys.executable), tmp_path)


HAVING = {
    "min_rows": "RefusesOne",
    "zero_rows": "LosesZeros",
    "fewer_than_k": "ForgetsSome",
    "duplicates": "GivesTheLastTwice",
    "order": "Mingles",
    "prints": "Prints",
    "children": "StartsProcesses",
    "threads": "TwoThreads",
    "deleted_folders": "Deletes",
}


@pytest.mark.parametrize("limit", HAVING)
def test_a_limit_is_allowed_where_it_is_declared_and_shows_only_where_it_holds(
    limit: str, tmp_path: Path
) -> None:
    """A wrapper that has the limit keeps the contract with it and shows it; a sound one does not show it."""
    python = Path(sys.executable)
    spec = broken(HAVING[limit], limits={limit: "so it is"}, recall=0.8)
    for name in ("contract", "having", "sound"):
        (tmp_path / name).mkdir()
    check_contract(spec, python, tmp_path / "contract")
    assert show_limit(limit, spec, python, tmp_path / "having")
    assert not show_limit(limit, {**spec, "wrapper_class": "Sound"}, python, tmp_path / "sound")


def test_a_limit_may_end_the_process_where_its_reason_says_so(tmp_path: Path) -> None:
    """A crash is an outcome for who declares it, and a fault for who declares an error."""
    for name in ("declared", "other"):
        (tmp_path / name).mkdir()
    spec = broken("Crashes", limits={"min_rows": "crashes below 20 rows"})
    assert "exit status -6" in show_limit("min_rows", spec, Path(sys.executable), tmp_path / "declared")
    spec["limits"] = {"min_rows": "raises below 20 rows"}
    with pytest.raises(AssertionError, match="exit status -6"):
        show_limit("min_rows", spec, Path(sys.executable), tmp_path / "other")


def test_a_sound_wrapper_keeps_the_contract(tmp_path: Path) -> None:
    """What the broken ones are made of is not broken."""
    check_contract(broken("Sound"), Path(sys.executable), tmp_path)


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
