"""What the verdict says on simulated machines, where the truth is known.

    python -m tests.benchmarks.verdict_simulations [--machines 1000]

The noise is that of tests/compare/simulated.py. For each true slowdown: how often each verdict and the word
*slower* or *faster* came, how often the interval holds the truth, and how wide it is on average.
"""

import argparse
from collections import Counter

import numpy as np

from tests.compare.simulated import covered, trials, width

SLOWDOWNS = (0.0, 0.01, 0.02, 0.03, 0.05)
VERDICTS = ("pass", "regression", "inconclusive", "invalid")
WORDS = ("slower", "faster")


def main() -> None:
    """Print a row for each true slowdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--machines", type=int, default=1000, metavar="N", help="for each row (1000)")
    machines = parser.parse_args().machines
    heads = ("slowdown", *VERDICTS, *WORDS, "covered", "mean width")
    print("  ".join(f"{head:>{max(len(head), 8)}}" for head in heads))
    for slowdown in SLOWDOWNS:
        verdicts = trials(machines, slowdown=slowdown)
        names = Counter(verdict.name for verdict in verdicts)
        words = Counter(verdict.word for verdict in verdicts)
        shares = [names[name] / machines for name in VERDICTS] + [words[word] / machines for word in WORDS]
        shares += [covered(verdicts, -float(np.log1p(slowdown))), width(verdicts)]
        cells = zip(heads, [slowdown, *shares], strict=True)
        print("  ".join(f"{share:{max(len(head), 8)}.1%}" for head, share in cells), flush=True)


if __name__ == "__main__":
    main()
