"""The history: whole lines, read with care, and what of a sweep goes into one."""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from filelock import FileLock

from ann_bench import history, results
from ann_bench.errors import ResultsError
from ann_bench.history import FILE_NAME, Entry, append, read, sweep_entry
from tests.entries import make_entry, make_history, make_state
from tests.measurements import make_measurement
from tests.records import make_curve, make_failure, make_record

DAMAGED = [
    (b'{"schema_version": 1, "when"', "damaged, no JSON"),
    (b"\xff\xfe", "damaged, no JSON"),
    (b"[" * 100_000, "damaged, no JSON"),
    (b"[1]", "a list, not a mapping"),
    (b'{"schema_version": 2}', "schema_version is 2, this ann_bench reads 1"),
    (b"{}", "schema_version is None, this ann_bench reads 1"),
    (b'{"schema_version": 1}', "lacks algorithms, cpu, dataset, harness, k, kind, mode, when"),
]


def all_of(folder):
    """Return the entries of a folder in which no line may be passed over."""
    return read(folder, on_skip=pytest.fail)


def changed(entry, **changes):
    """Return the line of an entry with some of its parts changed."""
    return json.dumps(entry.model_dump() | changes).encode()


def test_what_is_appended_is_read_back(tmp_path):
    """Entries come back equal and in order, names that are no Unicode included, and the folder is made."""
    odd = make_entry({"caf\udce9\nx": make_state(None)}, label="größer\n")
    entries = [*make_history([1.0, 2.0]), odd]
    for entry in entries:
        append(tmp_path / "new" / "results", entry)
    assert all_of(tmp_path / "new" / "results") == entries
    assert (tmp_path / "new" / "results" / FILE_NAME).read_bytes().count(b"\n") == 3


def test_a_folder_without_history_has_no_entries(tmp_path):
    """Neither the file nor the folder has to be there."""
    assert all_of(tmp_path) == all_of(tmp_path / "nowhere") == []


def test_a_comparison_has_its_verdict_change_and_interval(tmp_path):
    """All three come back; without a verdict, or with an interval of one end, it is no comparison."""
    told = {"verdict": "pass", "change": 1.03, "interval": [1.01, 1.05]}
    append(tmp_path, make_entry(kind="comparison", **told))
    (entry,) = all_of(tmp_path)
    assert {name: getattr(entry, name) for name in told} == told
    with pytest.raises(ValueError, match="a comparison has one"):
        make_entry(kind="comparison")
    with pytest.raises(ValueError, match="interval"):
        make_entry(kind="comparison", **(told | {"interval": [1.01]}))


def test_parts_that_a_later_version_adds_are_kept(tmp_path):
    """An entry with parts that nobody knows yet is read, and tells them when it is written again."""
    append(tmp_path, Entry(**make_entry().model_dump(), weather="rain"))
    assert all_of(tmp_path)[0].model_dump()["weather"] == "rain"


@pytest.mark.parametrize(("line", "reason"), DAMAGED, ids=[reason for _, reason in DAMAGED])
def test_a_damaged_line_is_passed_over_and_named(tmp_path, line, reason):
    """The lines around it are read; one message gives file, line number and reason."""
    path = tmp_path / FILE_NAME
    append(tmp_path, make_entry())
    path.write_bytes(path.read_bytes() + line + b"\n")
    append(tmp_path, make_entry(days=1))
    skipped = []
    assert read(tmp_path, on_skip=skipped.append) == [make_entry(), make_entry(days=1)]
    (message,) = skipped
    assert message.startswith(f"passed over {path}:2: ")
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"when": "2026-10-01"}, "when"),
        ({"k": "10"}, "k"),
        ({"kind": "poem"}, "kind"),
        ({"change": float("nan")}, "change"),
        ({"interval": [0.9, -1]}, "interval.1"),
    ],
)
def test_a_line_with_a_wrong_part_is_passed_over_and_names_it(tmp_path, changes, name):
    """A type or value that readers could not use is named with its part."""
    (tmp_path / FILE_NAME).write_bytes(changed(make_entry(), **changes))
    skipped = []
    assert read(tmp_path, on_skip=skipped.append) == []
    assert f":1: the line has a wrong {name} (" in skipped[0]


def test_a_torn_line_takes_no_other_along(tmp_path):
    """What is appended after a line that broke off begins on a line of its own."""
    (tmp_path / FILE_NAME).write_bytes(changed(make_entry())[:40])
    append(tmp_path, make_entry(days=1))
    skipped = []
    assert read(tmp_path, on_skip=skipped.append) == [make_entry(days=1)]
    assert len(skipped) == 1


def test_a_disk_that_takes_a_part_of_the_line_keeps_nothing_of_it(tmp_path, monkeypatch):
    """The error tells why, and the history is what it was."""
    append(tmp_path, make_entry())
    before, write = (tmp_path / FILE_NAME).read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:20]))
    with pytest.raises(ResultsError, match=re.escape(f"{FILE_NAME}: cannot add this run's line: No space")):
        append(tmp_path, make_entry(days=1))
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_folder_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    """A file where the folder should be ends in one line that names it, on writing and reading."""
    (tmp_path / "results").write_text("")
    with pytest.raises(ResultsError, match=r"results/history\.jsonl: cannot add this run's line"):
        append(tmp_path / "results", make_entry())
    with pytest.raises(ResultsError, match=r"results/history\.jsonl: cannot be read: Not a directory"):
        read(tmp_path / "results", on_skip=pytest.fail)


