"""`algorithms.yaml`: what it may say, what its mistakes are told as, and what a preset comes to."""

from pathlib import Path

import pytest

from ann_bench.config import (
    PRESETS,
    Algorithm,
    expand,
    load_algorithms,
    load_entry,
    read_build,
    select,
    with_build,
)
from ann_bench.errors import ConfigError, UsageError

ENTRY = """\
mine:
  family: graph
  library: minelib
  description: a graph of mine
  home: https://example.org
  licence: MIT
  environment: harness
  wrapper: mine.Mine
  distances: [euclidean, dot]
  build:
    M: {type: integer, minimum: 2, meaning: links of a row}
    mode: {type: text, choices: [fast, good], meaning: how it builds}
  query:
    ef: {type: integer, minimum: k, meaning: size of the search list}
    slack: {type: number, minimum: 0, meaning: how far it looks beyond}
  presets:
    quick: {M: [4, 8], mode: fast, ef: [10, 20], slack: [0, 0.5], max_seconds_per_build: 5}
    default:
      mode: good
      slack: 0
      grids:
        - {M: 8, ef: [10, 20, 40]}
        - {M: 16, ef: [20, 40, 80]}
"""


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    """Return a definitions folder with a wrapper; the tests write its algorithms.yaml."""
    (tmp_path / "wrappers").mkdir()
    (tmp_path / "wrappers" / "mine.py").write_text("class Mine(object):\n    pass\n", encoding="utf-8")
    return tmp_path


def load(definitions: Path, text: str = ENTRY) -> Algorithm:
    """Return the entry `mine` of that text."""
    (definitions / "algorithms.yaml").write_text(text, encoding="utf-8")
    return load_algorithms([definitions])["mine"]


def test_the_project_s_own_file_is_sound() -> None:
    """Every algorithm that ships has, at every preset and each of its distances, builds with queries."""
    algorithms = load_algorithms()
    assert {"engine-forest", "bruteforce", "annoy", "hnswlib", "faiss-ivf"} <= algorithms.keys()
    for algorithm in algorithms.values():
        for preset in PRESETS:
            for distance in algorithm.distances:
                plan = expand(algorithm, preset, distance=distance, dimension=100, k=10)
                assert plan.builds
                assert all(group.queries for group in plan.builds)


def test_the_quick_preset_stays_quick() -> None:
    """An algorithm has two quick builds at most, and all its settings together may take a minute at most."""
    for name, algorithm in load_algorithms().items():
        plan = expand(algorithm, "quick", distance=algorithm.distances[0], dimension=100, k=10)
        assert len(plan.builds) <= 2, name
        seconds = plan.max_seconds_per_setting * sum(len(group.queries) for group in plan.builds)
        assert seconds <= 60, name


def test_an_entry_knows_its_name_and_its_wrapper(definitions: Path) -> None:
    """A definitions folder adds its algorithms to the project's, with wrappers of its own."""
    algorithm = load(definitions)
    assert algorithm.name == "mine"
    assert algorithm.wrapper_path == definitions / "wrappers" / "mine.py"
    assert algorithm.wrapper_class == "Mine"
    assert algorithm.distances == ("euclidean", "dot")
    assert "bruteforce" in load_algorithms([definitions])


def test_a_preset_is_every_combination_of_its_values(definitions: Path) -> None:
    """Lists are multiplied out: each build once, each with every combination of query values."""
    plan = expand(load(definitions), "quick", distance="euclidean", dimension=8, k=10)
    assert [group.build for group in plan.builds] == [{"M": 4, "mode": "fast"}, {"M": 8, "mode": "fast"}]
    assert plan.builds[0].queries == (
        {"ef": 10, "slack": 0},
        {"ef": 10, "slack": 0.5},
        {"ef": 20, "slack": 0},
        {"ef": 20, "slack": 0.5},
    )
    assert (plan.max_seconds_per_build, plan.max_seconds_per_setting) == (5, PRESETS["quick"][1])


