"""Every test of datasets has folders of its own, and no network."""

from pathlib import Path

import pytest

from ann_bench import paths


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point cache, downloads and search path into `tmp_path`; return the folder of ANN_BENCH_DATA."""
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setenv("ANN_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ANN_BENCH_DATA", str(data))
    assert paths.downloads_dir() == tmp_path / "cache" / "datasets"
    return data
