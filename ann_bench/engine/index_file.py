"""What can be told of a saved index of any kind without using it."""

import os
from typing import Any

from ann_bench.engine import _native


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what an index file says of itself; nothing but its header page is read.

    The keys are kind, file_version, bytes, facts (what `info` of the index tells; None if this build does not
    know the kind) and sections: a list in the order of the file, each with name, offset, bytes,
    element_bytes, elements and xxh3_64 (the checksum that the section should have, in hexadecimal).

    Raises
    ------
    DamagedIndexError
        If the file is no index, was cut off, or comes from another version.
    OSError
        If the file cannot be read.
    """
    description = _native.describe_file(os.fsencode(path))
    known = description["kind"] in ("flat", "forest", "graph", "cluster")
    facts = _native.open_index(os.fsencode(path), "mmap").info() if known else None
    return description | {"facts": facts}


def verify(path: str | os.PathLike[str]) -> None:
    """Return if every byte of an index file is as it was written; reads all of it, and keeps none of it.

    Raises
    ------
    DamagedIndexError
        If not: as `describe`, or with the name and place of the first section that is damaged.
    OSError
        If the file cannot be read.
    """
    _native.verify_file(os.fsencode(path))
