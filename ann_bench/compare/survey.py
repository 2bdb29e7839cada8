"""Before the first launch: which indexes, and one look at all their settings, which fixes the points.

Who chooses settings by their recall on some queries finds it a little better there than on others. Where that
matters, one half of the queries chooses (the build, the settings, the window), and the recalls and times that
are told are those of the other.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from ann_bench import config, metrics
from ann_bench.compare import indexes, points
from ann_bench.compare.indexes import Bench, Index
from ann_bench.compare.launch import Clock
from ann_bench.compare.points import Points, Searched
from ann_bench.compare.sides import Side, check_alike
from ann_bench.config import BuildGroup, Value
from ann_bench.datasets import Dataset
from ann_bench.distances import distances_to

SEARCH_NS = 2_000_000_000
SEARCHED_QUERIES = 500
# A client that waits for a server uses less of the wall time; a core that is shared leaves more.
_LEAST_CPU_SHARE = 0.2
_MOST_OTHER_SHARE = 0.02
# Where indexes differ by luck, so many pairs of them are built if that takes no longer.
_BUILDS_FOR_LUCK = (16, 8)
_BUILDING_FOR_LUCK_S = 120.0
_DRAWS = 200
# Times that a look comes back to each setting.
_TURNS = 5
# Standard deviations of what two halves of the queries differ by.
_ROOM = 2.0


@dataclass(frozen=True)
class Asked:
    """What a comparison is asked to do.

    Attributes
    ----------
    targets
        Recalls, ascending.
    margin
        The slowdown, as a share, that is too much.
    builds
        How many indexes are built of each side; None for one where the sides' answers are the same, else for
        as many as tell luck from change, where there is time for them.
    most_launches
        One of the looks: after so many launches the verdict is given.
    clock
        The time that counts; None for CPU time where both sides search in one thread of their own process,
        else wall time.
    batch
        Whether libraries are handed many queries at once, instead of one after the other.
    halves
        Whether one half of the queries chooses the settings and the other is told of.
    build
        Build parameters that are asked for, by the name of the algorithm; the preset has the others.
    """

    dataset: Dataset
    k: int
    cpu: int
    preset: str
    targets: tuple[float, ...]
    margin: float
    builds: int | None
    seed: int
    most_launches: int
    clock: Clock | None
    timeout_s: float | None
    memory_limit_bytes: int | None
    batch: bool = False
    halves: bool = False
    build: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """Queries, by their numbers in the dataset, and the bench whose workers have them in this order."""

    numbers: npt.NDArray[np.int64]
    bench: Bench


@dataclass(frozen=True)
class Frozen:
    """What is fixed before the first launch.

    Attributes
    ----------
    base, new
        The indexes of each side, build by build.
    points
        Where they are compared, of each build.
    clock
        The time that counts.
    in_process
        Whether both sides search in one thread of their own process.
    identical
        Whether both sides gave the same answers at every setting that they share; None where they share none.
    """

    base: tuple[Index, ...]
    new: tuple[Index, ...]
    points: tuple[Points, ...]
    clock: Clock
    in_process: bool
    identical: bool | None


@dataclass
class _Look:
    """What one look at all query settings of an index showed; dictionaries are by `Searched.key`."""

    searched: list[Searched] = field(default_factory=list)
    answers: dict[str, bytes] = field(default_factory=dict)
    right: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    counters: list[dict[str, Any]] = field(default_factory=list)
    build_info: dict[str, Any] = field(default_factory=dict)

    def redrawn(self, chosen: Sequence[Searched], shares: npt.NDArray[np.float64]) -> tuple[Searched, ...]:
        """Return settings with the recall that other shares of the queries give."""
        return tuple(replace(one, recall=float(shares @ self.right[one.key])) for one in chosen)

    def room(self, recall: float, k: int) -> float:
        """Return how far as many other queries may move the recall of the setting next to this one."""
        nearest = min(self.searched, key=lambda setting: abs(setting.recall - recall))
        right = self.right[nearest.key]
        return _ROOM * float(np.std(right)) / k * math.sqrt(2 / len(right))

    def covered(self, targets: Sequence[float]) -> float:
        """Return the share of the span of the targets that these settings' recalls enclose."""
        recalls = [setting.recall for setting in self.searched]
        low, high = max(targets[0], min(recalls)), min(targets[-1], max(recalls))
        span = targets[-1] - targets[0]
        return max(0.0, high - low) / span if span else float(low <= high)


