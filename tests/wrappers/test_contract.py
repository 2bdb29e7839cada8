"""Every wrapper whose library is installed, in its environment: what it must do, and what it says it cannot.

After `ann-bench install NAME`, `pytest tests/wrappers -k NAME` checks what is in that environment, with
`--definitions DIR` that of a folder outside the project. Memory is watched as long as --watch-memory says.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ann_bench.config import LIMITS, Algorithm, load_algorithms
from ann_bench.environments import describe
from tests.wrappers import started
from tests.wrappers.check_wrapper import Check
from tests.wrappers.started import DIMENSION, check_contract, make_spec, show_limit

LEFT_TO_CHANCE = {"varying_answers"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that takes an `algorithm` all of them, with each of their distances, limits or bounds."""
    if "algorithm" not in metafunc.fixturenames:
        return
    (aspect,) = {"distance", "limit", "bound"} & set(metafunc.fixturenames)
    algorithms = load_algorithms(metafunc.config.getoption("definitions")).values()
    cases = [(algorithm, case) for algorithm in algorithms for case in _cases(algorithm, aspect)]
    ids = [f"{algorithm.name}-{case}" for algorithm, case in cases]
    metafunc.parametrize(("algorithm", aspect), cases, ids=ids)


def _cases(algorithm: Algorithm, aspect: str) -> Iterator[str]:
    if aspect == "distance":
        yield from algorithm.distances
    elif aspect == "limit":
        yield from (limit for limit in algorithm.limits if limit not in LEFT_TO_CHANCE)
    else:
        yield from algorithm.needs.model_dump(exclude_unset=True)


@pytest.fixture
def python(algorithm: Algorithm, pytestconfig: pytest.Config) -> Path:
    """Return the interpreter of the algorithm's environment; skip where it is not installed."""
    environment = describe(algorithm.environment, pytestconfig.getoption("definitions"))
    if environment.python is None or environment.state != "ready":
        pytest.skip(f"{algorithm.environment}: {environment.reason}")
    return environment.python


def dimension_for(algorithm: Algorithm) -> int:
    """Return 64, or what is nearest to it of the dimensions that the algorithm takes."""
    return min(max(DIMENSION, algorithm.needs.min_dimension), algorithm.needs.max_dimension)


def test_a_wrapper_keeps_the_contract(
    algorithm: Algorithm, distance: str, python: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """In its library's environment, for each distance, all holds that `Check.contract` looks for."""
    spec = make_spec(algorithm, distance, dimension_for(algorithm))
    if distance == algorithm.distances[0]:
        spec["memory_s"] = pytestconfig.getoption("watch_memory")
    check_contract(spec, python, tmp_path)


def test_what_a_library_cannot_do_it_still_cannot(
    algorithm: Algorithm, limit: str, python: Path, tmp_path: Path
) -> None:
    """Each limit shows at one distance at least, without a crash unless its reason says `crashes`."""
    for distance in algorithm.distances:
        folder = tmp_path / distance
        folder.mkdir()
        if show_limit(limit, make_spec(algorithm, distance, dimension_for(algorithm)), python, folder):
            return
    pytest.fail(
        f"{limit}: does not show any more ({algorithm.limits[limit]}); take it out of algorithms.yaml"
    )


def test_a_dimension_that_a_library_does_not_take_it_still_does_not(
    algorithm: Algorithm, bound: str, python: Path, tmp_path: Path
) -> None:
    """One dimension fewer than it needs, or more than it takes, ends in an error or in wrong answers."""
    outside = getattr(algorithm.needs, bound) + (-1 if bound == "min_dimension" else 1)
    spec = make_spec(algorithm, algorithm.distances[0], outside)
    shown = show_limit("needs", spec, python, tmp_path)
    assert shown, f"{bound}: {outside} works as well; change it in algorithms.yaml"


def test_every_limit_is_asked_for() -> None:
    """What an entry may declare can be shown by the check, but for what depends on chance."""
    assert {limit for limit in LIMITS if not hasattr(Check, limit)} == LEFT_TO_CHANCE


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
    "TwoThreads": "searching.* with one thread took",
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


def test_a_wrapper_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed in time, and that is what is said of it."""
    monkeypatch.setattr(started, "TIMEOUT_S", 1.0)
    with pytest.raises(AssertionError, match="contract: did not end within 1 s"):
        check_contract(broken("Hangs"), Path(sys.executable), tmp_path)


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
