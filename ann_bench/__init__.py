"""Benchmarks of approximate-nearest-neighbour libraries, and an engine of our own in `ann_bench.engine`.

This module imports nothing, so that `import ann_bench.engine` needs NumPy alone.
"""

__version__ = "0.1.0"
