"""The pages in docs/: what they show works as it stands there."""

import importlib.util
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from ann_bench.cli.main import make_parser, script_parser
from ann_bench.config import Algorithm, expand, load_algorithms
from ann_bench.distances import distances_to
from ann_bench.recipes import read_recipe

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "adding-a-library.md"
TEXT = PAGE.read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`(mine/\S+)`\n\n```\w*\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL))


@pytest.fixture
def algorithm(tmp_path: Path) -> Algorithm:
    """Return the page's algorithm, from its files written into a folder."""
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return load_algorithms([tmp_path / "mine"])["scipy-kd-tree"]


def test_the_files_of_the_page_are_an_algorithm_and_a_recipe(algorithm: Algorithm, tmp_path: Path) -> None:
    """The entry is valid, and the recipe pins its library."""
    assert len(FILES) == 3
    recipe = read_recipe(algorithm.environment, [tmp_path / "mine"])
    assert algorithm.library in recipe.pins()


def test_the_wrapper_of_the_page_finds_the_nearest(algorithm: Algorithm, tmp_path: Path) -> None:
    """With the most thorough quick setting it is exact at each distance, built or loaded."""
    spec = importlib.util.spec_from_file_location("wrapper_of_the_page", algorithm.wrapper_path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rng = np.random.default_rng(1)
    train, queries = (rng.normal(size=(rows, 8)).astype(np.float32) for rows in (200, 5))
    for distance in algorithm.distances:
        group = expand(algorithm, "quick", distance=distance, dimension=8, k=1).builds[-1]
        built, loaded = (getattr(module, algorithm.wrapper_class)() for _ in range(2))
        built.distance = loaded.distance = distance
        built.build(train, distance, 1, **group.build)
        built.save(str(tmp_path / "index"))
        loaded.load(str(tmp_path / "index"))
        everything = np.tile(np.arange(200), (5, 1))
        right = np.argsort(distances_to(distance, queries, train, everything), axis=1)
        for wrapper in (built, loaded):
            wrapper.set_query(1, **group.queries[-1])
            for k in (1, 7):
                assert [list(wrapper.query(query, k)) for query in queries] == right[:, :k].tolist()
                assert wrapper.query_batch(queries, k).tolist() == right[:, :k].tolist()


def test_the_commands_of_the_page_can_be_typed() -> None:
    """Each command of ours that the page shows has flags that exist."""
    commands = re.findall(r"^    ((?:ann-bench|python run\.py) .+)$", TEXT, flags=re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        words = shlex.split(command)
        if words[0] == "python":
            script_parser("run").parse_args(words[2:])
        else:
            make_parser().parse_args(words[1:])


def test_the_commands_and_flags_of_the_page_on_comparing_exist() -> None:
    """Each command that it shows can be typed, and each flag that it names is one of `run`."""
    text = (ROOT / "docs" / "comparing.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    (?:ann-bench|python run\.py) .+$", text, flags=re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        words = shlex.split(command)
        make_parser().parse_args(["run", *words[2:]] if words[0] == "python" else words[1:])
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
    helped = script_parser("run").format_help()
    assert {"--against", "--versus", "--builds"} < flags
    assert not {flag for flag in flags if not re.search(rf"{flag}\b(?!-)", helped)}


def test_the_links_of_the_pages_lead_somewhere() -> None:
    """Whatever README.md and the pages in docs/ link to within the project is there."""
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"
