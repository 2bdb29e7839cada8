"""Two results folders against each other."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ann_bench import results
from ann_bench.compare.findings import Comparison, Margins, RatioChange, as_plain
from ann_bench.compare.matching import Side
from ann_bench.compare.stored import compare
from ann_bench.datasets import Dataset
from ann_bench.errors import InvalidComparisonError
from tests.compare.folders import COSTS, QUERIES, K, fill, write_dataset
from tests.records import make_failure

Filled = Callable[..., Path]


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Return a dataset that lies where the harness looks for it."""
    monkeypatch.setenv("ANN_BENCH_DATA", str(tmp_path))
    return write_dataset(tmp_path)


@pytest.fixture
def filled(tmp_path: Path, dataset: Dataset) -> Filled:
    """Return a function that fills a further folder; what it takes goes to `fill`."""
    count = 0

    def make(**planted: Any) -> Path:
        nonlocal count
        count += 1
        return fill(tmp_path / f"results{count}", planted.pop("dataset", dataset), **planted)

    return make


def compared(base: Path, new: Path, **options: Any) -> Comparison:
    """Return what the comparison of two folders gives."""
    sides = [Side(str(folder), results.scan(folder, on_skip=pytest.fail)) for folder in (base, new)]
    return compare(*sides, **options)


def worse(comparison: Comparison) -> set[str]:
    """Return the names of what got worse."""
    changes = [change for found in comparison.findings for change in found.worse]
    return {change.quantity if isinstance(change, RatioChange) else "recall" for change in changes}


def ratios(comparison: Comparison) -> dict[str, RatioChange]:
    """Return the ratios of the only algorithm by quantity, those of times too."""
    (found,) = comparison.findings
    return {change.quantity: change for change in (*found.ratios, *found.times)}


def test_a_folder_against_itself_passes_with_no_change_at_all(filled):
    """Every ratio is exactly 1, every difference of recall exactly 0, and all of them are there."""
    folder = filled(builds=(4, 8), slowdown=1.37)
    comparison = compared(folder, folder)
    assert (comparison.verdict, comparison.exit_code) == ("pass", 0)
    assert {change.ratio for change in ratios(comparison).values()} == {1.0}
    assert ratios(comparison).keys() == {*COSTS, "qps"}
    recalls = comparison.findings[0].recalls
    assert len(recalls) == 1 + 8
    assert {(r.change, r.low, r.high, r.queries) for r in recalls} == {(0.0, 0.0, 0.0, QUERIES)}


@pytest.mark.parametrize("cost", [name for name in COSTS if name != "build_wall_ns"])
def test_ten_percent_more_of_a_cost_fail_and_nothing_else_does(filled, cost):
    """Each gated cost fails on its own, with the ratio that was planted; the other way round it is better."""
    base, new = filled(), filled(factors={cost: 1.1})
    comparison = compared(base, new)
    assert comparison.exit_code == 1
    assert worse(comparison) == {cost}
    assert ratios(comparison)[cost].ratio == pytest.approx(1.1)
    back = compared(new, base)
    assert back.exit_code == 0
    assert ratios(back)[cost].decision == "better"


def test_one_percent_less_recall_fails_alone(filled):
    """A loss of 0.01 is found on average and at each setting, within its interval; the gain is better."""
    unknown = {"distance_computations": None}  # at equal recall there would be more of them
    base, new = filled(costs=unknown), filled(costs=unknown, lost=0.01)
    comparison = compared(base, new)
    assert comparison.exit_code == 1
    assert worse(comparison) == {"recall"}
    for change in comparison.findings[0].recalls:
        assert change.change == pytest.approx(-0.01, abs=1e-9)
        assert change.low < change.change < change.high < 0
        assert change.decision == "worse"
    assert {change.decision for change in compared(new, base).findings[0].recalls} == {"better"}


def test_less_recall_at_equal_work_costs_more_distances_at_equal_recall(filled):
    """Distances are compared at equal recall: settings as expensive as before that find less are worse."""
    comparison = compared(filled(), filled(lost=0.02))
    assert {part.at for part in ratios(comparison)["distance_computations"].parts} == {0.9, 0.95}
    assert worse(comparison) == {"recall", "distance_computations"}