def test_grids_are_products_of_their_own(definitions: Path) -> None:
    """Each of a preset's grids has its own values, and shares what stands beside `grids`."""
    plan = expand(load(definitions), "default", distance="euclidean", dimension=8, k=1)
    assert [(group.build["M"], [query["ef"] for query in group.queries]) for group in plan.builds] == [
        (8, [10, 20, 40]),
        (16, [20, 40, 80]),
    ]
    assert {group.build["mode"] for group in plan.builds} == {"good"}


def test_an_index_that_two_grids_ask_for_is_built_once(definitions: Path) -> None:
    """Grids with the same build share it, and the same query setting is not measured twice."""
    plan = expand(
        load(definitions, ENTRY.replace("{M: 16, ef", "{M: 8, ef")),
        "default",
        distance="dot",
        dimension=8,
        k=1,
    )
    assert [[query["ef"] for query in group.queries] for group in plan.builds] == [[10, 20, 40, 80]]


def test_values_below_k_are_raised_to_it(definitions: Path) -> None:
    """With `minimum: k`, settings that mean the same at a larger k stand once."""
    plan = expand(load(definitions), "default", distance="dot", dimension=8, k=25)
    assert [[query["ef"] for query in group.queries] for group in plan.builds] == [[25, 40], [25, 40, 80]]


def test_a_missing_preset_uses_the_default_grids_in_its_own_time(definitions: Path) -> None:
    """An entry need only have `default`."""
    algorithm = load(definitions)
    full = expand(algorithm, "full", distance="dot", dimension=8, k=1)
    assert full.builds == expand(algorithm, "default", distance="dot", dimension=8, k=1).builds
    assert (full.max_seconds_per_build, full.max_seconds_per_setting) == PRESETS["full"]


def test_overrides_hold_where_distance_and_dimension_say_so(definitions: Path) -> None:
    """An override's values replace a preset's for the datasets that it names, and for no others."""
    overrides = """\
  overrides:
    - when: {distance: dot, min_dimension: 100}
      presets:
        quick: {ef: 77, max_seconds_per_setting: 9}
        default: {ef: [5, 6]}
    - when: {max_dimension: 3}
      presets:
        default: {grids: [{M: 2, ef: 1, mode: fast, slack: 0}]}
"""
    algorithm = load(definitions, ENTRY + overrides)

    def efs(preset: str, distance: str, dimension: int) -> list[list[object]]:
        plan = expand(algorithm, preset, distance=distance, dimension=dimension, k=1)
        return [sorted({query["ef"] for query in group.queries}) for group in plan.builds]

    assert efs("quick", "dot", 100) == [[77], [77]]
    assert efs("quick", "dot", 99) == efs("quick", "euclidean", 100) == [[10, 20], [10, 20]]
    assert efs("default", "dot", 100) == [[5, 6], [5, 6]]
    assert efs("default", "dot", 3) == [[1]]
    plan = expand(algorithm, "quick", distance="dot", dimension=100, k=1)
    assert (plan.max_seconds_per_build, plan.max_seconds_per_setting) == (5, 9)


def test_an_algorithm_without_parameters_has_one_setting(definitions: Path) -> None:
    """An entry without parameters needs no presets."""
    head = ENTRY[: ENTRY.index("  build:")]
    plan = expand(load(definitions, head), "quick", distance="dot", dimension=8, k=1)
    assert [(group.build, group.queries) for group in plan.builds] == [({}, ({},))]


def test_the_recall_that_is_promised_depends_on_the_family(definitions: Path) -> None:
    """An entry without `recall` promises 1 if it is exact and 0.9 if it is not."""
    assert load(definitions).documented_recall == 0.9
    assert load(definitions, ENTRY.replace("family: graph", "family: exact")).documented_recall == 1.0
    assert load(definitions, ENTRY.replace("  build:", "  recall: 0.5\n  build:")).documented_recall == 0.5


