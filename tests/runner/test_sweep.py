"""A sweep measures what is asked for once, keeps what it measured, and can be stopped at any moment."""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
from filelock import FileLock

from ann_bench import results
from ann_bench.config import Needs, load_algorithms
from ann_bench.datasets import Dataset, load_dataset
from ann_bench.runner.isolation import run_folder
from ann_bench.runner.plan import Request, make_plan
from ann_bench.runner.sweep import Outcome, run_sweep
from tests.datasets.files import write
from tests.runner.conftest import DEFINITIONS, Quiet, alive_below

ROOT = Path(__file__).parents[2]
Make = Callable[..., Request]
Sweep = Callable[[Request], Outcome]


def test_a_measurement_holds_every_round_of_every_query(make_request: Make, sweep: Sweep) -> None:
    """Ids, recomputed distances and raw latencies of all rounds over two launches are in the file."""
    (record,) = sweep(make_request("steady", rounds=4)).records
    stored = results.read(record["path"])
    assert stored.record["launch_of_round"] == [0, 0, 1, 1]
    assert stored.arrays["latencies_ns"].shape == (4, 20)
    assert stored.arrays["neighbors"].shape == (20, 5)
    assert np.all(np.diff(stored.arrays["distances"], axis=1) >= 0)
    assert stored.arrays["block_round"].tolist() == [0, 1, 2, 3]
    assert stored.record["costs"]["index_bytes_saved"] > 60 * 4 * 4
    assert stored.record["costs"]["load_wall_ns"] > 0
    assert stored.record["harness"]["overhead_ns_per_query"] > 0
    assert "numpy==" in stored.lock


@pytest.mark.parametrize("batch", [False, True])
def test_sets_are_measured_as_vectors_are(
    make_request: Make, sweep: Sweep, tmp_path: Path, batch: bool
) -> None:
    """An exact algorithm answers queries on sets exactly, one by one and in a batch."""
    dataset = load_dataset(str(write(tmp_path / "sets-jaccard.hdf5", "jaccard")), k=5)
    algorithms = [load_algorithms()["bruteforce"]]
    (record,) = sweep(make_request(dataset=dataset, algorithms=algorithms, batch=batch)).records
    assert record["metrics"]["recall"] == 1
    stored = results.read(record["path"])
    assert np.allclose(stored.arrays["distances"], dataset.distances[:, :5])


def test_what_is_measured_is_not_measured_again(make_request: Make, sweep: Sweep) -> None:
    """The same request has nothing left to do; --force measures beside what is there."""
    request = make_request("steady")
    sweep(request)
    plan = make_plan(request)
    assert (plan.settings, len(plan.done)) == (0, 1)
    sweep(replace(request, force=True))
    assert len(results.scan(request.results, on_skip=pytest.fail)) == 2


@pytest.mark.parametrize(
    "change",
    [{"label": "after"}, {"seed": 2}, {"rounds": 3}, {"k": 6}, {"batch": True}],
    ids=lambda change: next(iter(change)),
)
def test_any_difference_makes_a_new_measurement(
    make_request: Make, sweep: Sweep, change: dict[str, object]
) -> None:
    """What differs in label, seed, rounds, k or mode is not what was measured."""
    request = make_request("steady")
    sweep(request)
    assert make_plan(replace(request, **change)).settings == 1


def test_a_changed_wrapper_is_measured_anew(make_request: Make, sweep: Sweep, tmp_path: Path) -> None:
    """The wrapper's source is part of the identity."""
    request = make_request("steady")
    sweep(request)
    copy = tmp_path / "misbehaving.py"
    copy.write_text(request.algorithms[0].wrapper_path.read_text() + "\n# another\n")
    changed = request.algorithms[0].model_copy(update={"wrapper_path": copy})
    assert make_plan(replace(request, algorithms=[changed])).settings == 1