def test_recall_is_the_metric_of_that_name(filled):
    """What is compared query by query is on average what the records hold."""
    base, new = filled(), filled(lost=0.03)
    stored = [
        {str(r["build"] | r["query"]): r["metrics"]["recall"] for r in results.scan(f, on_skip=pytest.fail)}
        for f in (base, new)
    ]
    for change in compared(base, new).findings[0].recalls[1:]:
        assert [change.base, change.new] == pytest.approx([held[str(change.setting)] for held in stored])


def test_intervals_of_several_settings_hold_jointly(filled):
    """The same change of the same setting has a wider interval among four settings than alone."""

    def half_widths(*efs: int) -> dict[str, float]:
        base, new = filled(efs=efs), filled(efs=efs, lost=0.01)
        changes = compared(base, new).findings[0].recalls
        return {str(change.setting): change.high - change.change for change in changes}

    alone, among = half_widths(20), half_widths(10, 20, 40, 80)
    setting = str({"M": 4, "ef": 20})
    assert alone[setting] == pytest.approx(alone["None"])
    assert among[setting] == pytest.approx(alone[setting] * 2.514 / 1.968, rel=1e-3)


def test_a_loss_that_the_queries_cannot_show_is_no_regression_but_unclear(filled):
    """Where few queries lose by luck the interval holds 0: no regression, and marked as unclear."""
    few = {"asked": 12, "efs": (20,)}
    comparison = compared(filled(**few), filled(lost=0.01, **few))
    assert comparison.verdict == "pass"
    for change in comparison.findings[0].recalls:
        assert change.change <= -0.005
        assert change.unclear


def test_margins_are_those_that_were_given(filled):
    """What the default margins fail, wider ones let pass."""
    base, new = filled(), filled(lost=0.01, factors=dict.fromkeys(COSTS, 1.1))
    assert compared(base, new).exit_code == 1
    assert compared(base, new, margins=Margins(ratio=0.5, recall=0.05)).exit_code == 0


def test_what_is_read_off_a_process_has_a_margin_of_at_least_five_percent(filled):
    """4 % more in resident figures pass at any margin, and fail in saved bytes."""
    resident = ("index_bytes_resident", "build_peak_bytes", "search_peak_bytes")
    base = filled()
    assert compared(base, filled(factors=dict.fromkeys(resident, 1.04))).exit_code == 0
    assert worse(compared(base, filled(factors=dict.fromkeys(COSTS, 1.04)))) == {
        *("index_bytes_saved", "index_bytes_reported", "distance_computations")
    }


def test_time_is_shown_and_never_gated(filled):
    """Twice the time for queries and for builds passes; the ratios tell it, without a decision."""
    comparison = compared(filled(), filled(slowdown=2.0, factors={"build_wall_ns": 2.0}))
    assert comparison.exit_code == 0
    speed, build = comparison.findings[0].times
    assert (speed.quantity, build.quantity) == ("qps", "build_wall_ns")
    assert [speed.ratio, build.ratio] == pytest.approx([0.5, 2.0])
    assert (speed.decision, build.decision) == (None, None)


@pytest.mark.parametrize("cpu", ["Othercore 1", None])
def test_time_from_another_processor_is_left_out_and_said(filled, cpu):
    """Times of two processors, or of an unknown one, are not held against each other; the rest is."""
    (found,) = compared(filled(), filled(machine={"cpu": cpu})).findings
    assert found.times == ()
    (remark,) = found.remarks
    assert remark == (
        "time: left out, as it is not from one processor: BASE on Testcore 9000 @ 3.00GHz; "
        f"NEW on {cpu or 'unknown'}"
    )
    assert found.ratios


def test_without_the_dataset_stored_recall_is_compared_and_that_is_said(filled, monkeypatch, tmp_path):
    """The decision then rests on the recall in the records, without intervals, and a remark says so."""
    base, new = filled(), filled(lost=0.01, costs={"distance_computations": None})
    monkeypatch.setenv("ANN_BENCH_DATA", str(tmp_path / "nothing"))
    comparison = compared(base, new)
    (found,) = comparison.findings
    assert worse(comparison) == {"recall"}
    assert {(change.low, change.high, change.queries) for change in found.recalls} == {(None, None, 0)}
    assert found.recalls[0].change == pytest.approx(-0.01)
    assert any("the dataset points is not at hand" in remark for remark in found.remarks)
    assert compared(base, base).exit_code == 0


