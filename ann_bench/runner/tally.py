"""What one setting has gathered, round by round, and what was wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ann_bench.runner.launch import WorkerFailure
from ann_bench.runner.plan import Setting


@dataclass
class Tally:
    """What one setting has gathered so far.

    `declared` holds what the algorithm's entry says under `limits:`; that is no problem.
    """

    setting: Setting
    declared: Mapping[str, str]
    queries: int | None = None
    """How many queries a round has; fewer than the dataset's where a round would take too long."""
    ids: npt.NDArray[np.int32] | None = None
    latencies_ns: list[npt.NDArray[np.int64]] = field(default_factory=list)
    round_wall_ns: list[int] = field(default_factory=list)
    counters: list[dict[str, Any]] = field(default_factory=list)
    launch_of_round: list[int] = field(default_factory=list)
    distance_computations: int | None = None
    search_peak_bytes: int = 0
    seconds_per_visit: float | None = None
    failure: dict[str, str] | None = None
    written: bool = False
    """Whether its measurement is on disk."""
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        """How many rounds were run."""
        return len(self.launch_of_round)

    def problem(self, kind: str, text: str) -> None:
        """Note what should not have happened, unless it is declared; the first of a kind counts."""
        if kind.replace("-", "_") not in self.declared:
            self.problems.setdefault(kind, text)

    def gather(self, reply: Mapping[str, Any], *, launch: int, rows: int, k: int) -> None:
        """Take in a round: the worker's reply and the files that it names."""
        try:
            ids: npt.NDArray[np.int32] = np.load(reply["ids"])
            latencies = np.load(reply["latencies"]) if "latencies" in reply else None
        except (OSError, ValueError, EOFError) as error:
            text = f"the round's answers cannot be read: {error}"
            raise WorkerFailure("wrong-answer", "search", text, alive=True) from error
        if self.ids is None:
            self.ids = ids
            self._check(ids, rows, k)
        elif not np.array_equal(self.ids, ids):
            self.problem("varying-answers", "answers differ from round to round; recall is that of the first")
        if latencies is None:
            self.round_wall_ns.append(reply["timed_ns"])
        else:
            self.latencies_ns.append(latencies)
        counters = reply["counters"]
        self.counters.append(counters)
        self.launch_of_round.append(launch)
        self.distance_computations = reply.get("distance_computations")
        if counters["children"] or counters["children_cpu_s"] > 0:
            self.problem("children", "started processes of its own while it was searching")
        if reply["missing_folders"]:
            names = ", ".join(Path(folder).name for folder in reply["missing_folders"])
            self.problem("deleted-folders", f"deleted its own folders: {names}")

    def _check(self, ids: npt.NDArray[np.int32], rows: int, k: int) -> None:
        """Note answers that are short, impossible, or given twice."""
        wanted = min(k, rows)
        short = int(((ids != -1).sum(axis=1) < wanted).sum())
        if short:
            text = f"{short:,} of {len(ids):,} queries got fewer than {wanted} answers"
            self.problem("fewer-than-k", text)
        outside = int(((ids < -1) | (ids >= rows)).any(axis=1).sum())
        if outside:
            self.problem("out-of-range", f"{outside:,} of {len(ids):,} queries got ids that no row has")
        ordered = np.sort(ids, axis=1)
        repeated = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)
        if repeated.any():
            text = f"{int(repeated.sum()):,} of {len(ids):,} queries got one id more than once"
            self.problem("duplicates", text)
