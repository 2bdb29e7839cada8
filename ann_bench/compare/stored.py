"""Two results folders against each other: what files can tell of a change without a paired run.

Compared are settings of the same build and query parameters. Gated is what files can be trusted with: recall,
distance computations, bytes. Time is not: two runs at different times differ by more than most changes do, so
its ratios are given without a judgement.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

from ann_bench import frontier
from ann_bench.compare.findings import (
    BYTES,
    Comparison,
    Findings,
    Margins,
    Part,
    RatioChange,
)
from ann_bench.compare.matching import (
    Pair,
    Side,
    as_typed,
    check_datasets,
    curves,
    listed,
    metric,
    parameters,
)
from ann_bench.compare.stored_recall import find_truth, recall_changes
from ann_bench.errors import InvalidComparisonError
from ann_bench.metrics import METRICS, Truth
from ann_bench.results import Record

TARGETS = (0.9, 0.95, 0.99)


def compare(
    base: Side,
    new: Side,
    *,
    margins: Margins | None = None,
    targets: Sequence[float] = TARGETS,
    truth_of: Callable[[Record], Truth | None] = find_truth,
) -> Comparison:
    """Return what changed from `base` to `new`; of a setting measured several times the newest counts.

    Parameters
    ----------
    base, new
        The two sides.
    margins
        What is tolerated.
    targets
        Recalls at which distance computations and speed are compared.
    truth_of
        Gives the exact answers to all queries of a record's dataset, None where they cannot be had.

    Raises
    ------
    InvalidComparisonError
        If the sides have nothing in common, their datasets of one name differ, or a file is damaged.
    """
    margins = margins or Margins()
    check_datasets(base, new)
    bases, news = curves(base.records), curves(new.records)
    shared = [curve for curve in bases if curve in news]
    if not shared:
        raise InvalidComparisonError(
            f"{base.name} and {new.name} have no dataset, k, mode and algorithm in common: "
            f"BASE has {listed(bases)}; NEW has {listed(news)}"
        )
    truths: dict[tuple[str, int], Truth | None] = {}
    findings = []
    for curve in shared:
        content = curve.sha256, curve.k
        if content not in truths:
            truths[content] = truth_of(next(iter(bases[curve].values())))
        findings.append(_find(bases[curve], news[curve], truths[content], margins, targets))
    if not any(found.matched or found.broken for found in findings):
        raise InvalidComparisonError(
            f"{base.name} and {new.name} have no measured setting in common: of {shared[0]} "
            f"BASE has {listed(map(as_typed, findings[0].only_base))}; "
            f"NEW has {listed(map(as_typed, findings[0].only_new))}"
        )
    return Comparison(
        base=base.name,
        new=new.name,
        margins=margins,
        targets=tuple(targets),
        findings=tuple(findings),
        only_base=tuple(str(curve) for curve in bases if curve not in news),
        only_new=tuple(str(curve) for curve in news if curve not in bases),
    )


def _find(
    bases: dict[str, Record],
    news: dict[str, Record],
    truth: Truth | None,
    margins: Margins,
    targets: Sequence[float],
) -> Findings:
    """Return the findings about one curve, whose settings `bases` and `news` hold by the same keys."""
    base_ran, new_ran = ({key for key, r in side.items() if r["status"] == "ok"} for side in (bases, news))
    broken = {
        key: f"{failure['kind']} in {failure['stage']}"
        for key, record in news.items()
        if key in base_ran and (failure := record["failure"]) and failure["kind"] != "timeout"
    }
    pairs = [Pair(bases[key], news[key]) for key in bases if key in base_ran & new_ran]
    recalls, remarks = recall_changes(pairs, truth, margins.recall)
    gated = [_at_recalls(pairs, "distance_computations", targets, margins.ratio, remarks)]
    gated += [_of_builds(pairs, cost, margins.of(cost)) for cost in BYTES]
    times = []
    if _one_processor(pairs, remarks):
        times = [_at_recalls(pairs, "qps", targets, None, remarks), _of_builds(pairs, "build_wall_ns", None)]
    first = next(iter(bases.values()))
    return Findings(
        dataset=first["dataset"],
        k=first["k"],
        mode=first["mode"],
        threads=first["threads"],
        algorithm=first["algorithm"]["name"],
        base_versions=_versions(bases),
        new_versions=_versions(news),
        matched=len(pairs),
        only_base=tuple(parameters(bases[key]) for key in bases if key in base_ran - new_ran - broken.keys()),
        only_new=tuple(parameters(news[key]) for key in news if key in new_ran - base_ran),
        broken=tuple((parameters(news[key]), how) for key, how in broken.items()),
        recalls=tuple(recalls),
        ratios=tuple(change for change in gated if change),
        times=tuple(change for change in times if change),
        remarks=tuple(remarks),
    )


def _versions(settings: dict[str, Record]) -> tuple[str, ...]:
    return tuple(sorted({record["library_version"] for record in settings.values()}))


def _at_recalls(
    pairs: Sequence[Pair], name: str, targets: Sequence[float], margin: float | None, remarks: list[str]
) -> RatioChange | None:
    """Return the change of a metric at equal recall, a part per target that both sides' frontiers enclose.

    Where they enclose none of the targets, three recalls are taken that cut what they do enclose in quarters.
    Why there is none, or at other recalls, goes to `remarks`.
    """
    label, higher = METRICS[name].label.lower(), METRICS[name].higher_is_better
    told = [
        (recalls, values)
        for pair in pairs
        if pair.same_queries and (recalls := pair.metric("recall")) and (values := pair.metric(name))
        if min(values) > 0
    ]
    if not told:
        if any(metric(record, name) for pair in pairs for record in (pair.base, pair.new)):
            remarks.append(
                f"{label}: not compared, as no setting tells it for the same queries on both sides"
            )
        return None
    sides = [([recalls[i] for recalls, _ in told], [values[i] for _, values in told]) for i in (0, 1)]
    frontiers = [[recall[i] for i in frontier.pareto(recall, v, y_higher=higher)] for recall, v in sides]
    low, high = max(recalls[0] for recalls in frontiers), min(recalls[-1] for recalls in frontiers)
    if low > high:
        remarks.append(f"{label}: not compared, as no recall lies within the frontiers of both sides")
        return None
    answers = max(1, pairs[0].base["dataset"]["queries"] * pairs[0].base["k"])
    enclosed = [target for target in targets if low <= target <= high]
    if not enclosed:
        enclosed = _quarters(low, high, answers)
        remarks.append(
            f"{label}: at recall {', '.join(f'{at:.3g}' for at in enclosed)}, as both sides' frontiers reach "
            f"only from {low:.3g} to {high:.3g}"
        )
    interpolate = partial(frontier.interpolate, answers=answers, higher_is_better=higher)
    found = [(at, interpolate(*sides[0], at), interpolate(*sides[1], at)) for at in enclosed]
    parts = tuple(Part(at, base, new) for at, base, new in found if base is not None and new is not None)
    return RatioChange(name, parts, margin)


def _quarters(low: float, high: float, answers: int) -> list[float]:
    """Return the recalls at a quarter, half and three quarters of the way in nines, or the one there is."""
    if low == high:
        return [low]
    first, last = frontier.nines([low, high], answers)
    return [float(1 - 10 ** -(first + (last - first) * share)) for share in (0.25, 0.5, 0.75)]


def _of_builds(pairs: Sequence[Pair], cost: str, margin: float | None) -> RatioChange | None:
    """Return the change of a cost, a part per build: the median over its settings, which differ in peaks."""
    builds: dict[str, list[tuple[Pair, float, float]]] = {}
    for pair in pairs:
        base, new = (record["costs"].get(cost) or 0 for record in (pair.base, pair.new))
        if base > 0 and new > 0:
            builds.setdefault(json.dumps(pair.base["build"], sort_keys=True), []).append((pair, base, new))
    parts = [
        Part(
            at=dict(same[0][0].base["build"]),
            base=float(median(base for _, base, _ in same)),
            new=float(median(new for _, _, new in same)),
        )
        for same in builds.values()
    ]
    return RatioChange(cost, tuple(parts), margin) if parts else None


def _one_processor(pairs: Sequence[Pair], remarks: list[str]) -> bool:
    """Return whether everything was measured on one processor; where not, say so in `remarks`."""
    base, new = (
        {str(record["machine"].get("cpu") or "unknown") for record in side}
        for side in ([p.base for p in pairs], [p.new for p in pairs])
    )
    if not pairs or (base == new and len(base) == 1 and base != {"unknown"}):
        return bool(pairs)
    remarks.append(
        f"time: left out, as it is not from one processor: BASE on {listed(sorted(base))}; "
        f"NEW on {listed(sorted(new))}"
    )
    return False