def test_a_dataset_of_the_same_name_but_other_content_gives_no_intervals(filled, tmp_path):
    """Answers are never judged by vectors that they are not about."""
    base = filled()
    write_dataset(tmp_path, seed=4)
    assert {change.low for change in compared(base, base).findings[0].recalls} == {None}


def test_settings_of_one_side_are_named_and_not_compared(filled):
    """Only what both sides measured counts; the rest is listed under its side."""
    (found,) = compared(filled(), filled(builds=(4, 8), efs=(10, 20, 40))).findings
    assert found.matched == 3
    assert found.only_base == ({"M": 4, "ef": 80},)
    assert sorted(setting["ef"] for setting in found.only_new) == [10, 20, 40]
    assert {setting["M"] for setting in found.only_new} == {8}
    assert len(found.recalls) == 1 + 3


def failing(folder: Path, dataset: Dataset, kind: str) -> Path:
    """Add a newer measurement of one setting, which failed."""
    data = {"name": dataset.name, "sha256": dataset.sha256, "distance": "euclidean", "n": dataset.n}
    data |= {"queries": QUERIES, "queries_available": QUERIES}
    record = make_failure("hnswlib", kind, dataset=data, k=K, build={"M": 4}, query={"ef": 10}, minutes=9)
    results.write(results.Measurement(record), folder)
    return folder


def test_a_setting_that_broke_fails_unless_it_ran_out_of_time(filled, dataset):
    """What BASE measured and NEW crashed at ends with 5; a timeout, or a crash of BASE, does not."""
    base = filled()
    comparison = compared(base, failing(filled(), dataset, "memory"))
    assert (comparison.verdict, comparison.exit_code) == ("failed", 5)
    assert comparison.findings[0].broken == (({"M": 4, "ef": 10}, "memory in build"),)
    (late,) = compared(base, failing(filled(), dataset, "timeout")).findings
    assert (late.broken, late.only_base) == ((), ({"M": 4, "ef": 10},))
    broken = failing(filled(), dataset, "memory")
    assert compared(broken, base).exit_code == 0
    assert compared(broken, broken).exit_code == 0
    regressed = failing(filled(factors={"index_bytes_saved": 2}), dataset, "memory")
    assert compared(base, regressed).exit_code == 1


def test_the_newest_measurement_of_a_setting_counts(filled, dataset):
    """Older ones of the same setting, whatever their version, are not looked at."""
    base, new = filled(), filled(factors={"index_bytes_saved": 3})
    fill(new, dataset, version="2.0.0", minutes=5)
    assert compared(base, new).exit_code == 0
    assert compared(new, base).findings[0].base_versions == ("2.0.0",)


def test_settings_asked_fewer_queries_are_compared_on_those_that_both_were_asked(filled):
    """Recall is that of the common queries; distances and speed need the same ones."""
    (found,) = compared(filled(), filled(asked=100)).findings
    assert {(r.change, r.queries) for r in found.recalls} == {(0.0, 100)}
    assert "distance_computations" not in {change.quantity for change in found.ratios}
    assert any(remark.startswith("distance computations per query: not compared") for remark in found.remarks)


@pytest.mark.parametrize("target", [0.5, 0.999])
def test_targets_beyond_the_curves_are_replaced_and_that_is_said(filled, target):
    """With no target within both curves three recalls between their ends are taken instead."""
    base, new = filled(), filled(factors={"distance_computations": 1.1})
    comparison = compared(base, new, targets=(target,))
    parts = ratios(comparison)["distance_computations"].parts
    assert len(parts) == 3
    assert all(0.7 < part.at < 0.98 for part in parts)
    assert worse(comparison) == {"distance_computations"}
    assert any("distance computations per query: at recall" in r for r in comparison.findings[0].remarks)


def test_an_exact_algorithm_with_one_setting_is_compared_at_its_recall(filled):
    """One setting on each side makes a curve of one point; more work there is found."""
    base, new = filled(efs=(20,)), filled(efs=(20,), factors={"distance_computations": 1.1})
    assert worse(compared(base, new)) == {"distance_computations"}


