"""A sweep as it goes: a live bar on a terminal, plain lines elsewhere."""

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from ann_bench import results
from ann_bench.cli.sweep_text import duration, make_console
from ann_bench.runner.built import Built
from ann_bench.runner.lane import Observer
from ann_bench.runner.plan import Job, Plan, Request, describe
from ann_bench.runner.tally import Tally
from ann_bench.text import printable

_GUESSED_BUILD_S = 5.0
_GUESSED_VISIT_S = 0.5


class _Estimate:
    """How long the rest will take, from what builds and rounds took so far."""

    def __init__(self, plan: Plan, request: Request) -> None:
        self._parallelism = request.parallelism
        self._builds_left = len(plan.jobs)
        self._build_s: list[float] = []
        self._round_s: dict[str, float] = {}
        self._rounds_left = {
            results.identity_hash(setting.identity): request.rounds
            for job in plan.jobs
            for setting in job.settings
        }

    def built(self, seconds: float) -> None:
        self._builds_left -= 1
        self._build_s.append(seconds)

    def visited(self, tally: Tally) -> None:
        key = results.identity_hash(tally.setting.identity)
        self._rounds_left[key] -= 1
        self._round_s[key] = tally.seconds_per_visit or 0.0

    def through(self, identity_hash: str) -> None:
        self._rounds_left[identity_hash] = 0

    def rounds_left(self) -> int:
        return sum(self._rounds_left.values())

    def seconds(self) -> float:
        build_s = sum(self._build_s) / len(self._build_s) if self._build_s else _GUESSED_BUILD_S
        known = self._round_s.values()
        round_s = sum(known) / len(known) if known else _GUESSED_VISIT_S
        rounds = sum(left * self._round_s.get(key, round_s) for key, left in self._rounds_left.items())
        return (self._builds_left * build_s + rounds) / self._parallelism


class Display(Observer):
    """Shows a sweep as it goes; its methods are called from the lanes' threads."""

    def __init__(self, request: Request, plan: Plan) -> None:
        self._console = make_console()
        self._plan = plan
        self._rounds = plan.settings * request.rounds
        self._estimate = _Estimate(plan, request)
        self._lock = threading.Lock()
        self._build_began: dict[int, float] = {}
        self._recorded = 0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            refresh_per_second=4,
            transient=True,
            disable=not self._console.is_terminal or not plan.jobs,
        )
        self._task: TaskID = self._progress.add_task("starting", total=self._rounds, left="")

    def __enter__(self) -> Self:
        """Start showing."""
        self._progress.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Stop showing."""
        self._progress.stop()

    def building(self, job: Job) -> None:
        """Say which index is being built."""
        with self._lock:
            self._build_began[id(job)] = time.perf_counter()
            self._show(f"building {job.title}")

    def built(self, built: Built) -> None:
        """Say how long the build took."""
        with self._lock:
            seconds = time.perf_counter() - self._build_began[id(built.job)]
            self._estimate.built(seconds)
            if not self._console.is_terminal and built.worker is not None:
                self._line(f"built {built.job.title} in {seconds:.1f} s")

    def visiting(self, built: Built, tally: Tally) -> None:
        """Say which setting is being measured."""
        with self._lock:
            name = describe(built.job.algorithm.name, built.job.build, tally.setting.query)
            self._show(f"{name}, round {tally.rounds + 1}")

    def visited(self, _built: Built, tally: Tally) -> None:
        """Move the bar."""
        with self._lock:
            self._estimate.visited(tally)

    def recorded(self, record: dict[str, Any], _path: Path) -> None:
        """Print one line for a finished setting."""
        with self._lock:
            self._recorded += 1
            self._estimate.through(record["identity_hash"])
            name = describe(record["algorithm"]["name"], record["build"], record["query"])
            count = f"[{self._recorded}/{self._plan.settings}]"
            if record["status"] == "failed":
                failure = record["failure"]
                line = f"{count} {name}: FAILED ({failure['kind']} in {failure['stage']}): {failure['text']}"
                self._line(line, "red")
                return
            metrics = record["metrics"]
            line = f"{count} {name}: recall {metrics['recall']:.4f}, {metrics['qps']:,.0f} qps"
            asked, all_queries = record["dataset"]["queries"], record["identity"]["queries"]
            line += f" ({asked:,} of {all_queries:,} queries)" if asked < all_queries else ""
            self._line(line, "yellow" if record["problems"] else None)

    def message(self, text: str) -> None:
        """Print one line."""
        with self._lock:
            self._line(text, "yellow")

    def _line(self, text: str, style: str | None = None) -> None:
        self._console.print(escape(printable(text)), style=style)

    def _show(self, text: str) -> None:
        room = max(20, self._console.width - 60)
        shown = text if len(text) <= room else text[: room - 1] + "…"
        self._progress.update(
            self._task,
            description=escape(shown),
            completed=self._rounds - self._estimate.rounds_left(),
            left=f"about {duration(self._estimate.seconds())} left",
        )
