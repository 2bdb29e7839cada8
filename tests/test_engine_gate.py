"""The project's own gate: what it makes of the ways in which a comparison can end."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from numpy import zeros

from ann_bench.compare.launch import Shown
from ann_bench.compare.points import Points
from ann_bench.compare.verdict import judge_changes

GATE = Path(__file__).parents[1] / ".ci" / "engine-gate"
pytestmark = pytest.mark.skipif(not GATE.is_file(), reason="the gate is in the repository only")

# Stands in for run.py: notes how it was called, prints what it is told to and ends as it is told to.
RUN = """
import json, pathlib, sys
pathlib.Path("called.json").write_text(json.dumps(sys.argv[1:]))
told = json.loads(pathlib.Path("told.json").read_text())
print("working", file=sys.stderr)
print("".join(json.dumps(verdict) + "\\n" for verdict in told["verdicts"]), end="")
sys.exit(told["code"])
"""


class Clone:
    """A made-up repository with the gate in it and a base that is its first commit."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / ".ci").mkdir()
        shutil.copy(GATE, root / ".ci" / "engine-gate")
        (root / "run.py").write_text(RUN, encoding="utf-8")
        self.git("init", "--quiet")
        self.commit("Begin")
        self.base = self.git("rev-parse", "HEAD").strip()
        self.write_base(f"{self.base}\n")
        self.commit("Go on")

    def git(self, *words: str) -> str:
        """Run git here, whatever the user's own configuration says."""
        who = {f"GIT_{role}_{what}": "x@y" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        environ = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        command = ["git", *words]
        return subprocess.run(
            command, cwd=self.root, env=environ, check=True, capture_output=True, text=True
        ).stdout

    def commit(self, message: str) -> None:
        """Add a commit without a change."""
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def write_base(self, text: str) -> None:
        """Say what the base is."""
        (self.root / ".ci" / "engine-base").write_text(text, encoding="utf-8")

    def gate(
        self, code: int = 0, *verdicts: dict[str, Any], flags: tuple[str, ...] = ()
    ) -> "subprocess.CompletedProcess[str]":
        """Run the gate on a comparison that ends so."""
        (self.root / "told.json").write_text(json.dumps({"code": code, "verdicts": verdicts}))
        command = [sys.executable, ".ci/engine-gate", *flags]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)

    @property
    def called(self) -> list[str] | None:
        """How run.py was called; None if it was not."""
        file = self.root / "called.json"
        return json.loads(file.read_text()) if file.exists() else None


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """Return a made-up clone."""
    return Clone(tmp_path)


def verdict(
    code: int, reason: str = "so it is", ratio: float = 1.0, at: float | None = None
) -> dict[str, Any]:
    """Return of a comparison's JSON what the gate reads."""
    return {
        "verdict": {0: "pass", 1: "regression", 3: "inconclusive", 4: "invalid"}[code],
        "exit_code": code,
        "reason": reason,
        "ratio": {"ratio": ratio, "low": ratio - 0.01, "high": ratio + 0.01},
        "at": {"0.95": {"ratio": at or ratio, "low": 0.9, "high": 1.1}},
        "control": {"ratio": 1.0, "low": 0.99, "high": 1.01},
        "plan": {"margin": 0.02},
    }


def test_the_base_is_compared_in_sixteen_launches(clone: Clone) -> None:
    """run.py is asked for the revision in the file and for JSON, with the flags that the gate was given."""
    ended = clone.gate(0, verdict(0, ratio=1.003), flags=("--results", "there"))
    assert ended.returncode == 0
    assert clone.called is not None
    asked = dict(zip(clone.called[::2], clone.called[1::2], strict=True))
    assert asked == {
        "--against": clone.base,
        "--launches": "16",
        "--format": "json",
        "--results": "there",
    }
    assert "1.003x [0.993, 1.013]" in ended.stdout
    assert ended.stderr == "working\n"


@pytest.mark.parametrize("text", [None, "", "\n", "0" * 40, "no-such-branch"])
def test_without_a_base_nothing_is_compared(clone: Clone, text: str | None) -> None:
    """No file, an empty one, or a revision that the clone lacks: it passes, and says that it skipped."""
    if text is None:
        (clone.root / ".ci" / "engine-base").unlink()
    else:
        clone.write_base(text)
    ended = clone.gate(1)
    assert (ended.returncode, clone.called) == (0, None)
    assert ended.stdout.startswith("engine gate: skipped: ")


def test_a_base_before_a_shallow_clone_is_skipped(clone: Clone, tmp_path: Path) -> None:
    """In a clone of the last commit alone the base is not there, and that is said."""
    shallow = tmp_path / "shallow"
    clone.git("clone", "--quiet", "--depth=1", f"file://{clone.root}", str(shallow))
    shutil.copytree(clone.root / ".ci", shallow / ".ci")
    ended = subprocess.run(
        [sys.executable, str(shallow / ".ci" / "engine-gate")], capture_output=True, text=True
    )
    assert ended.returncode == 0
    assert f"skipped: revision {clone.base} is not in this clone" in ended.stdout


def test_not_knowing_passes_with_a_warning(clone: Clone) -> None:
    """An inconclusive comparison does not fail the build."""
    ended = clone.gate(3, verdict(3))
    assert ended.returncode == 0
    assert "warning" in ended.stdout


