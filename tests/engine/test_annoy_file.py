"""Files that Annoy wrote: its ids in its order, and harmless when damaged."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ann_bench.engine.annoy import AnnoyIndex
from ann_bench.environments import describe
from tests.engine import annoy_answers
from tests.engine.test_forest_file import run_python

GOLDEN = Path(__file__).parents[1] / "golden" / "annoy"

# Opens each file as each metric and asks it all there is to ask; anything but these errors is a crash.
OPEN_AND_ASK = """
import sys
from ann_bench.engine import DamagedIndexError
from ann_bench.engine.annoy import AnnoyIndex

for path in sys.argv[1:]:
    for metric in ("angular", "euclidean", "manhattan", "hamming", "dot"):
        index = AnnoyIndex(70 if metric == "hamming" else 6, metric)
        try:
            index.load(path)
            for search_k in (-1, 3, -2):
                ids = index.get_nns_by_vector([0.3] * index.f, 10, search_k)
                assert all(0 <= i < index.get_n_items() for i in ids)
            if index.get_n_items():
                index.get_nns_by_item(0, 5)
                index.get_distance(0, index.get_n_items() - 1)
        except (OSError, DamagedIndexError):
            pass
print("done")
"""


def annoy_python() -> str:
    """Return the interpreter of Annoy's environment, or skip."""
    environment = describe("annoy")
    if environment.state != "ready":
        pytest.skip(f"annoy: {environment.reason}")
    return str(environment.python)


def rounding(metric: str, f: int, distances: list[float]) -> np.ndarray[Any, Any]:
    """Return how far float32 sums in another order may take each distance away."""
    values = np.abs(distances)
    if metric == "angular":  # sqrt(2 - 2 cos), and cos is right to some 1e-7
        return 1e-6 / np.maximum(values, 1e-3)
    return 1e-6 * np.maximum(values, f if metric == "dot" else 0)


def same_answer(told: dict[str, Any], query: dict[str, Any], ids: list[int], distances: list[float]) -> bool:
    """Whether an answer is Annoy's; items may change places where their distances tie but for rounding."""
    if len(ids) != len(query["ids"]):
        return False
    if not ids:
        return True
    # Each place must have the distance that Annoy has there, and each item the one that Annoy tells of it;
    # an item that Annoy does not tell of can only tie with its last.
    known = dict(zip(query["ids"], query["distances"], strict=True))
    of_items = [known.get(i, query["distances"][-1]) for i in ids]
    allowed = 2 * rounding(told["metric"], told["f"], of_items)
    return all(
        (np.abs(np.subtract(distances, expected)) <= allowed).all()
        for expected in (query["distances"], of_items)
    )


def compare(folder: Path) -> tuple[int, int]:
    """Return how many answers there are, and how many differ; all else must agree."""
    asked = differing = 0
    for name, told in json.loads((folder / "answers.json").read_text()).items():
        index = AnnoyIndex(told["f"], told["metric"])
        assert index.load(str(folder / name)) is True
        assert (index.get_n_items(), index.get_n_trees()) == (told["n_items"], told["n_trees"])
        for item, vector in told["vectors"].items():
            np.testing.assert_allclose(index.get_item_vector(int(item)), vector, rtol=1e-7)
        for i, j, distance in told["pairs"]:
            allowed = rounding(told["metric"], told["f"], [distance])[0]
            assert index.get_distance(i, j) == pytest.approx(distance, rel=0, abs=allowed)
        for query in told["queries"]:
            options = {"search_k": query["search_k"], "include_distances": True}
            if "item" in query:
                ids, distances = index.get_nns_by_item(query["item"], query["k"], **options)
            else:
                ids, distances = index.get_nns_by_vector(query["vector"], query["k"], **options)
            asked += 1
            differing += not same_answer(told, query, ids, distances)
    return asked, differing


def test_golden_files_give_the_answers_that_annoy_gave() -> None:
    """All checked-in files, of every metric and of special shapes, answer as Annoy did, whatever search_k."""
    asked, differing = compare(GOLDEN)
    assert asked > 150
    assert differing == 0


