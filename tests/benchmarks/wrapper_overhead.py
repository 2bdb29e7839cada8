"""What a wrapper adds to its library's bare call: `python -m tests.benchmarks.wrapper_overhead [NAME ...]`.

For each algorithm that is installed, in its environment, on 5,000 rows at the quick setting that looks at
least: the wrapper's `query`, and the loop that a user would write in its place (`bare_calls.py` makes it of
the wrapper's source), alternate in blocks of 20 ms. It may add 3 % or 0.15 us, whichever is more.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from ann_bench.config import Algorithm, load_algorithms
from ann_bench.environments import describe
from ann_bench.paths import PACKAGE
from tests.wrappers.started import DIMENSION, make_spec

SHARE, LEAST_NS = 0.03, 150.0


def measure(algorithm: Algorithm, python: Path) -> tuple[float, float]:
    """Return the nanoseconds of a bare query, and what the wrapper adds."""
    distance = "angular" if "angular" in algorithm.distances else algorithm.distances[0]
    dimension = min(max(DIMENSION, algorithm.needs.min_dimension), algorithm.needs.max_dimension)
    program = Path(__file__).with_name("bare_calls.py")
    with tempfile.TemporaryDirectory() as folder:
        verdict = Path(folder) / "verdict.json"
        spec = make_spec(algorithm, distance, dimension) | {
            "folder": folder,
            "verdict": str(verdict),
            "part": "",
        }
        command = [str(python), "-I", str(program), str(PACKAGE), str(program.parents[1]), json.dumps(spec)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=folder)
        if not verdict.exists():
            raise RuntimeError(done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}")
        found = json.loads(verdict.read_text())
    return found["bare_ns"], found["added_ns"]


def main() -> int:
    """Print a line for each algorithm; return 1 if one adds too much or fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help="algorithms (default: all that are installed)"
    )
    args = parser.parse_args()
    failed = 0
    print(f"{'algorithm':28} {'bare us':>10} {'added us':>9} {'added':>7}")
    for name, algorithm in load_algorithms().items():
        environment = describe(algorithm.environment)
        if (
            (args.names and name not in args.names)
            or environment.python is None
            or environment.state != "ready"
        ):
            continue
        try:
            bare_ns, added_ns = measure(algorithm, environment.python)
        except RuntimeError as error:
            failed += 1
            print(f"{name:28} failed: {error}")
            continue
        much = added_ns > max(SHARE * bare_ns, LEAST_NS)
        failed += much
        mark = "  TOO MUCH" if much else ""
        print(
            f"{name:28} {bare_ns / 1e3:10.2f} {added_ns / 1e3:9.3f} {added_ns / bare_ns:7.1%}{mark}",
            flush=True,
        )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
