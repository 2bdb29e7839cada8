"""Whatever a library does, it is an outcome with a reason, and the sweep goes on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ann_bench import results
from ann_bench.runner.plan import Request
from ann_bench.runner.sweep import Outcome
from tests.runner.conftest import alive_below

Make = Callable[..., Request]
Sweep = Callable[[Request], Outcome]

FAILURES = [
    ("raises", "raised", "RuntimeError: the library says no"),
    ("exits", "exited", "the process ended itself with exit status 3"),
    ("calls exit", "exited", "the process ended itself with exit status 4"),
    ("segfaults", "signal", "the process was ended by SIGSEGV"),
    ("hangs", "timeout", "did not finish within 1 s"),
    ("closes descriptors", "exited", "closed its pipe to the harness"),
    ("raises in another code", "raised", "RuntimeError: caf\\udce9 \x1b[31mxxx"),
    ("changes query", "changed-input", "the library changed the query vectors it was given"),
    (
        "floats",
        "wrong-answer",
        "query 0: the answer is an array of shape (5,) and dtype float64; it is a row of integers (ids)",
    ),
    ("strings", "wrong-answer", "query 0: the answer is list"),
    ("nothing", "wrong-answer", "query 0: the answer is NoneType None; it is a row of integers (ids)"),
    ("too many", "wrong-answer", "10 ids came back where k = 5"),
    (
        "writes into the pipe",
        "wrong-answer",
        "something else than the worker wrote into the harness's pipe",
    ),
    ("one buffer", "wrong-answer", "query() returns the same array each time"),
]


@pytest.mark.parametrize(("misdeed", "kind", "text"), FAILURES)
def test_a_setting_that_fails_is_recorded_and_its_neighbour_is_measured(
    make_request: Make, sweep: Sweep, misdeed: str, kind: str, text: str
) -> None:
    """A misdeed in a query fails that setting with its reason; the other setting of the index is measured."""
    timeout = 1.0 if misdeed == "hangs" else 60.0
    outcome = sweep(make_request(in_query=(misdeed, "none"), timeout_s=timeout))
    records = {record["query"]["in_query"]: record for record in outcome.records}
    failure = records[misdeed]["failure"]
    assert (records[misdeed]["status"], failure["kind"]) == ("failed", kind)
    assert failure["text"].startswith(text)
    assert records["none"]["status"] == "ok"
    assert records["none"]["metrics"]["recall"] == 1.0


@pytest.mark.parametrize(
    ("misdeed", "kind"), [("raises", "raised"), ("segfaults", "signal"), ("changes rows", "changed-input")]
)
def test_a_build_that_fails_fails_all_its_settings(
    make_request: Make, sweep: Sweep, misdeed: str, kind: str
) -> None:
    """Each setting of an index that cannot be built gets the reason; the next index is built and measured."""
    outcome = sweep(make_request(in_build=(misdeed, "none"), in_query=("none", "unsteady")))
    failed = [record for record in outcome.records if record["status"] == "failed"]
    assert [record["build"]["in_build"] for record in failed] == [misdeed, misdeed]
    assert {(record["failure"]["kind"], record["failure"]["stage"]) for record in failed} == {(kind, "build")}
    assert len(outcome.records) == 4


def test_a_worker_that_outgrows_its_memory_is_ended(make_request: Make, sweep: Sweep) -> None:
    """The reason names what was used and the limit."""
    outcome = sweep(make_request(in_build=("memory",), memory_limit_bytes=400 * 2**20))
    failure = outcome.records[0]["failure"]
    assert (failure["kind"], failure["stage"]) == ("memory", "build")
    assert failure["text"].endswith("the limit is 400 MiB")


def test_the_last_log_lines_of_a_worker_that_ends_itself_are_kept(make_request: Make, sweep: Sweep) -> None:
    """What a library printed just before it ended its process is the most telling line there is."""
    outcome = sweep(make_request(in_build=("exits",)))
    assert outcome.records[0]["failure"]["log_tail"] == "cannot work on this processor"


PROBLEMS = [
    ("duplicates", "duplicates", "20 of 20 queries got one id more than once"),
    ("out of range", "out-of-range", "20 of 20 queries got ids that no row has"),
    ("too few", "fewer-than-k", "20 of 20 queries got fewer than 5 answers"),
    ("forks and returns", "children", "started processes of its own while it was searching"),
    ("forks", "children", "started processes of its own while it was searching"),
    ("deletes folders", "deleted-folders", "deleted its own folders: tmp, work"),
    ("writes to descriptor 1", "prints", "printed 13 bytes in a round of its search"),
]


@pytest.mark.parametrize(("misdeed", "kind", "text"), PROBLEMS)
def test_a_misdeed_that_can_be_measured_is_measured_and_reported(
    make_request: Make, sweep: Sweep, misdeed: str, kind: str, text: str
) -> None:
    """The measurement is kept and carries the problem; wrong ids score nothing."""
    (record,) = sweep(make_request(in_query=(misdeed,))).records
    assert record["status"] == "ok"
    assert record["problems"] == [{"kind": kind, "text": text}]
    expected = {"duplicates": 0.2, "out of range": 0.0, "too few": 0.8}.get(misdeed, 1.0)
    assert record["metrics"]["recall"] == pytest.approx(expected)


@pytest.mark.parametrize("misdeed", ["forks", "forks twice", "forks and returns"])
def test_no_process_outlives_its_worker(
    make_request: Make, sweep: Sweep, tmp_path: Path, misdeed: str
) -> None:
    """Also what a library started in a session of its own is ended with the worker."""
    sweep(make_request(in_query=(misdeed,)))
    assert alive_below(tmp_path) == []


def test_a_deleted_exchange_folder_fails_nothing(make_request: Make, sweep: Sweep) -> None:
    """The harness's own files are made again."""
    outcome = sweep(make_request(in_query=("deletes the exchange folder", "none")))
    assert [record["status"] for record in outcome.records] == ["ok", "ok"]


