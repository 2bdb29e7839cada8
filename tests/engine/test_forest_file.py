"""The index file: reproducible, shared, and harmless when damaged."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ann_bench.engine import DamagedIndexError, Forest
from tests.engine.vectors import make_vectors

HEADER_BYTES = 4096

# Opens each file it is told of, and searches it if that works; anything but DamagedIndexError is a crash.
OPEN_AND_SEARCH = """
import sys
import numpy as np
from ann_bench.engine import DamagedIndexError, Forest

opened = 0
for path in sys.argv[1:]:
    try:
        forest = Forest.open(path)
        opened += 1
        bits = forest.distance in ("hamming", "jaccard")
        query = np.ones((3, forest.dimension), dtype=bool if bits else np.float32)
        for search_k in (1, 50, 10**9):
            ids, _ = forest.query(query, 10, search_k)
            assert ids.max() < len(forest)
    except DamagedIndexError:
        pass
print(opened)
"""


def run_python(code: str, *arguments: object, isa: str | None = None) -> str:
    """Return what the code prints in another process; a crash of it is a failure."""
    process = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ if isa is None else os.environ | {"ANN_BENCH_ISA": isa},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, f"exit code {process.returncode}: {process.stderr}"
    return process.stdout


def sha256(path: Path) -> str:
    """Return the hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_index_built_into_a_file_is_what_save_writes(distance: str, tmp_path: Path) -> None:
    """Built straight into a file, from a mapped array too, an index has the same bytes and answers."""
    train = make_vectors(distance, 2000, 70, 1)
    np.save(tmp_path / "train.npy", train)
    saved, built = tmp_path / "saved", tmp_path / "built"
    present = np.arange(len(train)) % 7 > 0
    forest = Forest.build(train, distance, n_trees=2, present=present)
    forest.save(saved)
    mapped = np.load(tmp_path / "train.npy", mmap_mode="r")
    opened = Forest.build(mapped, distance, n_trees=2, threads=2, present=present, path=built)
    assert built.read_bytes() == saved.read_bytes()
    for mine, its in zip(forest.query(train[:5], 10), opened.query(train[:5], 10), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_a_build_into_a_file_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """A value that is refused, or a folder that is not there, leaves the old file and no other."""
    path = tmp_path / "index"
    path.write_bytes(b"old")
    train = make_vectors("euclidean", 100, 8, 1)
    train[77, 3] = np.nan
    with pytest.raises(ValueError, match="row 77 holds NaN"):
        Forest.build(train, path=path)
    with pytest.raises(FileNotFoundError):
        Forest.build(train[:50], path=tmp_path / "none" / "index")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_tuning_is_kept_in_the_file_that_was_built(tmp_path: Path) -> None:
    """An index built into a file for a recall has its tuned defaults when it is opened again."""
    train = make_vectors("euclidean", 2000, 16, 1)
    forest = Forest.build(train, path=tmp_path / "index", target_recall=0.9)
    assert Forest.open(tmp_path / "index").info() == forest.info()
    assert forest.info()["tuned"][0][:2] == (pytest.approx(0.9), 10)


def test_the_file_does_not_depend_on_threads(distance: str, tmp_path: Path) -> None:
    """One seed gives one file, byte for byte, with 1, 2 and 3 threads; another seed gives another."""
    train = make_vectors(distance, 3000, 30, 1)
    hashes = []
    for threads, seed in ((1, 4), (2, 4), (3, 4), (1, 5)):
        forest = Forest.build(train, distance, n_trees=5, seed=seed, threads=threads)
        path = tmp_path / f"{threads}-{seed}"
        forest.save(path)
        hashes.append(sha256(path))
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]


# Prints a hash of every index's file, and of its answers, for one instruction set.
BUILD_AND_ASK = """
import hashlib
import sys
from ann_bench.distances import VECTOR_DISTANCES
from ann_bench.engine import Forest, build_info
from tests.engine.vectors import BIT_DISTANCES, make_vectors

path = sys.argv[1]
for distance in VECTOR_DISTANCES:
    for dimension in (3, 100, 300):
        train = make_vectors(distance, 700, dimension, 1)
        queries = make_vectors(distance, 50, dimension, 2)
        hashes = []
        for threads in (1, 2):
            forest = Forest.build(train, distance, n_trees=3, seed=2, threads=threads)
            forest.save(path)
            hashes.append(hashlib.sha256(open(path, "rb").read()).hexdigest())
        answers = hashlib.sha256()
        for search_k in (1, 150, 10**6):
            for array in forest.query(queries, 10, search_k, rerank=20):
                answers.update(array.tobytes())
        print(distance, dimension, *hashes, answers.hexdigest())
print(build_info()["isa"])
"""


