"""An A/A probe: two workers that do the same on one core; whatever differs between them is noise.

The protocol is that of a comparison, in small: fresh launches of both workers, and in each quads of blocks,
ABBA or BAAB by a seeded coin, so that a drift falls on both alike.
"""

import contextlib
import math
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from ann_bench.compare.estimate import LOOKS, alpha_of
from ann_bench.compare.launch import Clock, Quad
from ann_bench.errors import AnnBenchError
from ann_bench.paths import PACKAGE
from ann_bench.runner.isolation import alone, kept_off, run_all, run_folder
from ann_bench.runner.lane import Observer
from ann_bench.runner.launch import Order, Worker, WorkerFailure
from ann_bench.runner.watch import Watch
from ann_bench.worker.sets import save_rows

ENOUGH_LAUNCHES = 16  # from here on the SD across launches is known to within some 50 %

_ROWS, _QUERIES, _DIMENSION = 4_000, 4_000, 64
_BUILD = {"n_trees": 5}
_QUERY = {"search_k": 2_000, "rerank": 100}
_K = 10
_SEED = 1
_BLOCK_NS = 30_000_000  # so that blocks last 20 ms even where the clock has risen since they were sized
_UNRECORDED_NS = 10_000_000
_QUADS_PER_LAUNCH = 2
_SIZING_QUERIES = 1_000
_TIMEOUT_S = 60.0


Launch = Sequence[Quad]


@dataclass(frozen=True)
class Known:
    """A value, and the 95 % interval that holds it where launches are normal: few launches say little."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Noise:
    """How far A/A differs by one clock.

    Attributes
    ----------
    within_sd
        The SD of log ratios between the quads of one launch, pooled over launches; None if no launch has two.
    across_sd
        The SD between launches of the median of each one's quads; None if there are not two.
    smallest_effects
        The smallest effect, as a share, that a comparison of so many launches could tell from none; empty
        without `across_sd`. See `smallest_effect`.
    """

    within_sd: float | None
    across_sd: Known | None
    smallest_effects: dict[int, Known]


@dataclass(frozen=True)
class Probe:
    """What a probe found, and what it saw.

    `enough_launches` tells whether they are enough to know how launches differ.
    """

    launches: Sequence[Launch]
    block_wall_ns: int
    cpu: Noise
    wall: Noise
    enough_launches: bool
    messages: Sequence[str] = ()


def summarise(launches: Sequence[Launch], messages: Sequence[str] = ()) -> Probe:
    """Return what the blocks of launches say; each launch has one quad or more."""
    blocks = [quad.queries * ns for launch in launches for quad in launch for ns in quad.wall_ns]
    return Probe(
        launches=launches,
        block_wall_ns=int(np.median(blocks)),
        cpu=_noise(launches, "cpu"),
        wall=_noise(launches, "wall"),
        enough_launches=len(launches) >= ENOUGH_LAUNCHES,
        messages=messages,
    )


def smallest_effect(across_sd: float, launches: int) -> float:
    """Return the smallest effect, as a share, that so many launches can tell from none, half of the time.

    A comparison reports an interval from the signed ranks of its launches. Where launches are near normal it
    is about as wide as Student's (its relative efficiency is 3 / pi), so its half-width is close to
    t * SD / sqrt(launches): an effect smaller than this leaves zero inside more often than not.
    """
    t = stats.t.ppf(1 - alpha_of(launches) / 2, launches - 1)
    return math.expm1(t * across_sd / math.sqrt(launches))


def _noise(launches: Sequence[Launch], clock: Clock) -> Noise:
    ratios = [-np.diff([quad.logs(clock) for quad in launch])[:, 0] for launch in launches]
    squares = sum(float(((quads - quads.mean()) ** 2).sum()) for quads in ratios)
    freedom = sum(len(quads) - 1 for quads in ratios)
    within = math.sqrt(squares / freedom) if freedom else None
    if len(launches) < 2:
        return Noise(within, None, {})
    across = float(np.std([np.median(quads) for quads in ratios], ddof=1))
    free = len(launches) - 1
    low, high = (across * math.sqrt(free / stats.chi2.ppf(p, free)) for p in (0.975, 0.025))
    effects = {count: Known(*(smallest_effect(sd, count) for sd in (across, low, high))) for count in LOOKS}
    return Noise(within, Known(across, low, high), effects)


def run_probe(cpu: int, seconds: float) -> Probe:
    """Probe the core `cpu` for about so many seconds: as many launches as they hold, one at least.

    Raises
    ------
    AnnBenchError
        If the workers of the project's own engine cannot be started.
    """
    deadline = time.monotonic() + seconds
    heard = _Heard()
    with (
        run_folder() as folder,
        alone(heard),
        kept_off([cpu]),
        contextlib.closing(Watch()) as watch,
    ):
        at_interrupt = signal.getsignal(signal.SIGINT)
        session = _Session(folder, cpu, watch)
        try:
            run_all([lambda: session.run(deadline)], watch)
        except WorkerFailure as failure:
            raise AnnBenchError(
                f"the probe's worker failed ({failure.stage}: {failure.text}); the harness's own "
                "installation is broken: run `make` again"
            ) from failure
        finally:
            watch.close_all()
            signal.signal(signal.SIGINT, at_interrupt)
    return summarise(session.launches, heard.messages)


class _Heard(Observer):
    """Keeps what the runner has to say."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


