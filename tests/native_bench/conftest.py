"""The scripts of native/bench import each other by name, from their own folder."""

import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "native" / "bench"
sys.path.insert(0, str(BENCH))
