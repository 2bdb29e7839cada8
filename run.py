#!/usr/bin/env python3
"""Measure algorithms on a dataset: `python run.py --help`."""

import sys

from ann_bench.cli.main import main

if __name__ == "__main__":
    sys.exit(main(script="run"))
