"""One lane: jobs that run on the same cores, built in waves, their rounds interleaved."""

import contextlib
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ann_bench.runner.built import Built, Place
from ann_bench.runner.plan import Job
from ann_bench.runner.tally import Tally
from ann_bench.runner.watch import tree_bytes
from ann_bench.supervised import Stopped

# Built workers stay alive together, so that a machine's drift hits all of a wave's settings alike; but an
# interrupt costs the rounds of the wave that is open, so a wave stays small.
MAX_WAVE = 6


class Observer:
    """Who wants to know how the sweep goes; called from the lanes' threads."""

    def building(self, job: Job) -> None:
        """An index is being built."""

    def built(self, built: Built) -> None:
        """An index is built, or failed to be."""

    def visiting(self, built: Built, tally: Tally) -> None:
        """A round of one setting starts."""

    def visited(self, built: Built, tally: Tally) -> None:
        """A round of one setting is over."""

    def recorded(self, record: dict[str, Any], path: Path) -> None:
        """A measurement, or a failure, is on disk."""

    def message(self, text: str) -> None:
        """Something worth a line happened."""


@dataclass
class Clock:
    """Where a lane's time went, in nanoseconds."""

    building_ns: int = 0
    timed_ns: int = 0
    wall_ns: int = 0

    @property
    def timed_share(self) -> float | None:
        """Share of the wall time outside building and loading that was spent in the library's calls."""
        other = self.wall_ns - self.building_ns
        return self.timed_ns / other if other > 0 and self.timed_ns else None


class Lane:
    """Runs its jobs to the end, wave by wave.

    `finish` gets each setting when its rounds are over; `budget_bytes` is what a wave's workers may hold.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        place: Place,
        observer: Observer,
        finish: Callable[[Built, Tally], None],
        *,
        seed: int,
        budget_bytes: int,
    ) -> None:
        self._random = random.Random(seed)  # noqa: S311 - an order, not a secret
        self._jobs = list(jobs)
        self._random.shuffle(self._jobs)
        self._place = place
        self._observer = observer
        self._finish = finish
        self._budget_bytes = budget_bytes
        self.clock = Clock()

    def run(self) -> None:
        """Run all jobs; returns early when the sweep is stopped."""
        began = time.perf_counter_ns()
        with contextlib.suppress(Stopped):
            while self._jobs:
                wave = self._start_wave()
                try:
                    self._measure(wave)
                finally:
                    self.clock.building_ns += sum(built.building_ns for built in wave)
                    self.clock.timed_ns += sum(built.timed_ns for built in wave)
        self.clock.wall_ns += time.perf_counter_ns() - began

    def _start_wave(self) -> list[Built]:
        """Build as many indexes as make waves of like size, fewer where they hold too much memory."""
        waves = math.ceil(len(self._jobs) / MAX_WAVE)
        size = math.ceil(len(self._jobs) / waves)
        wave: list[Built] = []
        while self._jobs and len(wave) < size and sum(held(built) for built in wave) <= self._budget_bytes:
            job = self._jobs.pop()
            self._observer.building(job)
            built = Built(job, self._place)
            wave.append(built)
            built.start()
            self._observer.built(built)
            self._write(built)
        return wave

    def _measure(self, wave: list[Built]) -> None:
        """Run all rounds of the wave's settings, half of them on one launch and half on the next."""
        rounds = self._place.rounds
        for number in range(rounds):
            if number == (rounds + 1) // 2:
                for built in wave:
                    built.relaunch()
                    self._write(built)
            for built, tally in self._in_random_order(wave):
                if not tally.failure:
                    self._observer.visiting(built, tally)
                    built.visit(tally)
                    self._observer.visited(built, tally)
                    self._write(built)
        for built in wave:
            built.finish()

    def _write(self, built: Built) -> None:
        """Hand on every setting that is through, at once: what is measured is not to be lost."""
        for tally in built.tallies:
            if not tally.written and (tally.failure or tally.rounds == self._place.rounds):
                self._finish(built, tally)
                tally.written = True

    def _in_random_order(self, wave: list[Built]) -> Iterator[tuple[Built, Tally]]:
        visits = [(built, tally) for built in wave for tally in built.tallies]
        self._random.shuffle(visits)
        return iter(visits)


def held(built: Built) -> int:
    """Return the resident bytes of an index's worker."""
    return tree_bytes(built.worker.process.pid) if built.worker else 0