@pytest.mark.parametrize("sizes", [(3000, 50, 256, 5), (5000, 17, 64, 5)])
def test_new_files_give_the_answers_that_annoy_gives(sizes: tuple[int, ...], tmp_path: Path) -> None:
    """Where Annoy is installed: larger files that it writes now answer as it does.

    A margin that rounds to the other side of another branch's can change which leaf is read last: one
    answer in two hundred may differ.
    """
    command = [annoy_python(), annoy_answers.__file__, str(tmp_path), *map(str, sizes)]
    subprocess.run(command, check=True, capture_output=True)
    asked, differing = compare(tmp_path)
    assert asked > 500
    assert differing <= asked / 200


def test_a_file_is_mapped_and_let_go(tmp_path: Path) -> None:
    """Loading maps the file, shared and read-only; unload, another load and the end of the index unmap it."""
    path = tmp_path / "angular.ann"
    path.write_bytes((GOLDEN / "angular.ann").read_bytes())

    def mapped() -> list[str]:
        maps = Path("/proc/self/maps").read_text().splitlines()
        return [line.split()[1] for line in maps if line.endswith(str(path))]

    index = AnnoyIndex(6, "angular")
    index.load(str(path), prefault=True)
    assert mapped() == ["r--s"]
    index.load(str(path))
    assert mapped() == ["r--s"]
    index.unload()
    assert mapped() == []
    index.load(str(path))
    del index
    assert mapped() == []


def test_saving_a_file_of_annoys_copies_it(tmp_path: Path) -> None:
    """What Annoy wrote stays as it was, byte for byte, also when saved over the file it is mapped from."""
    content = (GOLDEN / "dot.ann").read_bytes()
    (tmp_path / "dot.ann").write_bytes(content)
    index = AnnoyIndex(6, "dot")
    index.load(str(tmp_path / "dot.ann"))
    answer = index.get_nns_by_item(5, 10)
    for name in ("dot.ann", "copy.ann"):
        assert index.save(str(tmp_path / name)) is True
        assert (tmp_path / name).read_bytes() == content
        assert index.get_nns_by_item(5, 10) == answer
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.ann", "dot.ann"]
    with pytest.raises(OSError, match="No such file"):
        index.save(str(tmp_path / "no" / "copy.ann"))
    assert index.get_nns_by_item(5, 10) == answer


def test_what_is_no_file_of_this_index_is_refused(tmp_path: Path) -> None:
    """Another metric or f than the file was built with, and a file that was cut off, are OSErrors."""
    with pytest.raises(OSError, match=r"dot\.ann: .*Index size is not a multiple of vector size"):
        AnnoyIndex(7, "dot").load(str(GOLDEN / "dot.ann"))
    with pytest.raises(OSError, match="Ensure you are opening using the same metric"):
        AnnoyIndex(1, "euclidean").load(str(GOLDEN / "dot.ann"))
    whole = (GOLDEN / "euclidean.ann").read_bytes()
    cut = tmp_path / "cut.ann"
    for nodes in (1, 4, 10, 59, 60, 61, 80):
        cut.write_bytes(whole[: nodes * 40])
        with pytest.raises(OSError, match="or the file was cut off"):
            AnnoyIndex(6, "euclidean").load(str(cut))


def test_damaged_files_never_crash(tmp_path: Path) -> None:
    """Files with random bytes changed, opened as any metric, give an answer, OSError or DamagedIndexError."""
    rng = np.random.default_rng(3)
    files = []
    for golden in sorted(GOLDEN.glob("*.ann")):
        whole = np.frombuffer(golden.read_bytes(), dtype=np.uint8)
        for trial in range(6):
            damaged = whole.copy()
            at = rng.integers(0, len(whole), size=1 << rng.integers(0, 9))
            damaged[at] = rng.integers(0, 256, size=len(at))
            files.append(tmp_path / f"{golden.stem}-{trial}")
            files[-1].write_bytes(damaged.tobytes())
    assert run_python(OPEN_AND_ASK, *files).strip() == "done"