class Survey:
    """Finds what is compared.

    Parameters
    ----------
    tuning, reporting
        The queries that choose, and those that are told of; one and the same where all do both.
    """

    def __init__(
        self,
        asked: Asked,
        tuning: Part,
        reporting: Part,
        report: Callable[[str], None],
    ) -> None:
        self._asked = asked
        self._tuning = tuning
        self._reporting = reporting
        self._bench = reporting.bench
        self._report = report
        self._truth = metrics.Truth.of(asked.dataset)
        self._most = len(asked.dataset.test)

    def freeze(self, base: Side, new: Side) -> Frozen:
        """Build the indexes, look at all settings once, and fix the points.

        Raises
        ------
        InvalidComparisonError
            If the sides are built differently, or have no recalls in common.
        SideError
            If one does not run.
        """
        groups = {"new": self._groups(new), "base": self._groups(base)}
        self._most = min(
            self._affordable(side, groups[name][0]) for name, side in (("base", base), ("new", new))
        )
        new_group, new_index, new_look = self._chosen(new, groups["new"])
        # BASE builds what NEW does, where its preset has that as well.
        alike = [group for group in groups["base"] if group.build == new_group.build]
        base_group, base_index, base_look = self._chosen(base, alike or groups["base"])
        one_library = base.algorithm.library == new.algorithm.library
        check_alike(base_look.build_info, new_look.build_info, one_library=one_library)
        built = [(base_index, new_index)]
        looked = [(base_look, new_look)]
        identical = _identical(looked)
        chosen = points.choose(
            base_look.searched,
            new_look.searched,
            self._asked.targets,
            answers=self._count(self._tuning) * self._asked.k,
            room=self._room(base_look, new_look),
        )
        builds = self._asked.builds or self._builds(base_index, new_index, identical=identical)
        if builds > 1:
            built = [
                self._both(number, builds, (base, base_group), (new, new_group)) for number in range(builds)
            ]
        if builds > 1 or self._halves:
            looked = [
                (
                    self._look(one, _queries(chosen.base), self._reporting),
                    self._look(other, _queries(chosen.new), self._reporting),
                )
                for one, other in built
            ]
            identical = identical and _identical(looked)
        if self._halves:
            answers = self._count(self._reporting) * self._asked.k
            base_look, new_look = looked[0]
            chosen = chosen.reported(base_look.searched, new_look.searched, answers)
        if builds == 1 and not identical:
            chosen = self._with_luck(chosen, *looked[0])
        indexes.forget_oldest([index for pair in built for index in pair])
        in_process = all(_in_process(look.counters) for both in looked for look in both)
        return Frozen(
            base=tuple(one for one, _ in built),
            new=tuple(other for _, other in built),
            points=tuple(chosen.at_recalls(one.searched, other.searched) for one, other in looked),
            clock=self._asked.clock or ("cpu" if in_process else "wall"),
            in_process=in_process,
            identical=identical,
        )

    @property
    def _halves(self) -> bool:
        return self._tuning is not self._reporting

    def _count(self, part: Part) -> int:
        """Return how many of these queries a look asks: those there is time for, in whole calls."""
        most = min(self._most, len(part.numbers))
        return most - most % self._bench.queries_per_call

    def _room(self, *looks: _Look) -> tuple[float, float]:
        """Return the room below and above the targets that the other half of the queries may take."""
        if not self._halves:
            return 0.0, 0.0
        lowest, highest = (
            max(look.room(target, self._asked.k) for look in looks)
            for target in (self._asked.targets[0], self._asked.targets[-1])
        )
        return lowest, highest

    def _groups(self, side: Side) -> Sequence[BuildGroup]:
        dataset, asked = self._asked.dataset, self._asked
        plan = config.expand(
            side.algorithm, asked.preset, distance=dataset.distance, dimension=dataset.dimension, k=asked.k
        )
        return config.with_build(plan.builds, asked.build.get(side.algorithm.name, {}))

    def _index(self, side: Side, group: BuildGroup) -> Index:
        return indexes.kept_index(self._bench, side, group.build, seed=self._asked.seed, report=self._report)

    def _chosen(self, side: Side, groups: Sequence[BuildGroup]) -> tuple[BuildGroup, Index, _Look]:
        """Return the first of a preset's builds that encloses all targets, or else the one that does most."""
        found = []
        for group in groups:
            index = self._index(side, group)
            self._report(f"{side.title}: looking at {len(group.queries)} settings once")
            look = self._look(index, group.queries, self._tuning)
            found.append((look.covered(self._asked.targets), group, index, look))
            if found[-1][0] >= 1:
                break
        return max(found, key=lambda one: one[0])[1:]

    def _builds(self, base: Index, new: Index, *, identical: bool | None) -> int:
        """Return how many indexes of each side to build where nobody said."""
        seconds = sum(index.costs["build_wall_ns"] or 0.0 for index in (base, new)) / 1e9
        affordable = (count for count in _BUILDS_FOR_LUCK if count * seconds <= _BUILDING_FOR_LUCK_S)
        return 1 if identical else next(affordable, 1)

    def _with_luck(self, chosen: points.Points, base: _Look, new: _Look) -> points.Points:
        """Tell how far drawing the queries anew moves the changes of these points, by bootstrap."""
        random = np.random.default_rng(self._asked.seed)
        count = self._count(self._reporting)
        answers = count * self._asked.k
        base_logs = np.log([one.ns_per_query for one in chosen.base])
        ratios = base_logs - np.log([one.ns_per_query for one in chosen.new])
        drawn = []
        for _ in range(_DRAWS):
            shares = random.multinomial(count, [1 / count] * count) / answers
            again = replace(
                chosen, base=base.redrawn(chosen.base, shares), new=new.redrawn(chosen.new, shares)
            )
            change, at = again.changes(ratios, base_logs)
            drawn.append([change, *at])
        return replace(chosen, luck=tuple(float(value) for value in np.std(drawn, axis=0)))

    def _both(self, number: int, builds: int, *sides: tuple[Side, BuildGroup]) -> tuple[Index, Index]:
        """Build an index of each side, one right after the other, whoever is first by turns."""
        self._report(f"building index {number + 1} of {builds} of both sides")
        made: dict[int, Index] = {}
        for place in (0, 1) if number % 2 == 0 else (1, 0):
            side, group = sides[place]
            keep = self._bench.folder / f"kept-{place}-{number}"
            seed = self._asked.seed + number
            made[place] = indexes.build(self._bench, side, group.build, seed=seed, keep=keep)
        return made[0], made[1]

    def _affordable(self, side: Side, group: BuildGroup) -> int:
        """Return how many queries there is time for with the slowest setting."""
        slowest = 1.0
        with self._bench.loaded(self._index(side, group), "first-look") as worker:
            for query in group.queries:
                worker.request("set_query", "set_query", self._bench.search_s, threads=1, parameters=query)
                reply = worker.request("warm_up", "search", self._bench.search_s)
                slowest = max(slowest, reply["query_ns"])
        return max(SEARCHED_QUERIES, int(SEARCH_NS / slowest))

    def _look(self, index: Index, queries: Sequence[Mapping[str, Any]], part: Part) -> _Look:
        """Search with each of these settings once; tell recall, time and answers.

        Some queries at a time, all settings by turns in a random order: a restless minute falls on all of
        them, and the median over those turns is their time.
        """
        look, count = _Look(), self._count(part)
        random = Random(self._asked.seed)  # noqa: S311 - an order, not a secret
        ids: list[list[npt.NDArray[np.int32]]] = [[] for _ in queries]
        ns_per_query: list[list[float]] = [[] for _ in queries]
        with part.bench.loaded(index, "look") as worker:
            look.build_info = dict(worker.build_info)
            for first, last in self._turns(count):
                for number in random.sample(range(len(queries)), len(queries)):
                    parameters = queries[number]
                    worker.request(
                        "set_query", "set_query", self._bench.search_s, threads=1, parameters=parameters
                    )
                    reply = worker.request("run", "search", self._bench.search_s, first=first, last=last)
                    ids[number].append(np.load(reply["ids"]))
                    ns_per_query[number].append(reply["timed_ns"] / (last - first))
                    look.counters.append(reply["counters"])
        for query, parts, times in zip(queries, ids, ns_per_query, strict=True):
            answers = np.concatenate(parts)
            right, attainable = self._right(answers, part.numbers[:count])
            recall = float(right.sum() / max(attainable, 1))
            searched = Searched(dict(query), recall, float(np.median(times)))
            look.searched.append(searched)
            look.right[searched.key] = right
            look.answers[searched.key] = answers.tobytes()
        return look

    def _turns(self, count: int) -> Iterator[tuple[int, int]]:
        """Return the first and last of the queries of each turn: one call of a batch, or a fifth of them."""
        step = self._bench.queries_per_call if self._asked.batch else max(1, -(-count // _TURNS))
        return ((first, min(first + step, count)) for first in range(0, count, step))

    def _right(
        self, ids: npt.NDArray[np.int32], asked: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], int]:
        """Return how many answers to each query are right, and how many there could be in all."""
        dataset = self._asked.dataset
        arrays: dict[str, npt.NDArray[Any]] = {
            "neighbors": ids,
            "distances": distances_to(dataset.distance, dataset.test[asked], dataset.train, ids),
        }
        record: dict[str, Any] = {"k": self._asked.k, "dataset": {"queries": len(ids)}}
        right, attainable = metrics.right_answers(metrics.Sample(record, arrays, self._truth.part(asked)))
        return np.asarray(right, dtype=np.int64), int(attainable.sum())


def _queries(settings: Sequence[Searched]) -> list[dict[str, Any]]:
    """Return the query parameters of settings, each once."""
    return list({one.key: one.query for one in settings}.values())


def _identical(looked: Sequence[tuple[_Look, _Look]]) -> bool | None:
    """Return whether sides agree at all settings they share, None where there is none."""
    shared = looked[0][0].answers.keys() & looked[0][1].answers.keys()
    if not shared:
        return None
    return all(one.answers[setting] == other.answers[setting] for one, other in looked for setting in shared)


def _in_process(counters: Sequence[dict[str, Any]]) -> bool:
    """Whether searches kept to one thread of the worker's own process, and waited for nobody else's."""
    own, all_threads, wall, children = (
        sum(counted[name] for counted in counters)
        for name in ("thread_cpu_ns", "process_cpu_ns", "wall_ns", "children")
    )
    alone = all_threads - own <= _MOST_OTHER_SHARE * all_threads + 1e6 and not children
    return bool(alone and own >= _LEAST_CPU_SHARE * wall)
