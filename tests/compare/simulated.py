"""A machine that lies, simulated: launches of two sides whose true difference is known.

The noise is that of a shared virtual machine as it was measured: the whole machine's speed jumps between
levels (an SD of 8.6 % for runs one after the other), each worker has a luck of its own with memory layout
that lasts for its launch (an SD of 0.75 % for the difference of two), visits scatter, and some are cut short
by others.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ann_bench.compare.estimate import LOOKS
from ann_bench.compare.launch import Launch, Quad, Shown, show
from ann_bench.compare.points import Points, Searched
from ann_bench.compare.verdict import Verdict, judge_changes

LEVEL_SD = 0.086
LEVEL_LASTS_S = 5.0
LUCK_SD = 0.0053
VISIT_SD = 0.01
CUT_SHARE = 0.02
ROUNDS = 5
VISIT_S = 0.06

RECALLS = (0.88, 0.92, 0.96, 0.995)
NS = (30e3, 40e3, 60e3, 150e3)


def points() -> Points:
    """Return the points of two sides whose settings are alike."""
    settings = tuple(
        Searched({"ef": number}, recall, ns)
        for number, (recall, ns) in enumerate(zip(RECALLS, NS, strict=True))
    )
    return Points(settings, settings, (0.9, 0.95, 0.99), (0.9, 0.99), 10_000)


@dataclass
class Machine:
    """Draws launches; `slowdown` is what NEW takes longer, as a share.

    `later` is how much longer, as a share, a visit takes that is a quad's second or fourth; `balanced`
    whether the order is A B B A or B A A B by a coin, and not always A B A B.
    """

    seed: int
    slowdown: float = 0.0
    later: float = 0.0
    balanced: bool = True

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)
        self._level = self._random.normal(0, LEVEL_SD)

    def launches(self) -> Iterator[Launch]:
        """Yield launch after launch."""
        number = 0
        while True:
            yield self._launch(number)
            number += 1

    def _launch(self, number: int) -> Launch:
        draw = self._random
        luck = dict(zip(("base", "control", "new"), draw.normal(0, LUCK_SD, 3), strict=True))
        luck["new"] += np.log1p(self.slowdown)
        quads = []
        for round_number in range(ROUNDS):
            plan = [(pair, False) for pair in range(len(NS))]
            plan += [((round_number * 2 + i) % len(NS), True) for i in range(2)]
            for pair, control in (plan[i] for i in draw.permutation(len(plan))):
                swapped = self.balanced and bool(draw.random() < 0.5)
                second = "control" if control else "new"
                order = (0, 1, 1, 0) if not swapped else (1, 0, 0, 1)
                if not self.balanced:
                    order = (0, 1, 0, 1)
                times, cut = [], False
                for place, side in enumerate(order):
                    if draw.random() < VISIT_S / LEVEL_LASTS_S:
                        self._level = draw.normal(0, LEVEL_SD)
                    log = (
                        np.log(NS[pair])
                        + self._level
                        + luck[second if side else "base"]
                        + draw.normal(0, VISIT_SD)
                    )
                    if place % 2:
                        log += np.log1p(self.later)
                    if draw.random() < CUT_SHARE:
                        log += draw.uniform(0.02, 0.5)
                        cut = cut or bool(draw.random() < 0.5)
                    times.append(float(np.exp(log)))
                if not self.balanced:  # what a harness would hold for A B B A
                    times = [times[0], times[1], times[3], times[2]]
                quads.append(Quad(pair, control, swapped, 1000, times, times, cut))
        return Launch(number, 0, quads)


MARGIN = 0.02
POINTS = points()


def decided(machine: Machine) -> Verdict:
    """Return the verdict on a machine, after as many launches as it takes."""
    shown: list[Shown] = []
    for launch in machine.launches():
        if (told := show(launch, POINTS, "cpu")) is not None:
            shown.append(told)
        if len(shown) in LOOKS:
            verdict = judge_changes(shown, POINTS, margin=MARGIN)
            if verdict.decided:
                return verdict
    raise AssertionError


def trials(count: int, **of_a_machine: float) -> list[Verdict]:
    """Return the verdicts on so many machines."""
    return [decided(Machine(seed, **of_a_machine)) for seed in range(count)]


def covered(verdicts: list[Verdict], truth: float) -> float:
    """Return the share of intervals that hold the truth."""
    found = [verdict.change for verdict in verdicts if verdict.change]
    return float(np.mean([change.low <= truth <= change.high for change in found]))


def width(verdicts: list[Verdict]) -> float:
    """Return the mean width of the intervals, in log units."""
    return float(
        np.mean([verdict.change.high - verdict.change.low for verdict in verdicts if verdict.change])
    )
