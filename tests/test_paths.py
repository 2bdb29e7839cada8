"""Where things live."""

import os
from pathlib import Path

import pytest

from ann_bench import paths


def test_a_clone_keeps_everything_inside_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ANN_BENCH_CACHE downloads lie in datasets/, environments in .cache/ of the clone."""
    monkeypatch.delenv("ANN_BENCH_CACHE", raising=False)
    root = Path(__file__).parents[1]
    assert paths.in_clone()
    assert paths.carried("algorithms.yaml") == root / "algorithms.yaml"
    assert paths.downloads_dir() == root / "datasets"
    assert paths.environments_dir() == root / ".cache" / "environments"


def test_the_cache_can_be_put_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ANN_BENCH_CACHE holds downloads, environments and wheels."""
    monkeypatch.setenv("ANN_BENCH_CACHE", str(tmp_path))
    assert paths.downloads_dir() == tmp_path / "datasets"
    assert paths.environments_dir() == tmp_path / "environments"
    assert paths.wheels_dir() == tmp_path / "wheels"


def test_an_installed_package_carries_its_own_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Outside a clone catalogues come with the package, and the cache is the user's."""
    monkeypatch.setattr(paths, "_ROOT", tmp_path)
    monkeypatch.delenv("ANN_BENCH_CACHE", raising=False)
    assert paths.carried("algorithms.yaml") == paths.PACKAGE / "_data" / "algorithms.yaml"
    assert tmp_path not in paths.downloads_dir().parents


def test_named_folders_are_searched_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ANN_BENCH_DATA may name several folders; downloads and what ships come after them."""
    monkeypatch.setenv("ANN_BENCH_DATA", os.pathsep.join([str(tmp_path), "", "~/vectors"]))
    first, second, *rest = paths.dataset_search_path()
    assert (first, second) == (tmp_path, Path.home() / "vectors")
    assert paths.carried("datasets") in rest