def test_curves_without_a_common_recall_are_not_compared(filled):
    """Where one side's only setting finds more than the other's there is no equal recall."""
    (found,) = compared(filled(efs=(20,)), filled(efs=(20,), lost=0.05)).findings
    assert "distance_computations" not in {change.quantity for change in found.ratios}
    assert any("no recall lies within the frontiers of both sides" in remark for remark in found.remarks)


def test_costs_that_one_side_does_not_tell_are_not_compared(filled):
    """A size that is null or 0 on one side has no ratio."""
    comparison = compared(filled(), filled(costs={"index_bytes_saved": None, "index_bytes_resident": 0}))
    assert not {"index_bytes_saved", "index_bytes_resident"} & ratios(comparison).keys()


def test_other_datasets_of_one_name_are_invalid(filled, dataset, tmp_path):
    """A name that stands for other content on the other side is an error with both contents."""
    (tmp_path / "other").mkdir()
    other = write_dataset(tmp_path / "other", seed=4)
    with pytest.raises(InvalidComparisonError) as error:
        compared(filled(), filled(dataset=other))
    assert str(error.value) == (
        "points is not the same dataset on both sides: "
        f"BASE has 200 rows, 300 queries, sha256 {dataset.sha256[:12]}; "
        f"NEW has 200 rows, 300 queries, sha256 {other.sha256[:12]}; "
        "measure both on the same, or choose another with --dataset"
    )
    assert error.value.exit_code == 4


def test_contents_of_one_name_are_kept_apart(filled, dataset, tmp_path):
    """Where a side holds two datasets of one name, each is compared with its own counterpart only."""
    (tmp_path / "other").mkdir()
    other = write_dataset(tmp_path / "other", seed=4)
    base, new = filled(), filled()
    fill(new, other, factors={"index_bytes_saved": 2}, minutes=5)
    assert compared(base, new).exit_code == 0
    fill(base, other)
    assert [len(found.worse) for found in compared(base, new).findings] in ([0, 1], [1, 0])


@pytest.mark.parametrize(
    "change", [{"algorithm": "annoy"}, {"mode": "batch"}, {"threads": 2}, {"builds": (16,)}], ids=str
)
def test_nothing_in_common_is_invalid(filled, change):
    """Sides that share no algorithm, mode, number of threads or setting are an error that names both."""
    with pytest.raises(InvalidComparisonError, match=r"in common: .*BASE has .*; NEW has "):
        compared(filled(), filled(**change))


def test_what_has_no_counterpart_is_named(filled, dataset):
    """An algorithm of one side alone is listed with its dataset; the rest is compared."""
    new = filled()
    fill(new, dataset, algorithm="annoy")
    comparison = compared(filled(), new)
    assert (comparison.only_base, comparison.only_new) == ((), ("annoy on points k=10 single",))
    assert comparison.verdict == "pass"


def test_an_unreadable_answer_is_invalid_and_no_regression(filled):
    """A file whose record is known but whose arrays are gone ends with 4, naming it."""
    base, new = filled(), filled()
    records = results.scan(new, on_skip=pytest.fail)
    path = Path(records[0]["path"])
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InvalidComparisonError, match=str(path)):
        compare(Side("base", results.scan(base, on_skip=pytest.fail)), Side("new", records))


def test_the_verdict_can_be_recomputed_from_the_figures(filled):
    """JSON holds each figure and margin; whoever applies the margins to the figures gets the decisions."""
    base, new = filled(), filled(lost=0.01, factors={"index_bytes_saved": 1.1, "search_peak_bytes": 0.8})
    plain = json.loads(json.dumps(as_plain(compared(base, new)), allow_nan=False))
    (found,) = plain["findings"]
    decisions = []
    for change in found["recalls"]:
        lost = change["change"] <= -change["margin"] and change["high"] < 0
        assert (change["decision"] == "worse") == lost
        decisions.append(lost)
    for change in found["ratios"]:
        ratio = np.exp(np.mean([np.log(part["new"] / part["base"]) for part in change["parts"]]))
        assert change["ratio"] == pytest.approx(ratio)
        assert (change["decision"] == "worse") == (ratio > 1 + change["margin"])
        decisions.append(change["decision"] == "worse")
    assert plain["exit_code"] == int(any(decisions)) == 1
    assert (plain["verdict"], plain["margins"]) == ("regression", {"ratio": 0.02, "recall": 0.005})
