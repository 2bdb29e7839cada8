"""`ann-bench doctor`: what on this machine disturbs a measurement, and how small an effect it could show."""

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

from ann_bench.cli.arguments import check_cpus, cpu_list, seconds

if TYPE_CHECKING:
    from ann_bench.compare.probe import Probe
    from ann_bench.health import Activity, Finding

HELP = "look at what disturbs measurements on this machine"
_LOOK_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `ann-bench doctor`."""
    parser.description = (
        "Look at what disturbs measurements on this machine, say what to do about it, and hold two identical "
        "workers against each other (A/A) to see how small an effect a comparison could find here."
    )
    parser.epilog = """\
examples:
  ann-bench doctor
  ann-bench doctor --cpus 2 --seconds 60       another core, a closer look
  ann-bench doctor --no-probe --json

exit status: 0 it looked, whatever it found; 2 usage; 130 interrupted"""
    parser.add_argument(
        "--cpus",
        type=cpu_list,
        metavar="LIST",
        help="cores to look at, the probe at the first, such as 1 or 0,2-4 (default: the last one)",
    )
    parser.add_argument(
        "--seconds",
        type=seconds,
        default=5.0,
        metavar="TIME",
        help="how long to probe, such as 5 or 2m (default: %(default)g)",
    )
    parser.add_argument("--no-probe", action="store_true", help="leave the A/A probe out")
    parser.add_argument("--json", action="store_true", help="print JSON; null is unknown")


def main(args: argparse.Namespace) -> int:
    """Look, probe and print."""
    from ann_bench.health import examine
    from ann_bench.machine import allowed_cpus, machine_facts

    allowed = allowed_cpus()
    cpus = list(args.cpus or allowed[-1:])
    check_cpus(cpus, allowed)
    facts = machine_facts(cpus)
    activity, probe = _look(args, facts)
    findings = examine(facts, activity)
    if args.json:
        print(_as_json(facts, activity, findings, probe))
        return 0
    from ann_bench.cli import doctor_display

    doctor_display.show_findings(facts, findings)
    if probe is not None:
        doctor_display.show_probe(probe, cpus[0])
    return 0


def _look(args: argparse.Namespace, facts: dict[str, Any]) -> "tuple[Activity, Probe | str | None]":
    """Return what the core did while it was let be, and what the probe saw, or why there was none.

    Steal is that of the whole time: the host can take a core away only while it has work.
    """
    from dataclasses import replace

    from ann_bench.compare.probe import run_probe
    from ann_bench.errors import AnnBenchError
    from ann_bench.health import Watched

    cpu = facts["cpus_used"][0]
    watched = Watched(cpu, facts["smt_siblings"] or [])
    if sys.stderr.isatty():
        probing = "" if args.no_probe else f", then probing it for {args.seconds:g} s"
        print(f"looking at core {cpu} for {_LOOK_S:g} s{probing}", file=sys.stderr)
    time.sleep(_LOOK_S)
    quiet = watched.so_far()
    probe: Probe | str | None = None
    if not args.no_probe:
        try:
            probe = run_probe(cpu, args.seconds)
        except (AnnBenchError, OSError) as error:
            probe = str(error)
    return replace(quiet, steal_percent=watched.so_far().steal_percent), probe


def _as_json(
    facts: dict[str, Any],
    activity: "Activity",
    findings: "list[Finding]",
    probe: "Probe | str | None",
) -> str:
    import json
    from dataclasses import asdict

    probed = {"failure": probe} if isinstance(probe, str) else probe and asdict(probe)
    return json.dumps(
        {
            "machine": facts,
            "activity": asdict(activity),
            "findings": [asdict(finding) for finding in findings],
            "probe": probed,
        },
        indent=2,
    )