def test_settings_that_crash_take_no_other_with_them(make_request: Make, sweep: Sweep) -> None:
    """Where the index is saved every other setting is measured, however many end their worker."""
    crashes = ("exits", "calls exit", "segfaults", "closes descriptors")
    outcome = sweep(make_request("steady", in_query=("none", *crashes)))
    failed = {record["query"]["in_query"] for record in outcome.records if record["status"] == "failed"}
    assert failed == set(crashes)


def test_without_a_saved_index_it_is_built_again_only_so_often(make_request: Make, sweep: Sweep) -> None:
    """Each setting that is left out says that it was not its own fault; none that was measured is lost."""
    crashes = ("exits", "calls exit", "segfaults")
    outcome = sweep(make_request(in_query=("none", "unsteady", *crashes), rounds=1))
    for record in outcome.records:
        if record["query"]["in_query"] not in crashes and record["status"] == "failed":
            assert record["failure"]["text"].startswith(
                "not measured: other settings ended its worker 3 times"
            )
        else:
            assert (record["status"] == "failed") == (record["query"]["in_query"] in crashes)


def test_an_index_that_is_not_saved_is_told(make_request: Make, sweep: Sweep) -> None:
    """A save() that leaves nothing is a problem; all rounds are run on the index that was built."""
    (record,) = sweep(make_request("empty")).records
    assert record["launch_of_round"] == [0, 0]
    assert record["problems"] == [
        {"kind": "save", "text": "save: FileNotFoundError: save() left nothing at the path it was given"}
    ]


def test_a_declared_behaviour_is_no_problem(make_request: Make, sweep: Sweep) -> None:
    """What stands in the entry's `limits:` with its reason is not reported again."""
    (record,) = sweep(make_request(in_query=("too few",), limits={"fewer_than_k": "it is a test"})).records
    assert record["problems"] == []


def test_gigabytes_of_output_leave_a_megabyte_of_log(make_request: Make, sweep: Sweep) -> None:
    """The first and last 512 KiB are kept, and how much was left out is said."""
    (record,) = sweep(make_request(in_query=("prints gigabytes",), rounds=1)).records
    log = results.read(record["path"]).log
    assert 2**20 <= len(log) < 2**20 + 100
    assert f"[... {2**31 - 2**20:,} bytes left out ...]" in log
    assert record["problems"][0]["text"].startswith("printed 2,147,483,648 bytes")


def test_an_index_that_cannot_be_loaded_is_built_again(make_request: Make, sweep: Sweep) -> None:
    """All rounds are run, and the load's failure is reported."""
    (record,) = sweep(make_request("stubborn", rounds=4)).records
    assert record["launch_of_round"] == [0, 0, 2, 2]
    assert record["problems"] == [
        {"kind": "load", "text": "load: OSError: the file is of another version; the index was built again"}
    ]


def test_answers_that_differ_between_rounds_are_noted(make_request: Make, sweep: Sweep) -> None:
    """A library may be random; whoever reads the recall must know that it is the first round's."""
    (record,) = sweep(make_request(in_query=("unsteady",))).records
    assert record["problems"] == [
        {
            "kind": "varying-answers",
            "text": "answers differ from round to round; recall is that of the first",
        }
    ]
