"""Where things live: in a clone beside the code, in an installed package under its data and the user's cache.

In a clone `algorithms.yaml`, `datasets/` and `install/` are the checked-in ones, and what is downloaded or
installed lies beside them, ignored by git. A wheel carries read-only copies under `ann_bench/_data`;
downloads and environments then go to the platform's cache folder.
"""

import os
from pathlib import Path

import platformdirs

PACKAGE = Path(__file__).resolve().parent
_ROOT = PACKAGE.parent
_CARRIED = PACKAGE / "_data"


def in_clone() -> bool:
    """Whether the code runs from a checkout of the project (also when installed in editable mode)."""
    return (_ROOT / "pyproject.toml").is_file() and (_ROOT / "algorithms.yaml").is_file()


def carried(name: str) -> Path:
    """Path of something that ships with the project: `algorithms.yaml`, `datasets/...`, `install/...`."""
    return (_ROOT if in_clone() else _CARRIED) / name


def cache_dir() -> Path:
    """Folder for environments and wheels; `ANN_BENCH_CACHE` overrides it."""
    override = os.environ.get("ANN_BENCH_CACHE")
    if override:
        return Path(override).expanduser().resolve()
    return _ROOT / ".cache" if in_clone() else platformdirs.user_cache_path("ann_bench")


def downloads_dir() -> Path:
    """Folder that datasets are downloaded to."""
    return (
        _ROOT / "datasets" if in_clone() and "ANN_BENCH_CACHE" not in os.environ else cache_dir() / "datasets"
    )


def environments_dir() -> Path:
    """Folder that holds one virtual environment per library."""
    return cache_dir() / "environments"


def wheels_dir() -> Path:
    """Folder that keeps the wheels that were built here once."""
    return cache_dir() / "wheels"


def dataset_search_path() -> list[Path]:
    """Folders to look for a dataset in, first to last: `ANN_BENCH_DATA`, downloads, what ships with us."""
    named = [part for part in os.environ.get("ANN_BENCH_DATA", "").split(os.pathsep) if part]
    return [*(Path(part).expanduser() for part in named), downloads_dir(), carried("datasets")]
