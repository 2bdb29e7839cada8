"""A comparison from end to end, with stand-ins for a library."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ann_bench import config
from ann_bench.compare import points, protocol, session, survey
from ann_bench.compare.launch import Launch
from ann_bench.compare.points import Points, Searched
from ann_bench.compare.session import Outcome, run_comparison
from ann_bench.compare.sides import Workshop
from ann_bench.compare.store import read
from ann_bench.compare.summary import history_entry
from ann_bench.compare.survey import Asked
from ann_bench.compare.verdict import Verdict
from ann_bench.datasets import Dataset
from ann_bench.errors import InvalidComparisonError, SideError
from ann_bench.machine import allowed_cpus
from ann_bench.supervised import Commands
from tests.small_datasets import small_dataset_of

DEFINITIONS = Path(__file__).parent / "definitions"
Compare = Callable[..., Outcome]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """200 rows and 30 queries in 4 dimensions, with exact answers."""
    return small_dataset_of(200, 30)


@pytest.fixture
def compare(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compare:
    """Return a function that compares two of the stand-ins, with blocks and launches that take no time."""
    monkeypatch.setenv("ANN_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(protocol, "BLOCK_NS", 200_000)
    monkeypatch.setattr(protocol, "UNRECORDED_NS", 100_000)
    monkeypatch.setattr(protocol, "LAUNCH_NS", 1)
    monkeypatch.setattr(protocol, "TAKEN_SHARE", 2.0)
    monkeypatch.setattr(protocol, "STOLEN_S", 1e9)
    monkeypatch.setattr(survey, "_LEAST_CPU_SHARE", 0.0)  # so short a look may have waited for its core

    def run(
        base: str = "partial",
        new: str = "partial",
        *,
        launched: Callable[[Launch, Verdict], None] = lambda _launch, _verdict: None,
        **changes: Any,
    ) -> Outcome:
        algorithms = config.load_algorithms([DEFINITIONS])
        sides = [
            Workshop(algorithms[name], [DEFINITIONS], Commands(allowed_cpus())).installed()
            for name in (base, new)
        ]
        asked = Asked(
            dataset=dataset,
            k=5,
            cpu=allowed_cpus()[-1],
            preset="default",
            targets=(0.85, 0.95),
            margin=0.02,
            builds=1,
            seed=1,
            most_launches=8,
            clock=None,
            timeout_s=None,
            memory_limit_bytes=None,
        )
        return run_comparison(
            replace(asked, **changes), *sides, tmp_path / "results", report=print, launched=launched
        )

    return run


def test_a_comparison_is_on_disk_launch_by_launch(compare: Compare, tmp_path: Path) -> None:
    """A launch is in the file when it is told of, and the file alone gives the verdict that came out."""
    written: list[int] = []
    told: list[Verdict] = []

    def launched(_launch: Launch, verdict: Verdict) -> None:
        (path,) = (tmp_path / "results" / "comparisons").glob("*.jsonl")
        written.append(len(read(path).launches))
        told.append(verdict)

    outcome = compare(launched=launched)
    assert not outcome.interrupted
    assert outcome.recorded is not None
    assert written == list(range(1, 9))
    assert read(outcome.recorded.path).verdict() == told[-1]


def test_a_launch_holds_three_workers_in_balanced_quads(compare: Compare) -> None:
    """A quarter of the quads hold BASE against itself, each pair has its quads, and both orders occur."""
    recorded = compare().recorded
    assert recorded is not None
    quads = [quad for launch in recorded.launches for quad in launch.quads]
    pairs = len(recorded.points[0].base)
    assert {quad.pair for quad in quads if not quad.control} == set(range(pairs))
    controls = sum(quad.control for quad in quads)
    assert controls * pairs == (len(quads) - controls) * -(-pairs // 3)
    assert {quad.swapped for quad in quads} == {False, True}
    assert all(len(quad.cpu_ns) == len(quad.wall_ns) == 4 and min(quad.cpu_ns) > 0 for quad in quads)


def test_recall_is_counted_and_like_answers_are_told(compare: Compare) -> None:
    """Settings have the recall of the share that they look at, and sides alike give identical answers."""
    recorded = compare().recorded
    assert recorded is not None
    assert recorded.plan["identical"] is True
    for setting in recorded.points[0].base:
        assert setting.recall == pytest.approx(setting.query["share"], abs=0.08)
    assert recorded.plan["in_process"] is True
    assert recorded.plan["clock"] == "cpu"


def test_batches_are_compared_as_single_queries_are(
    compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In looks and blocks a library gets so many queries at once, never one, and the recalls are the same."""
    monkeypatch.setattr(session, "BATCH_QUERIES", 8)
    batches = compare("partial-batch", "partial-batch", batch=True).recorded
    assert batches is not None
    assert (batches.mode, batches.plan["protocol"]["queries_per_call"]) == ("batch", 8)
    assert all(quad.queries % 8 == 0 for launch in batches.launches for quad in launch.quads)
    assert batches.points[0].answers == 24 * 5
    for setting in batches.points[0].base:
        assert setting.recall == pytest.approx(setting.query["share"], abs=0.08)
    assert batches.plan["in_process"] is True
    assert history_entry(batches).mode == "batch"


