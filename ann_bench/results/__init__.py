"""The results files: one HDF5 file per measurement, and a disposable index over them.

A file lies at ROOT/DATASET/K/MODE/ALGORITHM/HASH.hdf5, where HASH stands for the measurement's identity: all
that must be equal for a second measurement to be a repetition of the first. Its attribute `record` is JSON
and tells everything but the arrays, the environment's lock and the log, which are datasets.
`results/README.md` describes the files for their readers.
"""

from ann_bench.results.files import path_part, read, read_record, write
from ann_bench.results.index import scan
from ann_bench.results.record import (
    IMPORTED,
    SCHEMA_VERSION,
    Measurement,
    Record,
    identity_hash,
    newest,
    select,
    setting_of,
)

__all__ = [
    "IMPORTED",
    "SCHEMA_VERSION",
    "Measurement",
    "Record",
    "identity_hash",
    "newest",
    "path_part",
    "read",
    "read_record",
    "scan",
    "select",
    "setting_of",
    "write",
]
