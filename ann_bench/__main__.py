"""`python -m ann_bench` is `ann-bench`."""

import sys

from ann_bench.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
