"""`ann-bench doctor`: what it prints, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ann_bench.cli import doctor_display
from ann_bench.cli.main import main
from ann_bench.compare.launch import Quad
from ann_bench.compare.probe import summarise
from ann_bench.machine import allowed_cpus
from tests.runner.conftest import alive_below

CHECKS = ["hypervisor", "governor", "turbo", "SMT sibling", "core in use", "CPU quota", "load", "steal"]
CHECKS += ["huge pages", "battery"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANN_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")


def test_it_tells_every_check_and_the_probe_in_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """Each check has its line, the core is the last one, and one launch is said to be too few."""
    assert main(["doctor", "--seconds", "0.1"]) == 0
    output = capsys.readouterr().out
    lines = output.splitlines()
    assert max(map(len, lines)) <= 80
    assert [name for name in CHECKS if not any(line.startswith(f"{name}  ") for line in lines)] == []
    assert f"A/A probe: core {allowed_cpus()[-1]}, 1 launch of two identical workers" in output
    assert "SD across launches" in output
    assert "One launch cannot tell how launches differ" in output


def test_json_holds_facts_findings_and_what_they_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs get what is printed and more, of the core that is named; without a probe it is null."""
    cpu = allowed_cpus()[0]
    assert main(["doctor", "--no-probe", "--json", "--cpus", str(cpu)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["machine"]["cpus_used"] == [cpu]
    assert [finding["name"] for finding in told["findings"]] == CHECKS
    assert set(told["activity"]) == {"busy_percent", "sibling_percent", "steal_percent"}
    assert told["probe"] is None


def test_a_probe_that_cannot_be_made_is_unknown_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rest is told all the same, with the reason, in words and in JSON."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("ANN_BENCH_CACHE", str(tmp_path / "file"))
    assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    assert "battery" in output
    assert "A/A probe: unknown, [Errno" in output
    assert main(["doctor", "--json"]) == 0
    assert "failure" in json.loads(capsys.readouterr().out)["probe"]


@pytest.mark.parametrize(
    ("launches", "told", "untold"),
    [(2, "2 launches tell only roughly", "One launch"), (16, "Smallest effect: half", "only roughly")],
)
def test_a_probe_says_how_much_it_knows(
    launches: int, told: str, untold: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Few launches are called few, enough are not, and large numbers stay within 80 columns."""
    quads = [
        [Quad(0, True, False, 1, (20 + launch * 9, 20, 20, 20), (40 + launch * 30, 20, 20, 30))] * 2
        for launch in range(launches)
    ]
    doctor_display.show_probe(summarise(quads, ["someone \x1b[31melse"]), 1)
    output = capsys.readouterr().out
    assert told in output
    assert untold not in output
    assert "\x1b" not in output
    assert max(map(len, output.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cpus", "4096"], "--cpus: got 4096; this machine lets us use"),
        (["--cpus", "one"], "it is a list of cores"),
        (["--seconds", "0"], "it is a time such as 90"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A core that is not there, no list, no time: one line, and exit status 2."""
    try:
        code = main(["doctor", *words])
    except SystemExit as end:
        code = end.code  # type: ignore[assignment]
    assert code == 2
    assert message in capsys.readouterr().err


def test_ctrl_c_ends_it_and_leaves_nothing(tmp_path: Path) -> None:
    """Interrupted while workers run it says so, exits 130, and neither process nor folder is left."""
    command = [sys.executable, "-m", "ann_bench", "doctor", "--seconds", "60"]
    doctor = subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    runs = tmp_path / "cache" / "runs"
    for _ in range(3000):
        if list(runs.glob("run-*/worker-2")) or doctor.poll() is not None:
            break
        time.sleep(0.01)
    doctor.send_signal(signal.SIGINT)
    output, errors = doctor.communicate(timeout=60)
    assert (doctor.returncode, output) == (130, b"")
    assert errors == b"ann-bench: interrupted\n"
    assert alive_below(tmp_path) == []
    assert list(runs.iterdir()) == []