def test_an_algorithm_tells_which_dimensions_it_takes(definitions: Path) -> None:
    """Outside the bounds, which belong to what it takes, it says what the dataset lacks."""
    needs = load(definitions).needs
    assert [needs.lack(dimension) for dimension in (1, 100_000)] == ["", ""]
    bounds = "  needs: {min_dimension: 64, max_dimension: 1000}\n  build:"
    needs = load(definitions, ENTRY.replace("  build:", bounds)).needs
    assert [needs.lack(dimension) for dimension in (64, 1000)] == ["", ""]
    assert needs.lack(63) == "needs 64 dimensions or more, the dataset has 63"
    assert needs.lack(1001) == "takes 1,000 dimensions or fewer, the dataset has 1,001"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("family: graph", "family: grph", "2: mine.family: got \"grph\"; it should be 'tree', 'graph', "),
        ("  licence: MIT\n", "", "1: mine.licence: the key is missing"),
        ("licence:", "license:", '6: mine.license: unknown key; did you mean "licence"?'),
        (
            "type: integer, minimum: 2",
            "typ: integer",
            '11: mine.build.M.typ: unknown key; did you mean "type"?',
        ),
        (
            "[euclidean, dot]",
            "[euclidean, cosine]",
            '9: mine.distances.1: got "cosine"; a distance is one of euclidean, ',
        ),
        (
            "ef: [10, 20],",
            "ef: [10, fast],",
            '17: mine.presets.quick.ef: got "fast"; ef is integer >= k',
        ),
        (
            "M: [4, 8]",
            "M: [1, 8]",
            "17: mine.presets.quick.M: got 1; M is integer >= 2 (links of a row), or a list of such values",
        ),
        ("M: [4, 8]", "M: true", "17: mine.presets.quick.M: got True; M is integer >= 2"),
        ("M: [4, 8]", "M: []", "17: mine.presets.quick.M: got no value; M is integer >= 2"),
        (
            "mode: good",
            "mode: best",
            '19: mine.presets.default.mode: got "best"; mode is one of fast, good (how it builds)',
        ),
        ("M: 16,", "m: 16,", '23: mine.presets.default.grids.1.m: unknown key; did you mean "M"?'),
        (
            "    quick: {M: [4, 8], ",
            "    quick: {",
            "17: mine.presets.quick: M is missing; it is integer >= 2 (links of a row)",
        ),
        (
            "{M: 16, ",
            "{",
            "23: mine.presets.default.grids.1: M is missing; it is integer >= 2 (links of a row)",
        ),
        (
            "max_seconds_per_build: 5",
            "max_seconds_per_build: 0",
            "17: mine.presets.quick.max_seconds_per_build: got 0; it is a number of seconds > 0",
        ),
        (
            "max_seconds_per_build",
            "max_second_per_build",
            'quick.max_second_per_build: unknown key; did you mean "max_seconds_per_build"?',
        ),
        ("    quick:", "    quik:", '17: mine.presets.quik: unknown preset; did you mean "quick"?'),
        ("    default:", "    full:", "16: mine.presets: the preset `default` is missing"),
        (
            "      slack: 0",
            "      grids: 3",
            "21: mine.presets.default.grids: stands twice (first in line 20)",
        ),
        (
            "    slack: {type",
            "    M: {type",
            "15: mine.query.M: is a build parameter as well; give one of them another name",
        ),
        (
            "environment: harness",
            "environment: anoy",
            '7: mine.environment: got "anoy"; there is no folder install/anoy/; did you mean "annoy"?',
        ),
        ("mine.Mine", "mine.Mein", 'has no class Mein; did you mean "Mine"?'),
        ("mine.Mine", "yours.Mine", '8: mine.wrapper: got "yours.Mine"; there is no file '),
        ("mine:\n", "Mine:\n", "1: Mine: a name is lower-case letters, digits and hyphens"),
        ("mine:\n", "annoy:\n", "1: annoy: an algorithm of this name exists already; choose another"),
        (
            "  licence: MIT\n",
            "  licence: MIT\n  licence: BSD\n",
            "7: mine.licence: stands twice (first in line 6)",
        ),
        (
            "  licence: MIT\n",
            "  licence: MIT\n  on: 3\n",
            "7: key 'on' is not read as text; put it in quotes",
        ),
        ("  licence: MIT\n", "  licence: [MIT\n", "7: not YAML: "),
        (
            "  presets:\n",
            "  overrides: [{when: {}, presets: {quick: {grids: [{M: 4}]}}}]\n  presets:\n",
            "16: mine.overrides.0.presets.quick.grids.0: mode is missing; it is one of fast, good",
        ),
        (
            "  presets:\n",
            "  overrides: [{when: {}, presets: {full: {ef: 3}}}]\n  presets:\n",
            "16: mine.overrides.0.presets.full: the entry has no such preset that could be overridden",
        ),
        (
            "  presets:\n",
            "  limits: {zero_row: none}\n  presets:\n",
            '16: mine.limits.zero_row: unknown limit; did you mean "zero_rows"?',
        ),
        ("  presets:\n", "  limits: {max_k: 9}\n  presets:\n", "16: mine.limits.max_k: got 9; it should be"),
        (
            "  presets:\n",
            "  limits: {max_k: few}\n  presets:\n",
            "16: mine.limits.max_k: unknown limit; known: min_rows, ",
        ),
        (
            "  build:\n",
            "  recall: 1.5\n  build:\n",
            "10: mine.recall: got 1.5; it should be less than or equal to 1",
        ),
        (
            "  build:\n",
            "  needs: {min_dim: 3}\n  build:\n",
            '10: mine.needs.min_dim: unknown key; did you mean "min_',
        ),
        (
            "  build:\n",
            "  needs: {min_dimension: 9, max_dimension: 8}\n  build:\n",
            "10: mine.needs.max_dimension: got 8, which is below min_dimension 9",
        ),
        (
            "  presets:\n",
            "  overrides: [{when: {dimension: 3}, presets: {}}]\n  presets:\n",
            "16: mine.overrides.0.when.dimension: unknown key",
        ),
        (
            "  presets:\n",
            "  overrides: [{when: {}, presets: {quick: {eff: 3}}}]\n  presets:\n",
            '16: mine.overrides.0.presets.quick.eff: unknown key; did you mean "ef"?',
        ),
        (
            "  presets:\n",
            "  overrides: [{when: {distance: cosine}, presets: {}}]\n  presets:\n",
            '16: mine.overrides.0.when.distance: got "cosine"; a distance is one of euclidean, ',
        ),
        (
            "  presets:\n",
            "  overrides: [{when: {distance: [dot, cosine]}, presets: {}}]\n  presets:\n",
            '16: mine.overrides.0.when.distance.1: got "cosine"; a distance is one of euclidean, ',
        ),
        ("minimum: 2", "minimum: two", '11: mine.build.M.minimum: got "two"; it should be a valid number'),
        ("minimum: 2", "minimum: .inf", "11: mine.build.M.minimum: got inf; it should be a finite number"),
        ("slack: 0\n", "slack: .nan\n", "20: mine.presets.default.slack: got nan; slack is number >= 0"),
        ("slack: 0\n", "slack: [.inf]\n", "20: mine.presets.default.slack: got inf; slack is number >= 0"),
        (
            "max_seconds_per_build: 5",
            "max_seconds_per_build: .inf",
            "17: mine.presets.quick.max_seconds_per_build: got inf; it is a number of seconds > 0",
        ),
        ("max_seconds_per_build: 5", "max_seconds_per_build: .nan", "build: got nan; it is a number of"),
        (
            "licence: MIT",
            "licence: 2020-13-45",
            '6: not YAML: "2020-13-45" is read as timestamp, and is none; put it in quotes',
        ),
        ("licence: MIT", "licence: !!int abc", '6: not YAML: "abc" is read as int, and is none'),
        ("licence: MIT", "licence: !!bool abc", '6: not YAML: "abc" is read as bool, and is none'),
        ("licence: MIT", "licence: &a {b: *a}", "6: an anchor (&) is repeated (*) within itself"),
        ("licence: MIT", "licence: &a [[*a]]", "6: an anchor (&) is repeated (*) within itself"),
        ("licence: MIT", "licence: " + "[" * 5000 + "]" * 5000, ": cannot be read: it is nested too deeply"),
    ],
)
def test_a_mistake_is_told_with_file_line_key_and_what_is_allowed(
    definitions: Path, old: str, new: str, message: str
) -> None:
    """Each mistake in an entry is refused, and the message leads to it."""
    assert old in ENTRY
    with pytest.raises(ConfigError) as caught:
        load(definitions, ENTRY.replace(old, new, 1))
    assert str(caught.value).startswith(str(definitions / "algorithms.yaml:"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_mistakes_are_told_at_once(definitions: Path) -> None:
    """One reading tells more than the first mistake, one a line."""
    text = ENTRY.replace("family: graph", "family: 3").replace("home: https", "home: gopher")
    with pytest.raises(ConfigError) as caught:
        load(definitions, text)
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == ["mine.family", "mine.home"]


def test_a_file_that_is_no_mapping_or_not_there_is_refused(definitions: Path) -> None:
    """The file itself can be wrong, too."""
    with pytest.raises(ConfigError, match=r"algorithms.yaml: there is no such file$"):
        load_algorithms([definitions])
    with pytest.raises(ConfigError, match=r"algorithms.yaml:1: got \['a'\]; the file is a mapping"):
        load(definitions, "- a\n")


def test_an_entry_is_read_alone_with_wrappers_from_elsewhere(definitions: Path, tmp_path: Path) -> None:
    """An entry of a file that is not in use may have a name that is, and its wrapper lies where one says."""
    file = tmp_path / "old" / "algorithms.yaml"
    wrappers = tmp_path / "old" / "kept"
    wrappers.mkdir(parents=True)
    (wrappers / "mine.py").write_text("class Mine(object):\n    old = True\n", encoding="utf-8")
    file.write_text(ENTRY.replace("mine:", "annoy:", 1) + "other: {}\n", encoding="utf-8")
    entry = load_entry(file, "annoy", wrappers)
    assert entry is not None
    assert (entry.name, entry.wrapper_path) == ("annoy", wrappers / "mine.py")
    expected = load(definitions).model_copy(update={"name": "annoy", "wrapper_path": entry.wrapper_path})
    assert entry == expected
    assert load_entry(file, "mine", wrappers) is None
    with pytest.raises(ConfigError, match=rf"^{file}:.*: other"):
        load_entry(file, "other", wrappers)


def test_an_entry_read_alone_knows_the_recipes_of_today(definitions: Path, tmp_path: Path) -> None:
    """Its environment is one of the project's or of the definitions, and any other is a mistake."""
    (definitions / "install" / "mine").mkdir(parents=True)
    file = tmp_path / "old.yaml"
    file.write_text(ENTRY.replace("environment: harness", "environment: mine"), encoding="utf-8")
    entry = load_entry(file, "mine", definitions / "wrappers", [definitions])
    assert entry is not None
    assert entry.environment == "mine"
    with pytest.raises(ConfigError, match=r'old.yaml:7: mine.environment: got "mine"; there is no folder'):
        load_entry(file, "mine", definitions / "wrappers")


def test_an_unknown_preset_is_refused(definitions: Path) -> None:
    """A preset that does not exist is a usage error that lists those that do."""
    with pytest.raises(UsageError, match=r"^preset: got 'fast'; it is one of quick, default, full$"):
        expand(load(definitions), "fast", distance="dot", dimension=8, k=1)


def test_select_takes_globs_and_repeats(definitions: Path) -> None:
    """Patterns add up, each algorithm comes once and in the listing's order; no pattern means all."""
    algorithms = load_algorithms()
    assert list(select(algorithms, ["hnswlib", "sklearn-*", "hnsw*"])) == [
        "sklearn-brute",
        "sklearn-kd-tree",
        "sklearn-ball-tree",
        "hnswlib",
    ]
    assert select(algorithms, []) == algorithms


def test_select_refuses_what_matches_nothing() -> None:
    """A pattern without a match is a usage error that names the nearest algorithm."""
    with pytest.raises(UsageError, match=r'^no algorithm matches "hnswlibb"; did you mean "hnswlib"\?$'):
        select(load_algorithms(), ["annoy", "hnswlibb"])


NAMED = """
mine:
  family: tree
  library: numpy
  description: an entry with parameters of each type
  licence: MIT
  environment: harness
  wrapper: mine.Mine
  distances: [euclidean]
  build:
    trees: {type: integer, minimum: 1, meaning: how many}
    share: {type: number, meaning: how much}
    exact: {type: boolean, meaning: whether}
    factory: {type: text, meaning: which}
  query: {depth: {type: integer, meaning: how deep}}
  presets:
    default:
      share: 0.5
      exact: yes
      grids:
        - {factory: flat, trees: [1, 2], depth: [3, 4]}
        - {factory: "IVF8,Flat", trees: 2, depth: [4, 5]}
"""


def test_build_parameters_are_read_as_they_stand_in_the_file(definitions: Path) -> None:
    """Each is of its type; a comma in a text ends nothing unless a name follows."""
    named = load(definitions, NAMED)
    assert read_build(named, "factory=IVF8,Flat, trees = 4,share=0.1,exact=no") == {
        "factory": "IVF8,Flat",
        "trees": 4,
        "share": 0.1,
        "exact": False,
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tree=1", "got 'tree=1' for mine; its build parameters: trees is integer >= 1 (how many); share is"),
        ("depth=3", "got 'depth=3' for mine; its build parameters: "),
        ("", "got '' for mine; its build parameters: "),
        ("trees", "got 'trees' for mine; trees is integer >= 1 (how many)"),
        ("trees=0", "got 'trees=0' for mine; trees is integer >= 1 (how many)"),
        ("share=1,trees=[1", "got 'trees=[1' for mine; trees is integer >= 1 (how many)"),
        ("exact=2", "got 'exact=2' for mine; exact is yes/no (whether)"),
    ],
)
def test_a_build_that_cannot_be_is_refused(definitions: Path, text: str, says: str) -> None:
    """A name that is no build parameter, and a value that is not allowed, are told with what is."""
    with pytest.raises(UsageError) as caught:
        read_build(load(definitions, NAMED), text)
    assert str(caught.value).startswith(f"--build: {says}")


def test_a_named_build_is_the_preset_s_where_it_has_it(definitions: Path) -> None:
    """Of the preset's builds those with the parameters stay; where none has them, they take the place."""
    builds = expand(load(definitions, NAMED), "default", distance="euclidean", dimension=4, k=10).builds
    assert with_build(builds, {}) == builds
    assert with_build(builds, {"trees": 2}) == builds[1:]
    assert with_build(builds, {"trees": 2, "factory": "flat"}) == builds[1:2]
    other = with_build(builds, {"trees": 7, "factory": "flat"})
    assert [group.build["trees"] for group in other] == [7]
    assert other[0].queries == ({"depth": 3}, {"depth": 4}, {"depth": 5})
    assert [group.build["factory"] for group in with_build(builds, {"trees": 7})] == ["flat", "IVF8,Flat"]
