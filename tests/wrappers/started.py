"""The check of a wrapper, started in its library's environment as a run starts a worker there."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ann_bench.config import Algorithm, expand
from ann_bench.paths import PACKAGE
from tests.wrappers.check_wrapper import MOST_K

DIMENSION = 64
ROWS = 5000
TIMEOUT_S = 300.0
_PRIVATE = ("home", "tmp", "work")
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "ANN_BENCH_ISA")


@dataclass(frozen=True)
class Ended:
    """How a part of the check ended: what it found, its exit status, its output."""

    finished: bool
    shown: str
    code: int | None
    """Minus a signal's number where that ended it; None where it took too long."""
    printed: str
    deleted: str
    """Which of its own folders were missing."""

    def describe(self) -> str:
        """Return how it ended, for a reader."""
        how = f"did not end within {TIMEOUT_S:g} s" if self.code is None else f"exit status {self.code}"
        return f"{how}{self.deleted and ', deleted ' + self.deleted}\n{self.printed[-6000:]}"


def make_spec(algorithm: Algorithm, distance: str, dimension: int = DIMENSION) -> dict[str, Any]:
    """Return what the check has to know: the algorithm's settings, what it promises and what it cannot do."""
    plan = expand(algorithm, "quick", distance=distance, dimension=dimension, k=MOST_K)
    scant, thorough = plan.builds[0], plan.builds[-1]
    return {
        "wrapper_path": str(algorithm.wrapper_path),
        "wrapper_class": algorithm.wrapper_class,
        "distance": distance,
        "dimension": dimension,
        "rows": ROWS,
        "build": thorough.build,
        "query": thorough.queries[-1],
        "scant_build": scant.build,
        "scant_query": scant.queries[0],
        "recall": algorithm.documented_recall,
        "limits": algorithm.limits,
        "memory_s": 0.0,
    }


def check_contract(spec: Mapping[str, Any], python: Path, folder: Path) -> None:
    """Raise `AssertionError` where the wrapper, or an index that it saved, does not keep the contract."""
    for part in ("contract", "load"):
        if part == "contract" or (folder / "answers.npy").exists():
            ended = start(part, spec, python, folder)
            kept = ended.finished and ("deleted_folders" in spec["limits"] or not ended.deleted)
            assert kept, f"{part}: {ended.describe()}"


def show_limit(limit: str, spec: Mapping[str, Any], python: Path, folder: Path) -> str:
    """Return how it shows that the library has that limit, nothing if it does not.

    `AssertionError` where it shows otherwise than with an exception or the shortfall that is declared.
    """
    ended = start(limit, spec, python, folder)
    if not ended.finished:
        declared = (ended.code or 0) < 0 and "crashes" in spec["limits"].get(limit, "")
        assert declared, f"{limit}: {ended.describe()}"
        return ended.describe()
    return {"prints": ended.printed, "deleted_folders": ended.deleted}.get(limit, ended.shown)


def start(part: str, spec: Mapping[str, Any], python: Path, folder: Path) -> Ended:
    """Do a part of the check, in a process with folders of its own; nothing that it starts outlives it."""
    place = folder / part
    for name in _PRIVATE:
        (place / name).mkdir(parents=True)
    home, tmp, work = (str(place / name) for name in _PRIVATE)
    verdict = place / "verdict.json"
    arguments = {**spec, "part": part, "folder": str(folder), "verdict": str(verdict)}
    main = Path(__file__).with_name("check_main.py")
    supervised = {
        "parent": os.getpid(),
        "command": [str(python), "-I", str(main), str(PACKAGE), str(main.parents[1]), json.dumps(arguments)],
        "environment": {
            **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            "HOME": home,
            "XDG_CACHE_HOME": home,
            "TMPDIR": tmp,
            "TEMP": tmp,
            "TMP": tmp,
        },
        "folder": work,
        "cpus": sorted(os.sched_getaffinity(0)),
        "cgroup_procs": None,
        "log_folder": str(place),
        "worker_fds": [],
    }
    code = _supervise(supervised)
    return Ended(
        finished=verdict.exists(),
        shown=json.loads(verdict.read_text())["shown"] if verdict.exists() else "",
        code=code,
        printed=(place / "log.head").read_text(errors="replace"),
        deleted=", ".join(name for name in _PRIVATE if not (place / name).is_dir()),
    )


def _supervise(supervised: dict[str, Any]) -> int | None:
    """Run what the supervisor is told to; return its exit status, None if it took too long and was ended."""
    program = str(PACKAGE / "worker" / "supervisor.py")
    with subprocess.Popen(
        [sys.executable, "-I", "-S", program, json.dumps(supervised)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        clock = threading.Timer(TIMEOUT_S, process.stdin.close)  # whereupon it kills all below it
        clock.start()
        said = process.stdout.read()
        late = process.stdin.closed
        clock.cancel()
    return None if late else int(json.loads(said)["code"])
