"""What is compared, and what is asked of it: the settings of every library, and the bars.

A setting is an index (`build`) and how it is searched (`query`, and one parameter that is swept). Change
`GRIDS["engine-forest"]` when the engine's parameters change; nothing else here knows them.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

OURS = "engine-forest"
SEED = 1


@dataclass(frozen=True)
class TimesK:
    """A value of a parameter that goes with the number of neighbours."""

    factor: float


def resolved(names: Iterable[str], values: Iterable[Any], k: int) -> dict[str, Any]:
    """Return parameters by name, as they are for `k` neighbours."""
    return {
        name: round(value.factor * k) if isinstance(value, TimesK) else value
        for name, value in zip(names, values, strict=True)
    }


@dataclass(frozen=True)
class Grid:
    """The settings of one library.

    Attributes
    ----------
    build, query
        Values of the parameters; all combinations are tried, the first first.
    sweep
        The query parameter that trades speed for recall; larger is slower and better.
    start
        Its first value in multiples of k; it is doubled until the recall asked for is reached.
    values
        Its values, where it is no such number.
    """

    build: dict[str, list[Any]]
    sweep: str
    query: dict[str, list[Any]] = field(default_factory=dict)
    start: int = 1
    values: tuple[float, ...] = ()


GRIDS = {
    OURS: Grid(
        build={"n_trees": [3, 2, 5, 20]},
        query={"rerank": [TimesK(factor) for factor in (3, 4, 6, 8, 12, 24, 1.5)]},
        sweep="search_k",
        start=20,
    ),
    # The likely fastest first: what turns out slower than it is not followed to the end.
    "annoy": Grid(build={"n_trees": [100, 200, 50, 400, 20]}, sweep="search_k", start=20),
    "hnswlib": Grid(build={"M": [16], "ef_construction": [200]}, sweep="ef"),
    "mrpt": Grid(
        build={"k": [TimesK(1)]},
        sweep="target_recall",
        values=(0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.965, 0.98, 0.99, 0.995),
    ),
}

QUICK = {
    OURS: {"n_trees": [5, 10]},
    "annoy": {"n_trees": [50, 20]},
    "hnswlib": {"M": [16], "ef_construction": [100]},
    "mrpt": {},
}

SMALLER_WITHIN = 0.05
"""Of the indexes whose speed is within this of the fastest, the smallest is taken."""

DATASETS = (
    "fashion-mnist-784-euclidean",
    "glove-100-angular-195k",
    "minilm-384-angular-100k",
    "sift-photo-128-euclidean-250k",
    "orb-256-hamming-150k",
    "gowalla-64-dot",
)
QUICK_DATASET = "glove-100-angular-25k"


@dataclass(frozen=True)
class Bars:
    """What is asked for at k = 10; None where nothing is.

    Attributes
    ----------
    qps
        At least this, ours over theirs, by recall.
    bytes_large, bytes_always
        At most this, ours over theirs: where theirs has 100 trees or more, and in any case.
    build_cpu, build_cpu_equal_trees
        At most this, ours over theirs: the two indexes that were timed, and two of as many trees.
    """

    qps: dict[float, float]
    bytes_large: float | None = None
    bytes_always: float | None = None
    build_cpu: float | None = None
    build_cpu_equal_trees: float | None = None


def _annoy(qps: dict[float, float]) -> Bars:
    return Bars(qps, bytes_large=0.8, bytes_always=1.0, build_cpu=1 / 5, build_cpu_equal_trees=1 / 3)


_BARS = {
    "annoy": {
        "glove-100-angular-195k": _annoy({0.95: 5, 0.99: 5}),
        "sift-photo-128-euclidean-250k": _annoy({0.95: 5, 0.99: 5}),
        "fashion-mnist-784-euclidean": _annoy({0.95: 10, 0.99: 10}),
        "minilm-384-angular-100k": _annoy({0.95: 10, 0.99: 10}),
        "orb-256-hamming-150k": Bars({0.95: 3}),
        "gowalla-64-dot": Bars({0.95: 3}),
    },
    "mrpt": dict.fromkeys(DATASETS[:4], Bars({0.95: 2})),
    "hnswlib": {
        "sift-photo-128-euclidean-250k": Bars({0.95: 1}, build_cpu=1 / 10),
        "glove-100-angular-195k": Bars({0.95: 0.5}, build_cpu=1 / 10),
    },
}
_RECALLS = {"annoy": (0.95, 0.99), OURS: (0.95, 0.99)}


def bars(opponent: str, dataset: str, k: int) -> Bars:
    """Return what is asked for against `opponent` on `dataset`; bars without a number where nothing is."""
    return _BARS.get(opponent, {}).get(dataset, Bars({})) if k == 10 else Bars({})


def recalls(opponent: str, dataset: str) -> tuple[float, ...]:
    """Return the recalls to compare at where the user names none: those of the bars, if there are any."""
    return tuple(bars(opponent, dataset, 10).qps) or _RECALLS.get(opponent, (0.95,))


def add_set(parser: argparse.ArgumentParser) -> None:
    """Let the command line name other values of the engine's parameters."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_change,
        metavar="NAME=V[,V...]",
        help="try other values of one of the engine's parameters; may be repeated",
    )


def _change(text: str) -> tuple[str, list[Any]]:
    """Return the parameter and the values that NAME=VALUE[,VALUE...] names."""
    name, equals, values = text.partition("=")
    known = {**GRIDS[OURS].build, **GRIDS[OURS].query}
    if not equals or name not in known:
        raise argparse.ArgumentTypeError(
            f"got {text}; it is NAME=VALUE[,VALUE...], NAME one of {', '.join(known)}"
        )
    return name, [int(value) for value in values.split(",")]
