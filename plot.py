#!/usr/bin/env python3
"""Draw what lies in results/: `python plot.py --help`."""

import sys

from ann_bench.cli.main import main

if __name__ == "__main__":
    sys.exit(main(script="plot"))