class _Session:
    """One built index in `folder`, and launches of pairs of workers that load it."""

    def __init__(self, folder: Path, cpu: int, watch: Watch) -> None:
        rows = np.random.default_rng(_SEED).standard_normal((_ROWS + _QUERIES, _DIMENSION), dtype=np.float32)
        self.launches: list[Launch] = []
        self._coin = random.Random(_SEED)  # noqa: S311 - an order, not a secret
        self._watch = watch
        self._folder = folder
        self._index = folder / "index"
        self._number = 0
        self._queries = 0
        self._order = Order(
            python=Path(sys.executable),
            wrapper_path=PACKAGE / "wrappers" / "engine_forest.py",
            wrapper_class="EngineForest",
            distance="euclidean",
            train=folder / "train.npy",
            queries=folder / "queries.npy",
            build_parameters=_BUILD,
            k=_K,
            batch=False,
            threads=1,
            seed=_SEED,
            cpus=(cpu,),
            memory_limit_bytes=None,
        )
        save_rows(str(self._order.train), rows[:_ROWS])
        save_rows(str(self._order.queries), rows[_ROWS:])

    def run(self, deadline: float) -> None:
        """Make launches, one at least, until another would not be done at `deadline` (time.monotonic)."""
        self._build()
        launch_s = 0.0
        while not self.launches or time.monotonic() + launch_s < deadline:
            began = time.monotonic()
            self.launches.append(self._launch())
            launch_s = time.monotonic() - began

    def _build(self) -> None:
        """Build the index that all launches load, and find how many queries make a block."""
        with self._worker() as worker:
            worker.request("build", "build", _TIMEOUT_S)
            worker.request("save", "save", _TIMEOUT_S, path=str(self._index))
            self._queries = _SIZING_QUERIES
            wall_ns = self._visit(worker)["counters"]["wall_ns"]
            self._queries = min(_QUERIES, math.ceil(_BLOCK_NS * _SIZING_QUERIES / wall_ns))

    def _launch(self) -> Launch:
        """Return the quads of a fresh pair of workers."""
        with contextlib.ExitStack() as pair:
            workers = {}
            for side in self._coin.choice(("AB", "BA")):
                workers[side] = pair.enter_context(self._worker())
                workers[side].request("load", "load", _TIMEOUT_S, path=str(self._index))
            return [self._quad(workers) for _ in range(_QUADS_PER_LAUNCH)]

    def _quad(self, workers: dict[str, Worker]) -> Quad:
        swapped = self._coin.random() < 0.5
        visits = [self._visit(workers[side]) for side in ("BAAB" if swapped else "ABBA")]
        return Quad(
            pair=0,
            control=True,
            swapped=swapped,
            queries=self._queries,
            cpu_ns=[visit["counters"]["process_cpu_ns"] / self._queries for visit in visits],
            wall_ns=[visit["counters"]["wall_ns"] / self._queries for visit in visits],
        )

    def _visit(self, worker: Worker) -> dict[str, Any]:
        """Return what one block cost."""
        return worker.request(
            "visit",
            "search",
            _TIMEOUT_S,
            threads=1,
            parameters=_QUERY,
            first=0,
            count=self._queries,
            unrecorded_ns=_UNRECORDED_NS,
        )

    @contextlib.contextmanager
    def _worker(self) -> Iterator[Worker]:
        """Start a worker; it has ended when this is left."""
        self._number += 1
        worker = Worker(self._order, self._folder / f"worker-{self._number}")
        self._watch.add(worker)
        try:
            worker.hello(_TIMEOUT_S)
            yield worker
        finally:
            worker.close()
            self._watch.remove(worker)
