"""Comparisons on disk: whole, cut short, damaged; and the verdict that follows from what is there."""

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ann_bench.cli.against_text import as_json
from ann_bench.compare.launch import Launch
from ann_bench.compare.points import Points
from ann_bench.compare.store import Recorded, Store, read
from ann_bench.compare.verdict import judge
from ann_bench.errors import ResultsError
from tests.compare.plans import make_plan
from tests.compare.simulated import Machine

Write = Callable[..., Recorded]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes so many launches of a machine."""

    def run(count: int = 8, plan: dict[str, Any] | None = None, **of_a_machine: Any) -> Recorded:
        store = Store(tmp_path / "results", plan or make_plan())
        for launch in islice(Machine(3, **of_a_machine).launches(), count):
            store.add(launch)
        return store.recorded

    return run


def test_what_was_written_is_read_again(write: Write, tmp_path: Path) -> None:
    """Plan, launches and the verdict on them come back; the file's name tells when, on what and what."""
    written = write()
    assert written.path == tmp_path / "results" / "comparisons" / (
        "20261102T093015-points_a_b-engine-forest.jsonl"
    )
    found = read(written.path)
    assert found == written
    assert found.plan == {"schema_version": 1, **make_plan()}
    assert found.verdict() == written.verdict()


def test_each_launch_is_on_disk_at_once(tmp_path: Path) -> None:
    """After the plan, and after each launch, what the file holds is what was told so far."""
    store = Store(tmp_path, make_plan())
    assert read(store.recorded.path).launches == []
    for number, launch in enumerate(islice(Machine(1).launches(), 3)):
        store.add(launch)
        assert read(store.recorded.path) == store.recorded
        assert len(store.recorded.launches) == number + 1


@pytest.mark.parametrize(
    ("slowdown", "verdict"),
    [(0.0, "pass"), (0.05, "regression"), (-0.05, "pass"), (0.02, "inconclusive")],
)
def test_the_verdict_can_be_computed_from_what_is_told(write: Write, slowdown: float, verdict: str) -> None:
    """From the file, and from the JSON that is printed, whoever judges comes to what was printed."""
    recorded = write(slowdown=slowdown)
    printed = json.loads(json.dumps(as_json(recorded, interrupted=False), allow_nan=False))
    assert printed["verdict"] == verdict
    assert read(recorded.path).verdict() == recorded.verdict()
    plan = printed["plan"]
    again = judge(
        [Launch.from_json(launch) for launch in printed["launches"]],
        [Points.from_json(points) for points in plan["points"]],
        clock=plan["clock"],
        margin=plan["margin"],
    )
    assert again == recorded.verdict()
    assert (again.name, again.exit_code, again.reason, again.word) == tuple(
        printed[key] for key in ("verdict", "exit_code", "reason", "word")
    )


def test_a_biased_order_is_invalid_when_recomputed_too(write: Write) -> None:
    """A control that fails is in the file as well."""
    recorded = write(later=0.05, balanced=False)
    assert (read(recorded.path).verdict().name, recorded.verdict().exit_code) == ("invalid", 4)


def test_comparisons_of_before_there_were_batches_are_read(write: Write) -> None:
    """A plan that says nothing of a mode is of single queries."""
    path = write(0).path
    plan = json.loads(path.read_bytes())
    del plan["mode"]
    path.write_text(json.dumps(plan) + "\n", encoding="utf-8")
    assert (read(path).mode, read(path).asked) == ("single", "one query at a time")


def test_another_clock_can_be_asked_for(write: Write) -> None:
    """The plan's clock counts, unless another is named."""
    recorded = write(8)
    for quad in (quad for launch in recorded.launches for quad in launch.quads if not quad.control):
        of_new = [(place in (1, 2)) != quad.swapped for place in range(4)]
        quad.wall_ns = [2 * ns if new else ns for ns, new in zip(quad.cpu_ns, of_new, strict=True)]
    change, by_wall = recorded.verdict().change, recorded.verdict("wall").change
    assert change is not None
    assert by_wall is not None
    assert by_wall.change == pytest.approx(change.change - np.log(2), abs=1e-9)