def test_a_failed_control_passes_with_a_warning(clone: Clone) -> None:
    """Where BASE differs from itself, told as a comparison tells it, the build does not fail."""
    shown = [
        Shown(0.001 * number, zeros(1), 0.03 + 0.001 * number, zeros(1), zeros(1)) for number in range(16)
    ]
    found = judge_changes(shown, Points((), (), (0.95,), (0.95, 0.95), 1000), margin=0.02)
    assert found.exit_code == 4
    ended = clone.gate(4, verdict(4, found.reason))
    assert ended.returncode == 0
    assert "warning" in ended.stdout


@pytest.mark.parametrize(
    ("code", "verdicts"),
    [
        (4, []),
        (4, [verdict(4, "another reason")]),
        (4, [verdict(0)]),
        (5, []),
        (2, []),
        (130, [verdict(3)]),
        (1, []),
        (137, []),
    ],
)
def test_what_cannot_be_compared_fails(clone: Clone, code: int, verdicts: list[dict[str, Any]]) -> None:
    """Any other ending fails with the same status, also where commits accept any slowdown."""
    clone.commit("Slow down\n\nAccepts-slowdown: 99 whatever it takes")
    ended = clone.gate(code, *verdicts)
    assert ended.returncode == code
    assert f"failed: the comparison ended with {code}" in ended.stdout


def test_a_regression_fails_and_says_what_would_accept_it(clone: Clone) -> None:
    """Without a trailer it fails, and tells the one that would do."""
    ended = clone.gate(1, verdict(1, ratio=0.9666))
    assert ended.returncode == 1
    assert "Accepts-slowdown: 3.3 REASON" in ended.stdout


@pytest.mark.parametrize("trailer", ["3 exact ties", "3% exact ties", "3 % exact ties", "12.5% exact\n ties"])
def test_a_trailer_accepts_a_slowdown(clone: Clone, trailer: str) -> None:
    """A commit between base and HEAD that accepts as much makes a regression pass, and is named."""
    clone.commit(f"Break ties by id\n\nAccepts-slowdown: {trailer}")
    commit = clone.git("rev-parse", "--short", "HEAD").strip()
    clone.commit("Go on")
    ended = clone.gate(1, verdict(1, ratio=0.97))
    assert ended.returncode == 0
    assert f"passed: {commit} accepts" in ended.stdout
    assert "exact ties" in ended.stdout


@pytest.mark.parametrize(
    "lines",
    [
        "Accepts-slowdown: 2.9 exact ties",
        "Accepts-slowdown: 3",
        "Accepts-slowdown: 3 %",
        "Accepts-slowdown: some exact ties",
        "Accepts-slowdown: -3 exact ties",
        "Accepts-slowdown: 3 exact ties\n\nThat was no trailer.",
    ],
)
def test_a_trailer_that_accepts_less_or_nothing_does_not_pass(clone: Clone, lines: str) -> None:
    """Too small a percentage, no number, no reason, or a line that is no trailer: it fails."""
    clone.commit(f"Break ties by id\n\n{lines}")
    assert clone.gate(1, verdict(1, ratio=0.97)).returncode == 1


def test_what_was_accepted_before_the_base_counts_no_more(clone: Clone) -> None:
    """A trailer of the base itself, or of a commit before it, accepts nothing."""
    clone.commit("Break ties by id\n\nAccepts-slowdown: 9 exact ties")
    clone.write_base(clone.git("rev-parse", "HEAD"))
    clone.commit("Go on")
    assert clone.gate(1, verdict(1, ratio=0.97)).returncode == 1


def test_the_smaller_of_two_trailers_hides_no_larger_one(clone: Clone) -> None:
    """One commit that accepts enough suffices, wherever it stands among others."""
    for percent in (1, 5, 2):
        clone.commit(f"Break ties by id\n\nAccepts-slowdown: {percent} exact ties")
    assert clone.gate(1, verdict(1, ratio=0.97)).returncode == 0


def test_a_regression_at_one_recall_is_accepted_by_its_own_size(clone: Clone) -> None:
    """Where all recalls together are within the margin, the trailer must cover the slowdown at the one."""
    clone.commit("Break ties by id\n\nAccepts-slowdown: 4 exact ties")
    assert clone.gate(1, verdict(1, ratio=0.985, at=0.95)).returncode == 1
    assert clone.gate(1, verdict(1, ratio=0.985, at=0.96)).returncode == 0


def test_the_slowest_of_several_algorithms_counts(clone: Clone) -> None:
    """A trailer must cover every regression."""
    clone.commit("Break ties by id\n\nAccepts-slowdown: 4 exact ties")
    assert clone.gate(1, verdict(0), verdict(1, ratio=0.97), verdict(1, ratio=0.965)).returncode == 0
    assert clone.gate(1, verdict(0), verdict(1, ratio=0.93), verdict(1, ratio=0.965)).returncode == 1


def test_the_base_of_the_project_is_a_commit() -> None:
    """`.ci/engine-base` holds the full hash of one."""
    text = (GATE.parent / "engine-base").read_text(encoding="utf-8").strip()
    assert len(text) == 40
    assert set(text) <= set("0123456789abcdef")
