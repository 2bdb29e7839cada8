"""How `ann-bench doctor` prints what it found."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ann_bench.compare.estimate import LOOKS
from ann_bench.compare.probe import Known, Probe
from ann_bench.health import Finding
from ann_bench.text import printable

_UNKNOWN = "unknown"


def show_findings(facts: Mapping[str, Any], findings: Sequence[Finding]) -> None:
    """Print one line for each finding, longer where there is something to say."""
    console = Console(markup=False, highlight=False)
    cpus = ", ".join(map(str, facts["cpus_used"]))
    cores = "core" if len(facts["cpus_used"]) == 1 else "cores"
    console.print(printable(f"{facts['cpu']}, {facts['logical_cores']} cores; looked at {cores} {cpus}"))
    console.print()
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", max_width=20)
    table.add_column(overflow="fold", ratio=1)
    for finding in findings:
        value = Text(printable(finding.value or _UNKNOWN), style="" if finding.value else "dim")
        table.add_row(Text(finding.name, style="dim"), value, Text(printable(finding.advice)))
    console.print(table)


def show_probe(probe: Probe | str, cpu: int) -> None:
    """Print what the probe found, or why there was none."""
    console = Console(markup=False, highlight=False)
    console.print()
    if isinstance(probe, str):
        console.print(printable(f"A/A probe: unknown, {probe}"))
        return
    launches = len(probe.launches)
    console.print(
        f"A/A probe: core {cpu}, {launches} launch{'' if launches == 1 else 'es'} of two identical workers, "
        f"blocks of {probe.block_wall_ns / 1e6:.0f} ms"
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("log of A / A", no_wrap=True)
    for title in ("by CPU time", "by wall time"):
        table.add_column(title, justify="right", no_wrap=True)
    clocks = (probe.cpu, probe.wall)
    table.add_row("SD within a launch", *(_percent(noise.within_sd) for noise in clocks))
    table.add_row("SD across launches", *(_range(noise.across_sd) for noise in clocks))
    for count in LOOKS:
        effects = (_range(noise.smallest_effects.get(count)) for noise in clocks)
        table.add_row(f"smallest effect, {count:>2} launches", *effects)
    console.print(table)
    for note in _notes(probe):
        console.print(note)


def _notes(probe: Probe) -> list[str]:
    """Return what has to be known to read the table."""
    notes = [f"Note: {printable(message)}." for message in probe.messages]
    if probe.cpu.across_sd is None:
        notes.append("One launch cannot tell how launches differ: give it more time, as in --seconds 20.")
        return notes
    notes.append(
        "Smallest effect: half the width of a comparison's interval, t x SD / sqrt(launches). Half of all "
        "comparisons find an effect of this size, nearly all find one of twice its size. The launches of a "
        "probe are short: where the spread within a launch is what limits it, a comparison does better."
    )
    if not probe.enough_launches:
        notes.append(
            f"In brackets: 95 % intervals. {len(probe.launches)} launches tell only roughly how launches "
            "differ; --seconds 60 tells it better."
        )
    return notes


def _range(known: Known | None) -> str:
    if known is None:
        return _UNKNOWN
    low, high = (_percent(limit).removesuffix(" %") for limit in (known.low, known.high))
    return f"{_percent(known.value)} ({low} to {high})"


def _percent(share: float | None) -> str:
    if share is None:
        return _UNKNOWN
    return f"{100 * share:.{0 if share >= 0.1 else 1 if share >= 0.01 else 2}f} %"