def test_a_change_of_what_a_wrapper_shares_is_measured_anew(
    make_request: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a wrapper imports from the worker is part of the identity, but for the contract."""
    request = make_request("steady")
    wrapper = tmp_path / "misbehaving.py"
    source = request.algorithms[0].wrapper_path.read_text()
    wrapper.write_text(f"from ann_bench.worker.shared import it\n{source}")
    changed = request.algorithms[0].model_copy(update={"wrapper_path": wrapper})
    monkeypatch.setattr("ann_bench.runner.plan.PACKAGE", tmp_path)
    (tmp_path / "worker").mkdir()
    hashes = set()
    for text in ("it = 1", "it = 2", "it = 2"):
        (tmp_path / "worker" / "shared.py").write_text(text)
        (job,) = make_plan(replace(request, algorithms=[changed])).jobs
        hashes.add(job.wrapper_sha256)
    assert len(hashes) == 2


def test_what_failed_is_tried_again_only_when_asked(make_request: Make, sweep: Sweep) -> None:
    """A failure is an outcome like another until --retry-failed."""
    request = make_request(in_query=("raises", "none"))
    sweep(request)
    assert make_plan(request).settings == 0
    assert make_plan(replace(request, retry_failed=True)).settings == 1


def test_a_slow_setting_gets_fewer_queries_and_says_so(make_request: Make, sweep: Sweep) -> None:
    """A setting that would overrun its time is measured on fewer queries, and the number is recorded."""
    request = make_request("steady")
    presets = {"default": {**request.algorithms[0].presets["default"], "max_seconds_per_setting": 1e-9}}
    slow = request.algorithms[0].model_copy(update={"presets": {"quick": presets["default"], **presets}})
    (record,) = sweep(replace(request, algorithms=[slow])).records
    assert record["dataset"]["queries"] == 10
    assert record["identity"]["queries"] == 20
    assert len(set(results.read(record["path"]).arrays["query_index"].tolist())) == 10
    assert record["metrics"]["recall"] == 1.0
    assert results.read(record["path"]).arrays["latencies_ns"].shape == (2, 10)


def test_a_part_of_the_queries_settles_nothing_for_a_preset_with_more_time(
    make_request: Make, sweep: Sweep
) -> None:
    """What quick measured on few queries is measured again where there is time for all, and only there."""
    request = make_request("steady")
    grids = request.algorithms[0].presets["default"]
    presets = {"quick": {**grids, "max_seconds_per_setting": 1e-9}, "default": grids}
    entry = request.algorithms[0].model_copy(update={"presets": presets})
    request = replace(request, algorithms=[entry])
    sweep(request)
    assert make_plan(request).settings == 0
    longer = replace(request, preset="default")
    assert make_plan(longer).settings == 1
    sweep(longer)
    assert make_plan(longer).settings == make_plan(request).settings == 0


def test_what_ran_out_of_time_is_tried_again_with_more(make_request: Make, sweep: Sweep) -> None:
    """A build that was ended after a second is not a failure for who gives it a minute."""
    request = make_request(in_build=("hangs",), timeout_s=1.0)
    sweep(request)
    assert make_plan(request).settings == 0
    assert make_plan(replace(request, timeout_s=60.0)).settings == 1


def test_batch_needs_a_wrapper_that_has_it(make_request: Make, sweep: Sweep) -> None:
    """An algorithm that cannot do batches fails with that reason."""
    (record,) = sweep(make_request("steady", batch=True)).records
    assert record["failure"]["text"] == "the wrapper has no query_batch, which --batch needs"


def test_an_algorithm_that_does_not_do_the_distance_is_left_out(
    make_request: Make, small_dataset: Dataset
) -> None:
    """The plan names the reason."""
    plan = make_plan(make_request(dataset=replace(small_dataset, distance="dot")))
    assert [(left.name, left.reason) for left in plan.left_out] == [("misbehaving", "does not do dot")]


def test_an_algorithm_that_needs_more_dimensions_is_left_out(make_request: Make) -> None:
    """The plan names what the dataset, of four dimensions, lacks."""
    request = make_request()
    (algorithm,) = request.algorithms
    needing = algorithm.model_copy(update={"needs": Needs(min_dimension=5)})
    plan = make_plan(replace(request, algorithms=[needing]))
    reason = "needs 5 dimensions or more, the dataset has 4"
    assert [(left.name, left.reason) for left in plan.left_out] == [("misbehaving", reason)]
    assert not plan.jobs


def test_lanes_measure_all_jobs(make_request: Make, sweep: Sweep) -> None:
    """With --parallelism 2 the jobs are dealt to two cores and each is measured once."""
    cpus = tuple(sorted(os.sched_getaffinity(0)))[:2]
    request = make_request("steady", in_build=("a", "b", "c"), cpus=cpus, parallelism=len(cpus))
    assert sorted(record["build"]["in_build"] for record in sweep(request).records) == ["a", "b", "c"]


def test_a_full_disk_ends_the_sweep_with_an_error(make_request: Make, sweep: Sweep) -> None:
    """A measurement that cannot be written is no outcome: the sweep ends and says where."""
    request = make_request("steady")
    request.results.write_text("a file where the folder should be")
    with pytest.raises(Exception, match="results"):
        sweep(request)


def test_the_folder_of_a_dead_run_is_removed_by_the_next(make_request: Make, tmp_path: Path) -> None:
    """What a killed runner left does not pile up, and a living runner's folder stays."""
    make_request()
    dead = tmp_path / "cache" / "runs" / "run-dead"
    dead.mkdir(parents=True)
    dead.with_suffix(".lock").touch()
    with run_folder() as living:
        assert not dead.exists()
        with run_folder():
            assert living.exists()
    assert not living.exists()


def test_a_run_that_is_not_alone_says_so(make_request: Make, tmp_path: Path) -> None:
    """Two runs at a time disturb each other; both go on."""
    request = make_request("steady")
    observer = Quiet()
    (tmp_path / "cache").mkdir()
    with FileLock(tmp_path / "cache" / "measuring.lock"):
        outcome = run_sweep(request, make_plan(request), observer)
    assert len(outcome.records) == 1
    assert observer.messages == ["another run is measuring on this machine: the two disturb each other"]


# -- the whole program, from outside --------------------------------------------------------------------


INDEXES = "abcdefgh"
SETTINGS = 4 * len(INDEXES)


@pytest.fixture
def command(small_dataset: Dataset, tmp_path: Path) -> list[str]:
    """`run.py` on the small dataset, with more indexes than one wave holds."""
    path = tmp_path / "small-4-euclidean.hdf5"
    with h5py.File(path, "w") as file:
        file.attrs["distance"] = "euclidean"
        for name in ("train", "test", "neighbors", "distances"):
            file[name] = getattr(small_dataset, name)
    definitions = tmp_path / "definitions"
    shutil.copytree(DEFINITIONS, definitions)
    entries = (definitions / "algorithms.yaml").read_text()
    grid = f"in_build: [{', '.join(INDEXES)}], in_query: [none, a, b, c]"
    (definitions / "algorithms.yaml").write_text(entries.replace("in_build: none, in_query: none", grid))
    return [
        sys.executable, str(ROOT / "run.py"), "--dataset", str(path), "--definitions", str(definitions),
        "--algorithm", "steady", "-k", "5", "--runs", "2", "--results", str(tmp_path / "results"),
    ]  # fmt: skip


Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def start(command: list[str], tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts the command; whatever still runs at the test's end is killed."""
    environment = {
        **os.environ,
        "ANN_BENCH_CACHE": str(tmp_path / "cache"),
        "COLUMNS": "200",
        "PYTHONUNBUFFERED": "1",
    }
    with contextlib.ExitStack() as stack:

        def run() -> "subprocess.Popen[str]":
            runner = subprocess.Popen(
                command,
                env=environment,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            stack.enter_context(runner)
            stack.callback(runner.kill)
            return runner

        yield run


def _wait_until_gone(marker: Path) -> list[psutil.Process]:
    deadline = time.monotonic() + 5
    while (alive := alive_below(marker)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive


def _finished(output: str) -> int:
    return len(re.findall(r"^\[\d+/\d+\]", output, flags=re.MULTILINE))


def test_a_killed_runner_loses_nothing_that_it_reported(start: Start, tmp_path: Path) -> None:
    """Killed at 20 random moments: no worker lives on, what was reported is on disk and whole."""
    moments = random.Random(20)
    skipped: list[str] = []
    reported = 0
    for _ in range(20):
        if reported == SETTINGS:  # everything is measured: begin again
            shutil.rmtree(tmp_path / "results")
            reported = 0
        runner = start()
        try:
            runner.wait(moments.uniform(0.4, 2.0))
        except subprocess.TimeoutExpired:
            runner.kill()
        output, _ = runner.communicate()
        reported += _finished(output)
        assert _wait_until_gone(tmp_path) == []
        stored = results.scan(tmp_path / "results", on_skip=skipped.append)
        assert skipped == []
        assert len(stored) >= reported
        assert len({record["identity_hash"] for record in stored}) == len(stored)
        reported = len(stored)  # a kill between writing and reporting reports one too few


def test_ctrl_c_keeps_what_is_measured_and_leaves_nothing_behind(start: Start, tmp_path: Path) -> None:
    """An interrupted sweep says how to go on, exits with 130, and the same command finishes it."""
    runner = start()
    assert runner.stdout is not None
    lines = []
    for line in runner.stdout:
        lines.append(line)
        if line.startswith("[1/"):
            break
    runner.send_signal(signal.SIGINT)
    output = "".join(lines) + runner.communicate(timeout=20)[0]
    assert runner.returncode == 130
    assert "the same command goes on from here" in output
    assert "Traceback" not in output
    assert _wait_until_gone(tmp_path) == []
    finished = _finished(output)
    assert 0 < finished < SETTINGS
    second = start()
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 0
    assert f"to measure: {SETTINGS - finished} setting" in output
    assert list((tmp_path / "cache" / "runs").iterdir()) == []
