"""Commands below the supervisor, and what is left of them."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ann_bench.machine import allowed_cpus
from ann_bench.supervised import Commands, Stopped
from tests.processes import are_gone, wait_for

# Starts a process of its own, writes the ids of both, and waits for ever.
_FAMILY = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
with open("ids.new", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename("ids.new", "ids")
child.wait()
"""


@pytest.fixture
def commands() -> Commands:
    """Return commands that may use what we may."""
    return Commands(allowed_cpus())


def test_a_command_gives_its_exit_status_and_what_it_printed(commands: Commands, tmp_path: Path) -> None:
    """It runs in the folder and with the variables that it is given; both its streams are kept."""
    code = "import os, sys; print(os.environ['WHO'], os.getcwd()); print('bad', file=sys.stderr); sys.exit(3)"
    status, output = commands.run([sys.executable, "-c", code], tmp_path, {"WHO": "me"})
    assert status == 3
    assert sorted(output.splitlines()) == sorted([f"me {tmp_path}", "bad"])


def test_a_command_that_is_not_there_is_a_failure(commands: Commands, tmp_path: Path) -> None:
    """What cannot be started has an exit status other than 0, and the reason is told."""
    status, output = commands.run(["no-such-program"], tmp_path, {"PATH": os.defpath})
    assert status == 127
    assert "no-such-program" in output.splitlines()[-1]


def test_a_command_keeps_to_its_cores(tmp_path: Path) -> None:
    """All that runs, runs on the cores given."""
    cpu = allowed_cpus()[-1]
    code = "import os; print(os.sched_getaffinity(0))"
    assert Commands([cpu]).run([sys.executable, "-c", code], tmp_path, {}) == (0, f"{{{cpu}}}\n")


def test_stopping_ends_a_command_and_what_it_started(commands: Commands, tmp_path: Path) -> None:
    """After `stop` nothing of a command is left; who waits for it gets `Stopped`, and so does the next."""
    caught: list[BaseException] = []

    def work() -> None:
        try:
            commands.run([sys.executable, "-c", _FAMILY], tmp_path, {})
        except Stopped as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    ids = wait_for(tmp_path / "ids")
    commands.stop()
    thread.join(60)
    assert len(caught) == 1
    assert are_gone(ids)
    with pytest.raises(Stopped):
        commands.run([sys.executable, "-c", "pass"], tmp_path, {})


def test_a_killed_program_leaves_no_command_behind(tmp_path: Path) -> None:
    """Even after kill -9 of the program that ran it, a command ends, and all that it started."""
    code = "import pathlib, sys\nfrom ann_bench.supervised import Commands\n"
    code += "Commands([int(sys.argv[2])]).run([sys.executable, '-c', sys.argv[1]], pathlib.Path.cwd(), {})\n"
    words = [sys.executable, "-c", code, _FAMILY, str(allowed_cpus()[0])]
    with subprocess.Popen(words, cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)}) as program:
        ids = wait_for(tmp_path / "ids")
        program.kill()
    assert are_gone(ids)
