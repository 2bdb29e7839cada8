"""`ann-bench index`: what it tells of a saved index, and how it fails."""

import json
from pathlib import Path

import numpy as np
import pytest

from ann_bench.cli.main import main
from ann_bench.engine import Forest


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a saved forest of 3 trees over 1,500 vectors of 10 values; the terminal has 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    train = np.random.default_rng(1).standard_normal((1500, 10), dtype=np.float32)
    path = tmp_path / "my.index"
    Forest.build(train, "angular", n_trees=3, seed=5000).save(path)
    return path


def info(index: Path, capsys: pytest.CaptureFixture[str]) -> dict:
    """Return what `info --json` prints."""
    assert main(["index", "info", str(index), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def damage(path: Path, at: int) -> None:
    """Change a byte of the file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_info_tells_kind_facts_and_sections_in_80_columns(
    index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kind, size, facts of the index, and a line per section with its place; nothing goes over the edge."""
    assert main(["index", "info", str(index)]) == 0
    output = capsys.readouterr().out
    lines = output.splitlines()
    assert max(len(line) for line in lines if not line.startswith("file ")) <= 80
    told = dict(line.split(maxsplit=1) for line in lines[: lines.index("")])
    size = index.stat().st_size
    assert told["file"] == str(index)
    assert told["kind"] == "forest, file version 3.0"
    assert told["size"] == f"{size:,} bytes, {size / 1500:,.1f} a row"
    facts = {"distance": "angular", "dimension": "10", "rows": "1,500", "n_trees": "3", "seed": "5000"}
    assert {name: told[name] for name in facts} == facts
    for section in info(index, capsys)["sections"]:
        assert any(line.split()[:2] == [section["name"], f"{section['offset']:,}"] for line in lines)


def test_json_tells_the_same_with_checksums(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sections lie in the file one after another, and their checksums follow from the content."""
    told = info(index, capsys)
    assert told["kind"] == "forest"
    assert told["bytes"] == index.stat().st_size
    assert told["bytes_per_row"] == told["bytes"] / 1500
    assert told["facts"] == Forest.open(index).info()
    end = 4096
    for section in told["sections"]:
        assert section["offset"] >= end
        assert section["bytes"] == section["elements"] * section["element_bytes"]
        end = section["offset"] + section["bytes"]
    assert end <= told["bytes"]
    assert all(len(section["xxh3_64"]) == 16 for section in told["sections"])
    assert len({section["xxh3_64"] for section in told["sections"]}) == len(told["sections"])


def test_a_kind_of_index_that_is_not_known_is_described_all_the_same(
    index: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without facts the sections are still told, and no rows are counted."""
    from ann_bench.engine import _native

    described = _native.describe_file(bytes(index)) | {"kind": "kind 9"}
    monkeypatch.setattr(_native, "describe_file", lambda path: described)
    told = info(index, capsys)
    assert told["facts"] is None
    assert told["bytes_per_row"] is None
    assert main(["index", "info", str(index)]) == 0
    output = capsys.readouterr().out
    assert "kind 9" in output
    assert "a row" not in output


def test_verify_finds_every_damaged_section(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A whole file is said to be whole; one changed bit gives exit 1 and its section's name and place."""
    assert main(["index", "verify", str(index)]) == 0
    assert capsys.readouterr().out == f"{index}: whole, every checksum is right\n"
    for section in info(index, capsys)["sections"]:
        place, end = section["offset"], section["offset"] + section["bytes"]
        for at in (place, end - 1):
            damage(index, at)
            assert main(["index", "verify", str(index)]) == 1
            assert capsys.readouterr().err == (
                f'ann-bench: error: {index}: section "{section["name"]}" is damaged '
                f"(bytes {place} to {end}): its checksum is wrong\n"
            )
            assert main(["index", "info", str(index)]) == 0
            capsys.readouterr()
            damage(index, at)
    assert main(["index", "verify", str(index)]) == 0


@pytest.mark.parametrize("command", ["info", "verify"])
def test_what_is_no_index_gets_one_clear_line(
    index: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing file, a folder, another file, a short one, a damaged header: one line each, exit code 1."""
    whole = index.read_bytes()

    def complaint(path: Path) -> str:
        assert main(["index", command, str(path)]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        start = f"ann-bench: error: {path}: "
        assert captured.err.startswith(start)
        assert captured.err.count("\n") == 1
        return captured.err.removeprefix(start).rstrip("\n")

    assert complaint(index.parent / "nothing") == "No such file or directory"
    assert complaint(index.parent) == "not a regular file"
    index.write_text("some notes of mine")
    assert complaint(index) == "not an index of ann_bench"
    index.write_bytes(whole[:1000])
    assert complaint(index) == "too short to be an index: 1000 bytes"
    index.write_bytes(whole[:-1])
    assert complaint(index) == (
        f"{len(whole) - 1} bytes, but the header tells of {len(whole)}: the file was cut off or added to"
    )
    index.write_bytes(whole)
    damage(index, 2000)
    assert complaint(index) == "the header's checksum is wrong"
