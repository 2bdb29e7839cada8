"""The recipes for authors' own CI in docs/ci: they are valid, and each verdict has its effect."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ann_bench.cli.against_text import as_markdown
from ann_bench.cli.main import make_parser
from tests.compare.recorded import recorded
from tests.compare.simulated import Machine

FOLDER = Path(__file__).parents[1] / "docs" / "ci"
SCRIPT = FOLDER / "gate.sh"
WORKFLOW = FOLDER / "github-actions.yml"

# Stands in for ann-bench: notes how it was called, prints what there is to print and ends as it is told to.
ANN_BENCH = f"""#!{sys.executable}
import json, os, pathlib, sys
pathlib.Path(os.environ["CALLED"]).write_text(json.dumps(sys.argv[1:]))
print(os.environ["REPORT"], end="")
sys.exit(int(os.environ["CODE"]))
"""


class Recipe:
    """The shell recipe with a stand-in for ann-bench."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / "bin" / "ann-bench"
        program.parent.mkdir()
        program.write_text(ANN_BENCH, encoding="utf-8")
        program.chmod(0o755)

    def run(
        self, *words: str, code: int = 0, report: str = "**told**\n", **more: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run gate.sh where ann-bench ends so, with more variables in the environment."""
        told = {"CALLED": str(self.folder / "called.json"), "CODE": str(code), "REPORT": report}
        unset = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY")
        environ = {key: value for key, value in os.environ.items() if key not in unset} | told | more
        environ["PATH"] = f"{self.folder / 'bin'}{os.pathsep}{environ['PATH']}"
        command = ["bash", str(SCRIPT), *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    @property
    def called(self) -> list[str]:
        """How ann-bench was called."""
        words: list[str] = json.loads((self.folder / "called.json").read_text())
        return words


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """Return the shell recipe with its stand-in."""
    return Recipe(tmp_path)


@pytest.fixture(scope="module")
def steps() -> list[dict[str, Any]]:
    """Return the steps of the workflow's one job."""
    (job,) = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"].values()
    found: list[dict[str, Any]] = job["steps"]
    return found


@pytest.mark.parametrize(
    ("code", "ends", "warns"),
    [
        (0, 0, False),
        (1, 1, False),
        (2, 2, False),
        (3, 0, True),
        (4, 4, False),
        (5, 5, False),
        (130, 130, False),
    ],
)
def test_each_verdict_has_its_effect(recipe: Recipe, code: int, ends: int, warns: bool) -> None:
    """Inconclusive warns and passes; all else ends as the comparison did; the report is shown."""
    ended = recipe.run("main", code=code)
    assert ended.returncode == ends
    assert ("warning: " in ended.stderr) is warns
    assert ended.stdout == "**told**\n"


def test_a_control_that_failed_is_the_machines_doing(recipe: Recipe) -> None:
    """Of what is invalid only that warns and passes: sides that cannot be compared fail."""
    report = as_markdown(recorded(recipe.folder, Machine(1, later=0.05, balanced=False)), interrupted=False)
    ended = recipe.run("main", code=4, report=report)
    assert ended.returncode == 0
    assert "warning: " in ended.stderr


@pytest.mark.parametrize(("code", "warns"), [(0, False), (3, True)])
def test_on_github_it_writes_the_summary_and_annotates(
    recipe: Recipe, tmp_path: Path, code: int, warns: bool
) -> None:
    """The report is added to the job's summary, and a warning is one that GitHub shows."""
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    ended = recipe.run("main", code=code, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))
    assert ended.returncode == 0
    assert summary.read_text() == "before\n**told**\n"
    assert ("\n::warning title=speed::" in ended.stdout) is warns


def test_a_comparison_that_says_nothing_is_told_of(recipe: Recipe) -> None:
    """Where ann-bench fails before it has a report, its status takes the report's place."""
    ended = recipe.run("main", code=5, report="")
    assert ended.returncode == 5
    assert "ended with 5" in ended.stdout


def test_the_flags_reach_ann_bench(recipe: Recipe) -> None:
    """What follows the base is handed on as it is, words with spaces too, and is understood."""
    recipe.run("origin/main", "--definitions", "my bench", "--algorithm", "mylib")
    assert recipe.called[0] == "run"
    asked = make_parser().parse_args(recipe.called)
    assert (asked.against, asked.format, asked.algorithm) == ("origin/main", "markdown", ["mylib"])
    assert asked.definitions[0].name == "my bench"


def test_without_a_base_it_tells_how_it_is_called(recipe: Recipe) -> None:
    """No argument, no comparison."""
    ended = recipe.run()
    assert ended.returncode != 0
    assert "usage: gate.sh BASE" in ended.stderr
    assert not (recipe.folder / "called.json").exists()


def test_the_workflow_runs_the_recipe_with_flags_that_exist(
    recipe: Recipe, steps: list[dict[str, Any]]
) -> None:
    """Its step calls gate.sh with the base branch, which was fetched, and uploads the results."""
    (checkout,) = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"]["fetch-depth"] == 0
    (compare,) = [step for step in steps if "gate.sh" in step.get("run", "")]
    assert compare["env"]["BASE"] == "origin/${{ github.base_ref }}"
    variables = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["env"]
    known = {**variables, "BASE": "origin/main", "RUNNER_TEMP": "/tmp/runner"}
    words = [re.sub(r"\$(\w+)", lambda name: known[name[1]], word) for word in shlex.split(compare["run"])]
    assert words[:2] == ["bash", "ci/gate.sh"]
    recipe.run(*words[2:])
    asked = make_parser().parse_args(recipe.called)
    assert asked.against == "origin/main"
    assert asked.margin == 0.02
    (upload,) = [step for step in steps if step.get("uses", "").startswith("actions/upload-artifact@")]
    assert upload["if"] == "always()"
    assert upload["with"]["path"].replace("${{ runner.temp }}", "/tmp/runner") == str(asked.results)


def test_the_workflow_needs_no_more_than_to_read() -> None:
    """It runs on pull requests with a token that can read the repository and no more."""
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    assert workflow[True] == "pull_request"  # YAML 1.1 takes `on` for a truth
    assert workflow["permissions"] == {"contents": "read"}