def instruction_sets() -> list[str]:
    """Return the names of the instruction sets that this processor has."""
    try_it = "from ann_bench.engine import build_info\ntry: build_info()\nexcept RuntimeError as e: print(e)"
    message = run_python(try_it, isa="sse9").strip()
    assert message.startswith('ANN_BENCH_ISA: got "sse9"; this processor runs portable')
    return message.partition("runs ")[2].split(", ")


def test_neither_file_nor_answers_depend_on_the_instruction_set(tmp_path: Path) -> None:
    """Every instruction set builds the same files, byte for byte, and gives the same ids and distances."""
    printed = {}
    for isa in instruction_sets():
        *hashes, used = run_python(BUILD_AND_ASK, tmp_path / "index", isa=isa).splitlines()
        assert used == isa
        printed[isa] = hashes
    assert len(printed["portable"]) == 15
    for hashes in printed.values():
        assert hashes == printed["portable"]
    for line in printed["portable"]:
        assert len(set(line.split()[2:4])) == 1, line  # one thread and two


def test_an_instruction_set_that_does_not_exist_is_refused() -> None:
    """Building says what ANN_BENCH_ISA may be, and an empty name is none."""
    build = "from ann_bench.engine import Forest\nForest.build([[1.0], [2.0]])"
    with pytest.raises(
        AssertionError, match='RuntimeError: ANN_BENCH_ISA: got "AVX2"; this processor runs portable'
    ):
        run_python(build, isa="AVX2")
    run_python(build, isa="")


def test_another_process_gets_the_same_answers(
    small: Callable[..., Forest], distance: str, tmp_path: Path
) -> None:
    """A saved index opened elsewhere answers as the one that was saved, and saves the same bytes again."""
    forest, queries = small(), make_vectors(distance, 20, 20, 2)
    forest.save(tmp_path / "index")
    in_memory = Forest.open(tmp_path / "index", mode="ram")
    np.save(tmp_path / "queries.npy", queries)
    code = """
import sys
import numpy as np
from ann_bench.engine import Forest
folder = sys.argv[1]
forest = Forest.open(folder + "/index")
ids, distances = forest.query(np.load(folder + "/queries.npy"), 7)
np.savez(folder + "/answers.npz", ids=ids, distances=distances)
forest.save(folder + "/again")
print(forest.info())
"""
    assert run_python(code, tmp_path).strip() == str(forest.info())
    ids, distances = forest.query(queries, 7)
    np.testing.assert_array_equal(in_memory.query(queries, 7), (ids, distances))
    assert in_memory.info() == forest.info()
    with np.load(tmp_path / "answers.npz") as answers:
        np.testing.assert_array_equal(answers["ids"], ids)
        np.testing.assert_array_equal(answers["distances"], distances)
    assert sha256(tmp_path / "again") == sha256(tmp_path / "index")
    assert (tmp_path / "index").stat().st_size == forest.size_bytes


def test_saving_over_an_open_file_leaves_its_readers_alone(tmp_path: Path) -> None:
    """A new index in the old one's place does not change what is open, and no temporary file stays."""
    path = tmp_path / "index"
    old, new = make_vectors("euclidean", 300, 8, 1), make_vectors("euclidean", 50, 8, 2)
    Forest.build(old, n_trees=2).save(path)
    opened = Forest.open(path)
    Forest.build(new, n_trees=2).save(path)
    assert len(opened) == 300
    np.testing.assert_array_equal(opened.query(old, 1, search_k=600)[0][:, 0], np.arange(300))
    assert len(Forest.open(path)) == 50
    opened.save(path)
    assert len(Forest.open(path)) == 300
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_mapped_and_not_read(tmp_path: Path) -> None:
    """Opening maps the file's pages, shared and read-only, and letting the index go lets go of them."""
    path = tmp_path / "index"
    Forest.build(make_vectors("euclidean", 20_000, 64, 1), n_trees=1).save(path)
    forest = Forest.open(path)
    maps = Path("/proc/self/maps").read_text()
    line = next(line for line in maps.splitlines() if line.endswith(str(path)))
    assert line.split()[1] == "r--s"
    del forest
    assert str(path) not in Path("/proc/self/maps").read_text()