def test_a_last_launch_that_is_cut_short_is_passed_over(write: Write) -> None:
    """Wherever in its last line a file ends, the launches before it are read, and the whole line with it."""
    recorded = write(3)
    path = recorded.path
    content = path.read_bytes()
    last = content.rstrip(b"\n").rindex(b"\n") + 1
    for end in {*range(last, len(content), 97), last + 1, len(content) - 2}:
        path.write_bytes(content[:end])
        assert read(path).launches == recorded.launches[:2]
    path.write_bytes(content[:-1])
    assert read(path).launches == recorded.launches
    path.write_bytes(content[:last] + b"\0" * 40)
    assert read(path).launches == recorded.launches[:2]
    path.write_bytes(content[:last] + b"\xff\xfe")
    assert read(path).launches == recorded.launches[:2]


def test_a_file_cut_short_in_its_plan_is_none(write: Write) -> None:
    """Without its plan a file is no comparison, and says so with its line; an empty one too."""
    path = write(0).path
    content = path.read_bytes()
    for end in (1, 100, len(content) - 2):
        path.write_bytes(content[:end])
        with pytest.raises(ResultsError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}:1: is no JSON (")
    path.write_bytes(b"")
    with pytest.raises(ResultsError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: is empty; it is no comparison"


QUAD = {"pair": 0, "control": False, "swapped": False, "queries": 9, "cpu_ns": [1] * 4, "wall_ns": [1] * 4}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "is no JSON"),
        (b"{", "is no JSON"),
        (b"\xff", "is no JSON"),
        (b"null", "is no part of a comparison"),
        (b"[]", "is no part of a comparison"),
        (b"{}", "is no part of a comparison"),
        (json.dumps({"number": 1, "build": 1, "quads": []}).encode(), "is no part of a comparison"),
        (json.dumps({"number": 1, "build": 0, "quads": [QUAD | {"pair": 4}]}).encode(), "pair 4 of 4"),
        (json.dumps({"number": 1, "build": 0, "quads": [QUAD | {"pair": -1}]}).encode(), "pair -1 of 4"),
        (
            json.dumps({"number": 1, "build": 0, "quads": [QUAD | {"cpu_ns": [1] * 3}]}).encode(),
            "of 4 visits",
        ),
        (
            json.dumps({"number": 1, "build": 0, "quads": [QUAD | {"wall_ns": [1, 1, 0, 1]}]}).encode(),
            "of 4 vis",
        ),
        (json.dumps({"number": 1, "build": 0, "quads": [QUAD | {"wall_ns": ["1"] * 4}]}).encode(), "no part"),
        (json.dumps({"number": 1, "build": 0, "quads": [QUAD], "other": 1}).encode(), "is no part"),
    ],
)
def test_damage_before_the_last_line_is_told_with_its_line(write: Write, line: bytes, says: str) -> None:
    """A launch that is no launch is an error that names file and line, and is not passed over."""
    path = write(3).path
    lines = path.read_bytes().splitlines()
    lines[2] = line
    path.write_bytes(b"\n".join([*lines, b""]))
    with pytest.raises(ResultsError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema_version": 2}, ": is no comparison of version 1"),
        ({"schema_version": None}, ": is no comparison of version 1"),
        ({"points": None}, ":1: is no part of a comparison"),
        (
            {"points": [{"base": [], "new": [], "targets": [], "window": [0.9], "answers": 1}]},
            ":1: is no part",
        ),
    ],
)
def test_a_plan_that_is_none_is_told(write: Write, changes: dict[str, Any], says: str) -> None:
    """Another version, or a plan without what a verdict needs, is an error that names the file."""
    path = write(0).path
    path.write_text(json.dumps({"schema_version": 1, **make_plan()} | changes) + "\n", encoding="utf-8")
    with pytest.raises(ResultsError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}{says}")


def test_no_comparison_is_written_over(write: Write) -> None:
    """A second one of the same second is refused; the first is as it was."""
    first = write(2)
    content = first.path.read_bytes()
    with pytest.raises(ResultsError, match=r"jsonl: cannot be written: File exists$"):
        write(2)
    assert first.path.read_bytes() == content


def test_a_folder_that_takes_nothing_is_told(tmp_path: Path) -> None:
    """A results folder that is a file, and a comparison that is not there, are errors of results."""
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match=r"cannot be written: "):
        Store(tmp_path / "file", make_plan())
    with pytest.raises(ResultsError, match=r"nothing\.jsonl: cannot be read: No such file or directory$"):
        read(tmp_path / "nothing.jsonl")