def test_one_half_of_the_queries_chooses_and_the_other_is_reported(
    compare: Compare, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings are chosen by their recall on a random half; workers time, and the points tell, the other."""
    order = np.random.default_rng(1).permutation(30)
    original = points.choose
    chosen_from: list[list[Searched]] = []
    timed: list[Any] = []

    def choose(base: list[Searched], *others: Any, **named: Any) -> Points:
        chosen_from.append(base)
        return original(base, *others, **named)

    class Launches(protocol.Launches):
        def __init__(self, *parts: Any) -> None:
            timed.extend([np.load(parts[2].order.queries), parts[3]])
            super().__init__(*parts)

    monkeypatch.setattr(points, "choose", choose)
    monkeypatch.setattr(session, "Launches", Launches)
    recorded = compare(halves=True).recorded
    assert recorded is not None
    (found,) = chosen_from
    for half, settings in ((order[:15], found), (order[15:], recorded.points[0].base)):
        for setting in settings:
            seen = int(setting.query["share"] * dataset.n)
            right = (dataset.neighbors[half, :5] < seen).sum()
            assert setting.recall == pytest.approx(right / (15 * 5))
    assert len({setting.recall for setting in found}) > 1
    assert np.array_equal(timed[0], dataset.test[order[15:]])
    assert timed[1] == 15
    assert recorded.points[0].answers == 15 * 5
    assert recorded.plan["protocol"]["tuning_queries"] == 15


def test_halves_of_indexes_that_differ_by_luck(compare: Compare) -> None:
    """Further indexes, and the luck with a single one, are looked at with the reported half."""
    several = compare("shuffled", "shuffled-elsewise", halves=True, builds=2).recorded
    single = compare("shuffled", "shuffled-elsewise", halves=True).recorded
    assert several is not None
    assert single is not None
    assert [points.answers for points in several.points] == [15 * 5] * 2
    assert len(single.points[0].luck) == 1 + len(single.points[0].recalls)


def test_a_damaged_index_in_the_cache_is_built_anew(compare: Compare, tmp_path: Path) -> None:
    """What a full disk left of the facts about an index is not taken for them."""
    compare(seed=3)
    for facts in (tmp_path / "cache").rglob("facts.json"):
        facts.write_text("", encoding="utf-8")
    assert compare(seed=3).recorded is not None


def test_an_index_can_be_named(compare: Compare) -> None:
    """The side of that algorithm is built with the parameters asked for, the other as its preset says."""
    recorded = compare(new="partial-waits", build={"partial-waits": {"kind": "Other"}}).recorded
    assert recorded is not None
    built = {name: side["build"] for name, side in recorded.plan["sides"].items()}
    assert built == {"base": {"kind": "Release"}, "new": {"kind": "Other"}}


def test_several_builds_are_made_by_turns_and_their_costs_compared(compare: Compare) -> None:
    """With --builds 2 the launches take the indexes in turn, and both builds' costs are kept."""
    recorded = compare(builds=2).recorded
    assert recorded is not None
    assert [launch.build for launch in recorded.launches] == [0, 1] * 4
    assert len(recorded.points) == 2
    assert all(len(recorded.plan["sides"][side]["costs"]) == 2 for side in ("base", "new"))


def test_where_answers_differ_luck_with_an_index_is_told_from_change(compare: Compare) -> None:
    """Sides that differ by chance get an index for each launch, without being asked to."""
    recorded = compare("shuffled", "shuffled-elsewise", builds=None).recorded
    assert recorded is not None
    assert recorded.plan["identical"] is False
    assert [launch.build for launch in recorded.launches] == list(range(8))
    assert not recorded.points[0].luck


def test_one_index_of_each_side_leaves_room_for_luck(compare: Compare) -> None:
    """With --builds 1 the points tell what drawing the queries anew does to the change."""
    luck = compare("shuffled", "shuffled-elsewise").recorded
    none = compare("partial", "partial", builds=None).recorded
    assert luck is not None
    assert none is not None
    assert len(luck.points[0].luck) == 1 + len(luck.points[0].recalls)
    assert all(value > 0 for value in luck.points[0].luck)
    assert not none.points[0].luck
    assert none.plan["builds"] == 1


def test_a_side_that_waits_is_not_taken_for_one_that_is_disturbed(
    compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that sleeps by itself keeps its quads, and does not pass by its CPU time."""
    monkeypatch.setattr(protocol, "TAKEN_SHARE", 0.1)
    recorded = compare(new="partial-waits").recorded
    assert recorded is not None
    visits = [quad for launch in recorded.launches for quad in launch.quads if not quad.control]
    assert sum(quad.disturbed for quad in visits) < len(visits) / 2
    assert recorded.verdict("cpu").name != "pass"


def test_a_library_that_cannot_save_is_built_by_each_worker(compare: Compare) -> None:
    """It is compared all the same."""
    recorded = compare("partial-unsaved", "partial-unsaved").recorded
    assert recorded is not None
    assert len(recorded.launches) == 8


def test_an_index_is_built_once_for_each_side(compare: Compare, capsys: pytest.CaptureFixture[str]) -> None:
    """A second comparison finds the index of the first."""
    compare(seed=2)
    assert "building the index" in capsys.readouterr().out
    compare(seed=2)
    assert "building the index" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("base", "new", "error", "said"),
    [
        ("partial", "partial-debug", InvalidComparisonError, "NEW is a build of type Debug"),
        ("partial-coarse", "partial", InvalidComparisonError, "BASE reaches"),
        ("partial", "partial-crash", SideError, "exit status 7"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    compare: Compare, base: str, new: str, error: type[Exception], said: str
) -> None:
    """A debug build, sides without a recall in common, a side that crashes: an error that tells which."""
    with pytest.raises(error, match=said):
        compare(base, new)


def test_a_library_without_batches_is_not_compared_in_them(compare: Compare) -> None:
    """As in a sweep, the error says what the wrapper lacks; single queries do not stand in for a batch."""
    with pytest.raises(SideError, match="start: the wrapper has no query_batch, which --batch needs"):
        compare("partial-batch", "partial", batch=True)


def test_on_a_core_that_is_never_ours_it_ends_soon(compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each quad of the first launches is disturbed no more are made, and the verdict helps."""
    monkeypatch.setattr(protocol, "STOLEN_S", -1.0)
    recorded = compare(most_launches=32).recorded
    assert recorded is not None
    assert len(recorded.launches) == 8
    verdict = recorded.verdict()
    assert (verdict.name, verdict.exit_code) == ("inconclusive", 3)
    assert "--cpus" in verdict.reason


def test_an_interrupt_keeps_the_launches_that_are_over(compare: Compare) -> None:
    """After Ctrl-C in the third launch's wake three launches are on disk, and can be judged."""

    def launched(launch: Launch, _verdict: Verdict) -> None:
        if launch.number == 2:
            os.kill(os.getpid(), signal.SIGINT)

    outcome = compare(launched=launched)
    assert outcome.interrupted
    assert outcome.recorded is not None
    assert 3 <= len(outcome.recorded.launches) <= 4
    assert outcome.recorded.verdict().name in ("inconclusive", "invalid", "pass", "regression")