def test_a_file_that_is_read_is_not_mapped(tmp_path: Path) -> None:
    """Mode "ram" keeps nothing of the file but a copy, and there is no third mode."""
    path = tmp_path / "index"
    train = make_vectors("euclidean", 500, 8, 1)
    Forest.build(train, n_trees=1).save(path)
    forest = Forest.open(path, mode="ram")
    assert str(path) not in Path("/proc/self/maps").read_text()
    path.write_bytes(b"something else")
    np.testing.assert_array_equal(forest.query(train, 1, search_k=500)[0][:, 0], np.arange(500))
    with pytest.raises(ValueError, match='mode: got "disk"; it is "mmap" or "ram"'):
        Forest.open(path, mode="disk")


def test_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    """A missing file, a folder, another kind of file and another version are told apart."""
    with pytest.raises(FileNotFoundError, match="nothing"):
        Forest.open(tmp_path / "nothing")
    with pytest.raises(DamagedIndexError, match="not a regular file"):
        Forest.open(tmp_path)
    with pytest.raises(FileNotFoundError):
        Forest.build([[1.0]], n_trees=1).save(tmp_path / "no" / "folder")
    path = tmp_path / "index"
    path.write_bytes(b"")
    with pytest.raises(DamagedIndexError, match="too short to be an index: 0 bytes"):
        Forest.open(path)
    path.write_bytes(b"text")
    with pytest.raises(DamagedIndexError, match="too short to be an index: 4 bytes"):
        Forest.open(path)
    path.write_bytes(b"text" * 100)
    with pytest.raises(DamagedIndexError, match="not an index of ann_bench"):
        Forest.open(path)
    Forest.build([[1.0]], n_trees=1).save(path)
    newer = bytearray(path.read_bytes())
    newer[12] = 4
    path.write_bytes(newer)
    with pytest.raises(
        DamagedIndexError, match="file version 4; this build reads version 3: build the index again"
    ):
        Forest.open(path)
    assert issubclass(DamagedIndexError, ValueError)


def test_every_header_byte_is_guarded(small: Callable[..., Forest], tmp_path: Path) -> None:
    """A change of a byte of the header is noticed when the file is opened."""
    path = tmp_path / "index"
    small().save(path)
    whole = path.read_bytes()
    for at in [*range(0, HEADER_BYTES, 7), *range(128), HEADER_BYTES - 1]:
        damaged = bytearray(whole)
        damaged[at] ^= 0x41
        path.write_bytes(damaged)
        with pytest.raises(DamagedIndexError):
            Forest.open(path)


def test_a_cut_off_file_is_refused(small: Callable[..., Forest], tmp_path: Path) -> None:
    """A file that lost its end, or got one too many, is refused with both sizes."""
    path = tmp_path / "index"
    small().save(path)
    whole = path.read_bytes()
    for size in [*range(0, len(whole), len(whole) // 40), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedIndexError):
            Forest.open(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(
        DamagedIndexError, match=f"{len(whole) + 1} bytes, but the header tells of {len(whole)}"
    ):
        Forest.open(path)


def test_damage_in_the_body_never_crashes(small: Callable[..., Forest], tmp_path: Path) -> None:
    """Files with random bytes changed behind the header open, and give some answer or DamagedIndexError."""
    path = tmp_path / "index"
    small(n=120, dimension=10).save(path)
    whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    rng = np.random.default_rng(8)
    files = []
    for trial in range(60):
        damaged = whole.copy()
        at = rng.integers(HEADER_BYTES, len(whole), size=1 << rng.integers(0, 12))
        damaged[at] = rng.integers(0, 256, size=len(at))
        files.append(tmp_path / f"damaged-{trial}")
        files[-1].write_bytes(damaged.tobytes())
    assert int(run_python(OPEN_AND_SEARCH, *files)) == len(files)


@settings(max_examples=100)
@given(junk=st.binary(max_size=600), keep=st.integers(0, HEADER_BYTES))
def test_no_junk_is_taken_for_an_index(
    junk: bytes, keep: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Bytes that `save` did not write, even behind the beginning of a real header, are refused."""
    folder = tmp_path_factory.getbasetemp()
    whole = folder / "whole"
    if not whole.exists():
        Forest.build([[1.0], [2.0]], n_trees=1).save(whole)
    path = folder / "junk"
    content = whole.read_bytes()[:keep] + junk
    path.write_bytes(content)
    if content != whole.read_bytes():
        with pytest.raises(DamagedIndexError):
            Forest.open(path)
