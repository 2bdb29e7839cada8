"""The benchmark of native/bench from end to end, on the set that ships with us, with tiny settings."""

import json
from pathlib import Path
from typing import Any

import pytest

import against
import open_time
import table
from ann_bench.environments import describe

TARGET = 0.6


def run_against(folder: Path, *opponents: str) -> list[Any]:
    """Return the comparisons of a short run with that cache; they are in its found.json too."""
    file = folder / "found.json"
    against.main([
        "--quick", "--opponent", *opponents, "--recall", f"{TARGET}", "--set", "n_trees=5",
        "--queries", "100", "--launches", "1", "--rounds", "1", "--cache", f"{folder}", "--json", f"{file}",
    ])  # fmt: skip
    found: list[Any] = json.loads(file.read_text())["comparisons"]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which a short run of the engine against itself has been."""
    folder = tmp_path_factory.mktemp("bench")
    run_against(folder, "engine-forest")
    return folder


def test_the_engine_against_itself_is_as_large_as_itself(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both sides take the same index, the settings enclose the recall, and a visit times two settings."""
    (comparison,) = run_against(folder, "engine-forest")
    ours, theirs = comparison["ours"], comparison["theirs"]
    assert ours == theirs
    low, high = (point["recall"] for point in ours["enclosing"])
    assert low <= TARGET <= high
    assert ours["facts"]["bytes"] > 25_000 * 400
    assert [row for row in capsys.readouterr().out.splitlines() if "bytes" in row and "1.00 x" in row]
    (launch,) = comparison["timed"]
    (quad,) = launch
    order = [visit["side"] for visit in quad]
    assert order in ([0, 1, 1, 0], [1, 0, 0, 1])
    assert all(len(visit["cpu_us"]) == 2 and min(visit["cpu_us"]) > 0 for visit in quad)


def test_an_index_is_built_and_swept_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run takes both from the cache, adds nothing to it, and its file prints the same table."""
    before = sorted(path.name for path in folder.rglob("*"))
    run_against(folder, "engine-forest")
    told = capsys.readouterr()
    assert "timing engine-forest" in told.err
    assert "building" not in told.err
    assert "sweeping" not in told.err
    assert sorted(path.name for path in folder.rglob("*")) == before
    table.main([f"{folder / 'found.json'}"])
    assert capsys.readouterr().out == told.out


def test_annoy_is_compared_in_its_own_environment(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Against Annoy there are ratios of speed, bytes and build CPU; skipped where it is not installed."""
    if describe("annoy").state != "ready":
        pytest.skip("annoy is not installed: ann-bench install annoy")
    (comparison,) = run_against(folder, "annoy")
    assert comparison["theirs"]["build"].keys() == {"n_trees"}
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("qps", "bytes", "build CPU"))


def test_what_cannot_be_compared_says_why(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recall that no setting reaches is a line in the table, and no failure."""
    against.main([
        "--quick", "--opponent", "engine-forest", "--recall", "1.01", "--set", "n_trees=5", "--queries", "20",
        "--cache", f"{folder}",
    ])  # fmt: skip
    assert "not compared: none of the engine's settings reaches this recall" in capsys.readouterr().out


def test_an_index_opens_and_is_shared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The script about opening prints both times, and that two processes hold one copy of the file."""
    open_time.main([
        "--dataset", "glove-100-angular-25k", "--processes", "2", "--sharers", "2", "--set", "n_trees=5",
        "--cache", f"{folder}",
    ])  # fmt: skip
    printed = capsys.readouterr().out
    assert "open and first query" in printed
    assert next(line for line in printed.splitlines() if "2 processes" in line).endswith("one copy  yes")
