"""The catalogue, and what it says about mistakes in it."""

import hashlib
from pathlib import Path

import pytest

from ann_bench import paths
from ann_bench.datasets import Catalog
from ann_bench.datasets.manifold import Manifold
from ann_bench.errors import ConfigError

GOOD = """\
# a comment
some-set:
  distance: angular
  shape: { rows: 10, dimension: 3, queries: 2 }
  urls:
    - https://example.org/some-set.hdf5
    - https://mirror.example.org/some-set.hdf5
"""


def test_the_projects_catalogue_names_every_set_of_ann_benchmarks() -> None:
    """The sets that people compare on are there, each with a source."""
    catalog = Catalog.read()
    expected = [
        "fashion-mnist-784-euclidean",
        "mnist-784-euclidean",
        "sift-128-euclidean",
        "gist-960-euclidean",
    ]
    expected += ["nytimes-256-angular", "nytimes-16-angular", "deep-image-96-angular", "lastfm-64-dot"]
    expected += ["coco-i2i-512-angular", "coco-t2i-512-angular", "sift-256-hamming", "word2bits-800-hamming"]
    expected += [f"glove-{name}-angular" for name in (25, 50, 100, 200)] + ["glove-100-angular-25k"]
    expected += ["kosarak-jaccard", "movielens10m-jaccard"]
    expected += [f"dbpedia-openai-{size}00k-angular" for size in range(1, 11)]
    generated = {"manifold-128-euclidean-100k", "manifold-128-euclidean-1m"}
    assert set(expected) | generated == set(catalog.names)
    assert {name for name, entry in catalog.entries.items() if entry.generator} == generated


def test_the_projects_catalogue_agrees_with_its_names() -> None:
    """The dimension and the distance in a name are those of the entry; lastfm is the known exception."""
    for name, entry in Catalog.read().entries.items():
        assert entry.urls or entry.embedded or entry.generator
        assert all(url.endswith(f"/{name}.hdf5") for url in entry.urls)
        if entry.distance == "jaccard":
            assert name.endswith("-jaccard")
        elif name != "lastfm-64-dot" and not name.startswith("dbpedia"):
            assert f"-{entry.shape.dimension}-{entry.distance}" in name


def test_lastfm_is_what_its_file_is_not_what_it_is_called() -> None:
    """The set called 64-dot has 65 components and an angular distance."""
    entry = Catalog.read()["lastfm-64-dot"]
    assert (entry.distance, entry.shape.dimension) == ("angular", 65)


def test_the_embedded_file_is_the_one_in_the_catalogue() -> None:
    """Size and checksum of the file that ships with the project are those of its entry."""
    entry = Catalog.read()["glove-100-angular-25k"]
    content = (paths.carried("datasets") / "glove-100-angular-25k.hdf5").read_bytes()
    assert entry.embedded
    assert entry.size == len(content)
    assert entry.sha256 == hashlib.sha256(content).hexdigest()


def test_the_catalogue_names_the_generator_that_there_is() -> None:
    """Name and version of a generated set are those of the code, so that neither changes alone."""
    for entry in Catalog.read().entries.values():
        if entry.generator:
            assert (entry.generator.name, entry.generator.version) == (Manifold.name, Manifold.version)


def test_a_good_catalogue_is_read(tmp_path: Path) -> None:
    """Entries keep their order of mirrors; what is left out has defaults."""
    path = tmp_path / "catalog.yaml"
    path.write_text(GOOD)
    entry = Catalog.read(path)["some-set"]
    assert entry.urls == ("https://example.org/some-set.hdf5", "https://mirror.example.org/some-set.hdf5")
    assert (entry.size, entry.sha256, entry.licence, entry.embedded) == (None, None, None, False)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "angular",
            "cosine",
            "3: some-set.distance: got \"cosine\"; it should be 'euclidean', 'angular', 'dot'",
        ),
        ("rows: 10", "rows: ten", '4: some-set.shape.rows: got "ten"; it should be a valid integer'),
        ("rows: 10", "rows: 0", "4: some-set.shape.rows: got 0; it should be greater than 0"),
        ("rows: 10, ", "", "4: some-set.shape.rows: the key is missing"),
        ("rows:", "lines:", "4: some-set.shape.lines: unknown key; known: rows, dimension, queries"),
        ("urls", "url", '5: some-set.url: unknown key; did you mean "urls"?'),
        (
            "https://mirror",
            "ftp://mirror",
            '7: some-set.urls.1: got "ftp://mirror.example.org/some-set.hdf5"; string',
        ),
        ("some-set:", "some_set:", "2: some_set: a name is lower-case letters"),
        ("  urls:", "  sha256: abc\n  urls:", '5: some-set.sha256: got "abc"; string should match pattern'),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    """The message begins with file:line: key, then the value and what is allowed."""
    path = tmp_path / "catalog.yaml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        Catalog.read(path)
    assert any(line.startswith(f"{path}:{message}") for line in str(caught.value).split("\n")), str(
        caught.value
    )


def test_an_entry_without_a_source_is_refused(tmp_path: Path) -> None:
    """A set that neither ships with the project nor has a URL cannot be had."""
    path = tmp_path / "catalog.yaml"
    path.write_text(GOOD.split("  urls:")[0])
    with pytest.raises(ConfigError, match=r"catalog.yaml:2: some-set: urls is empty; give one"):
        Catalog.read(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("manifold", "cube", "4: some-set.generator.name: got \"cube\"; it should be 'manifold'"),
        ("version: 1", "version: 2", "4: some-set.generator.version: got 2; it should be 1"),
        (
            "seed: 1",
            "seed: -1",
            "4: some-set.generator.seed: got -1; it should be greater than or equal to 0",
        ),
        ("rows: 10", "rows: null", "4: some-set.generator: needs the numbers of rows and queries"),
        ("euclidean", "jaccard", "4: some-set.generator: makes vectors of floats; jaccard needs others"),
    ],
)
def test_a_generator_that_cannot_work_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    """What is generated is known in full before it is asked for."""
    path = tmp_path / "catalog.yaml"
    good = (
        "some-set:\n  distance: euclidean\n  shape: { rows: 10, dimension: 3, queries: 2 }\n"
        "  generator: { name: manifold, version: 1, seed: 1 }\n"
    )
    path.write_text(good)
    assert Catalog.read(path)["some-set"].generator is not None
    path.write_text(good.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        Catalog.read(path)
    assert str(caught.value).startswith(f"{path}:{message}")


def test_what_is_no_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    """A bracket that is not closed is reported where the parser stumbles."""
    path = tmp_path / "catalog.yaml"
    path.write_text("some-set:\n  urls: [a\n  size: 3\n")
    with pytest.raises(ConfigError, match=r"catalog.yaml:3: not YAML: "):
        Catalog.read(path)


def test_a_missing_catalogue_is_named(tmp_path: Path) -> None:
    """The path that was looked for is in the message."""
    with pytest.raises(ConfigError, match=r"nothing.yaml: there is no such file"):
        Catalog.read(tmp_path / "nothing.yaml")