def test_runs_that_end_together_lose_no_line(tmp_path):
    """Eight writers at a time leave forty whole lines."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda day: append(tmp_path, make_entry(days=day)), range(40)))
    assert sorted(entry.when for entry in all_of(tmp_path)) == [make_entry(days=d).when for d in range(40)]


def test_another_run_that_holds_the_lock_is_waited_for_but_not_for_ever(tmp_path, monkeypatch):
    """After the time for that an error says so."""
    monkeypatch.setattr(history, "_LOCK_SECONDS", 0.05)
    with FileLock(tmp_path / ".history.lock"), pytest.raises(ResultsError, match="lock"):
        append(tmp_path, make_entry())


def test_the_measurements_beside_it_are_found_as_ever(tmp_path):
    """A scan of the results passes the history by without a word."""
    results.write(make_measurement(), tmp_path)
    append(tmp_path, make_entry())
    assert len(results.scan(tmp_path, on_skip=pytest.fail)) == 1


def test_a_sweep_tells_qps_at_each_target_with_its_interval():
    """It is read off the frontier, its ends along the same settings; a recall not reached is null."""
    records = make_curve("hnswlib", (0.7, 0.9, 0.97))
    entry = sweep_entry(records, preset="quick", commit="c0ffee")
    state = entry.algorithms["hnswlib"]
    at_90, at_95, at_99 = (state.qps_at[target] for target in ("0.9", "0.95", "0.99"))
    assert at_90.model_dump() == pytest.approx({"qps": 12_000, "low": 12_000 * 0.97, "high": 12_000 * 1.03})
    assert 5_000 < at_95.qps < 12_000
    assert at_95.low == pytest.approx(at_95.qps * 0.97)
    assert at_99 is None
    assert (entry.kind, entry.k, entry.mode, entry.preset) == ("sweep", 10, "single", "quick")
    assert (entry.harness.commit, entry.cpu) == ("c0ffee", "Testcore 9000 @ 3.00GHz")
    assert entry.dataset.sha256 == records[0]["dataset"]["sha256"]


def test_an_interval_holds_its_qps_where_intervals_overlap():
    """A noisy setting whose lower end another's beats stays part of the frontier that is read."""
    noisy = {"qps_low": 10.0, "qps_high": 9_000.0}
    records = [
        make_record(recall=0.8, qps=9_000.0),
        make_record(recall=0.95, qps=5_000.0, metrics=noisy),
        make_record(recall=0.99, qps=4_900.0),
    ]
    at_95 = sweep_entry(records, preset="quick", commit=None).algorithms["hnswlib"].qps_at["0.95"]
    assert at_95.model_dump() == pytest.approx({"qps": 5_000.0, "low": 10.0, "high": 9_000.0})


def test_a_setting_without_interval_leaves_qps_without():
    """Where an end is unknown it is null; qps is told."""
    record = make_record(recall=0.95, metrics={"qps_low": None, "qps_high": None})
    at_95 = sweep_entry([record], preset="quick", commit=None).algorithms["hnswlib"].qps_at["0.95"]
    assert at_95.qps == pytest.approx(10_000.0)
    assert (at_95.low, at_95.high) == (None, None)


def test_the_state_of_the_engine_is_the_commit_it_was_measured_at():
    """Of another library it is the version; the newest measurement counts."""
    engine = make_record("engine-forest", minutes=5)
    engine["algorithm"]["library"] = "ann_bench"
    states = sweep_entry([engine, make_record("annoy", version="1.17.3")], preset="quick", commit="later")
    assert states.algorithms["engine-forest"].state == "0123456789"
    assert states.algorithms["annoy"].state == "1.17.3"
    assert states.algorithms["engine-forest"].measured == engine["started"]


def test_settings_agree_whatever_the_library_and_differ_with_what_was_asked():
    """A new build of a library, in any order, keeps the hash; another grid or k changes it."""

    def settings(records):
        entry = sweep_entry(records, preset="quick", commit=None)
        return entry.algorithms["hnswlib"].settings

    curve = make_curve("hnswlib")
    relabelled = make_curve("hnswlib", label="after")[::-1]
    for record in relabelled:
        record["identity"] |= {"library": "another", "cpu": "another", "wrapper": "another", "seed": 2}
        record["identity"].pop("library_digest")
    for record in curve:
        record["identity"].pop("library_digest")
    assert settings(curve) == settings(relabelled)
    assert len({settings(curve), settings(curve[1:]), settings(make_curve("hnswlib", k=11))}) == 3


def test_an_algorithm_that_failed_is_there_without_speeds():
    """Its line tells that it was measured and reached nothing."""
    entry = sweep_entry([make_failure("hnswlib")], preset="quick", commit=None)
    assert set(entry.algorithms["hnswlib"].qps_at.values()) == {None}
