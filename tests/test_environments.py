"""Environments, made from recipes whose packages lie in a folder."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import filelock
import pytest

from ann_bench import environments
from ann_bench.environments import describe, install, installed_in, library_digest, library_version
from ann_bench.errors import ConfigError, InstallError, UsageError
from ann_bench.installer import missing_packages, telling_line
from ann_bench.paths import PACKAGE, environments_dir, wheels_dir
from tests.made_up_packages import make_recipe, make_sdist, make_wheel


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with tinylib 1.0, and a cache of our own."""
    monkeypatch.setenv("ANN_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    make_wheel(tmp_path / "packages", "tinylib", "1.0")
    return tmp_path / "packages"


@pytest.fixture
def definitions(tmp_path: Path, packages: Path) -> list[Path]:
    """Return a definitions folder with one recipe, `tiny`."""
    make_recipe(tmp_path / "defs", "tiny", "tinylib==1.0", packages=packages)
    return [tmp_path / "defs"]


def test_an_installed_environment_is_ready_and_tells_what_is_in_it(definitions: list[Path]) -> None:
    """After `install` the library can be imported there, and versions and lock tell what was installed."""
    lines: list[str] = []
    environment = install("tiny", definitions=definitions, report=lines.append)
    assert (environment.state, environment.reason) == ("ready", "")
    assert environment.versions == {"tinylib": "1.0"}
    assert environment.lock == "tinylib==1.0\n"
    assert environment.seconds > 0
    assert lines == ["tiny: making the environment", "tiny: installing 1 distribution"]
    code = "import sys, tinylib; print(tinylib.__version__, *sys.version_info[:2])"
    printed = subprocess.run(
        [environment.python, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.split() == ["1.0", *(str(part) for part in sys.version_info[:2])]
    assert describe("tiny", definitions) == environment
    assert library_version("tiny", "tinylib") == "1.0"


def test_an_environment_that_is_ready_is_left_alone(definitions: list[Path]) -> None:
    """A second `install` does nothing; with `force` it makes the environment anew."""
    install("tiny", definitions=definitions)
    mark = environments_dir() / "tiny" / "mark"
    mark.touch()
    lines: list[str] = []
    assert install("tiny", definitions=definitions, report=lines.append).state == "ready"
    assert (mark.exists(), lines) == (True, [])
    assert install("tiny", definitions=definitions, force=True).state == "ready"
    assert not mark.exists()


def test_what_is_not_installed_is_missing_and_says_what_to_type(definitions: list[Path]) -> None:
    """Before `install` the state is missing, with the command that helps."""
    environment = describe("tiny", definitions)
    assert environment.state == "missing"
    assert environment.reason == "not installed: ann-bench install tiny"


def test_a_failed_installation_keeps_its_log_and_the_telling_line(
    tmp_path: Path, definitions: list[Path]
) -> None:
    """A version that does not exist makes the state failed, with the resolver's own reason and a log."""
    make_recipe(tmp_path / "defs", "tiny", "tinylib==9.9", packages=tmp_path / "packages")
    environment = install("tiny", definitions=definitions)
    assert environment.state == "failed"
    assert "there is no version of tinylib==9.9" in environment.reason
    assert "\n" not in environment.reason
    assert environment.log is not None
    assert "tinylib==9.9" in environment.log.read_text(encoding="utf-8")
    assert describe("tiny", definitions) == environment


def test_an_installation_that_was_killed_is_detected_and_done_again(
    tmp_path: Path, packages: Path, definitions: list[Path]
) -> None:
    """After a kill -9, even in a second installation, the environment is missing until it is made anew."""
    spare = tmp_path / "spare"
    recipe = f"environ: {{SPARE: {spare}}}\nsteps: [python kill.py]\n"
    folder = make_recipe(tmp_path / "defs", "tiny", "tinylib==1.0", packages=packages, recipe=recipe)
    kill = (
        "import os\nif not os.path.exists(os.environ['SPARE']):\n    os.kill(int(os.environ['HARNESS']), 9)\n"
    )
    (folder / "kill.py").write_text(kill, encoding="utf-8")
    spare.touch()
    assert install("tiny", definitions=definitions).state == "ready"
    spare.unlink()
    code = "import os, sys, pathlib\nfrom ann_bench.environments import install\n"
    code += "os.environ['HARNESS'] = str(os.getpid())\n"
    code += "install('tiny', definitions=[pathlib.Path(sys.argv[1])], force=True)\n"
    assert subprocess.run([sys.executable, "-c", code, definitions[0]], check=False).returncode == -9
    assert (environments_dir() / "tiny" / "bin" / "python").exists()
    assert describe("tiny", definitions).state == "missing"
    spare.touch()
    assert install("tiny", definitions=definitions).state == "ready"


def test_an_environment_from_an_older_recipe_is_missing(
    tmp_path: Path, packages: Path, definitions: list[Path]
) -> None:
    """Once the recipe changes, the environment made from the old one is not used."""
    install("tiny", definitions=definitions)
    make_wheel(packages, "tinylib", "1.1")
    make_recipe(tmp_path / "defs", "tiny", "tinylib==1.1", packages=packages)
    environment = describe("tiny", definitions)
    assert environment.state == "missing"
    assert environment.reason == "its recipe has changed since it was installed: ann-bench install tiny"
    assert install("tiny", definitions=definitions).versions == {"tinylib": "1.1"}


def test_an_environment_without_its_interpreter_is_missing(definitions: list[Path]) -> None:
    """If the interpreter that the environment was made from goes away, the environment is not ready."""
    environment = install("tiny", definitions=definitions)
    assert environment.python is not None
    environment.python.unlink()
    assert describe("tiny", definitions).state == "missing"
    assert install("tiny", definitions=definitions).state == "ready"


def test_what_is_built_from_source_is_built_once(tmp_path: Path, packages: Path) -> None:
    """The wheel of a source distribution is kept, and another installation builds nothing."""
    make_sdist(packages, "madelib", "2.0")
    recipe = f"source: [madelib]\nenviron: {{BUILT: {tmp_path / 'built'}}}\n"
    definitions = [tmp_path / "defs"]
    make_recipe(definitions[0], "made", "madelib==2.0", packages=packages, recipe=recipe)
    lines: list[str] = []
    assert install("made", definitions=definitions, report=lines.append).state == "ready"
    assert lines[1] == "made: building madelib from source, once"
    assert [wheel.name for wheel in wheels_dir().glob("madelib-2.0-*/*")] == ["madelib-2.0-py3-none-any.whl"]
    digest = library_digest("made", "madelib")
    assert install("made", definitions=definitions, force=True).versions == {"madelib": "2.0"}
    assert (tmp_path / "built").read_text(encoding="utf-8") == "built\n"
    assert library_digest("made", "madelib") == digest


def test_a_failed_build_tells_the_builder_s_own_reason(tmp_path: Path, packages: Path) -> None:
    """The reason of a failed build is the line of the build itself, and no wheel is kept."""
    make_sdist(packages, "madelib", "2.0")
    recipe = f"source: [madelib]\nenviron: {{BUILT: {tmp_path / 'built'}, FAILS: 'yes'}}\n"
    make_recipe(tmp_path / "defs", "made", "madelib==2.0", packages=packages, recipe=recipe)
    environment = install("made", definitions=[tmp_path / "defs"])
    assert environment.state == "failed"
    assert environment.reason == "RuntimeError: this compiler knows no vectors"
    assert not list(wheels_dir().glob("*/*.whl"))


def test_what_needs_building_and_is_not_named_as_source_fails(tmp_path: Path, packages: Path) -> None:
    """Nothing is built silently: a recipe says what is built, so that its wheel is kept."""
    make_sdist(packages, "madelib", "2.0")
    make_recipe(tmp_path / "defs", "made", "madelib==2.0", packages=packages)
    environment = install("made", definitions=[tmp_path / "defs"])
    assert environment.state == "failed"
    assert "madelib==2.0 has no usable wheels" in environment.reason


def test_steps_run_in_the_recipe_s_folder_with_the_environment_s_python(
    tmp_path: Path, packages: Path, definitions: list[Path]
) -> None:
    """`python` in a step is the environment's, and its working folder the recipe's."""
    (tmp_path / "said").touch()
    recipe = f"environ: {{SAID: {tmp_path / 'said'}}}\nsteps: [python tell.py]\n"
    folder = make_recipe(tmp_path / "defs", "tiny", "tinylib==1.0", packages=packages, recipe=recipe)
    code = "import os, sys\nopen(os.environ['SAID'], 'w').write(sys.prefix + '\\n' + os.getcwd())\n"
    (folder / "tell.py").write_text(code, encoding="utf-8")
    assert install("tiny", definitions=definitions).state == "ready"
    said = (tmp_path / "said").read_text(encoding="utf-8").split("\n")
    assert said == [str(environments_dir() / "tiny"), str(folder)]


def test_what_cannot_be_had_is_unavailable_and_never_tried(tmp_path: Path, packages: Path) -> None:
    """A recipe that declares itself unavailable is listed with its reason and needs no requirement."""
    folder = tmp_path / "defs" / "install" / "gone"
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text("unavailable: no registry has it\n", encoding="utf-8")
    environment = install("gone", definitions=[tmp_path / "defs"])
    assert (environment.state, environment.reason) == ("unavailable", "no registry has it")


@pytest.mark.parametrize(("vendor", "state"), [("MadeBefore", "unavailable"), ("MadeHere", "missing")])
def test_what_runs_on_some_processors_only_is_unavailable_on_others(
    tmp_path: Path, packages: Path, monkeypatch: pytest.MonkeyPatch, vendor: str, state: str
) -> None:
    """A recipe's `unavailable` does not hold on the processors that it names."""
    monkeypatch.setattr("ann_bench.recipes.cpu_vendor", lambda: vendor)
    recipe = "unavailable: only for processors made here\nprocessors: [MadeHere]\n"
    make_recipe(tmp_path / "defs", "tiny", "tinylib==1.0", packages=packages, recipe=recipe)
    environment = describe("tiny", [tmp_path / "defs"])
    assert environment.state == state
    assert (environment.reason == "only for processors made here") == (state == "unavailable")


def test_a_recipe_for_some_processors_says_why(tmp_path: Path, packages: Path) -> None:
    """`processors` without the reason that holds on others is a mistake."""
    make_recipe(
        tmp_path / "defs", "tiny", "tinylib==1.0", packages=packages, recipe="processors: [MadeHere]\n"
    )
    with pytest.raises(ConfigError, match=r"recipe\.yaml:1: processors: `unavailable` is missing"):
        describe("tiny", [tmp_path / "defs"])


def test_an_interpreter_that_is_not_there_is_told(
    tmp_path: Path, packages: Path, definitions: list[Path]
) -> None:
    """A recipe for a Python that the machine lacks is no failure: it tells which, and is tried again."""
    make_recipe(tmp_path / "defs", "tiny", "tinylib==1.0", packages=packages, recipe='python: "==3.99.*"\n')
    environment = install("tiny", definitions=definitions)
    assert environment.state == "unavailable"
    assert environment.reason == (
        "needs Python ==3.99.*, and no such interpreter is on this machine; with one: ann-bench install tiny"
    )
    assert describe("tiny", definitions) == environment
    lines: list[str] = []
    assert (
        install("tiny", definitions=definitions, report=lines.append) != environment
    )  # it took another time
    assert lines == ["tiny: making the environment"]


def test_an_interpreter_that_does_not_start_is_a_failure(
    tmp_path: Path, packages: Path, definitions: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python that is there and broken is told as such, and not taken for one that is missing."""
    broken = tmp_path / "bin" / "python3.99"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho this Python is broken >&2\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(broken.parent), prepend=os.pathsep)
    make_recipe(tmp_path / "defs", "tiny", "tinylib==1.0", packages=packages, recipe='python: "==3.99.*"\n')
    assert install("tiny", definitions=definitions).state == "failed"


def test_two_installations_of_one_environment_wait_for_each_other(definitions: list[Path]) -> None:
    """While another process holds the lock, `install` says so and waits."""
    environments_dir().mkdir(parents=True)
    waiting = threading.Event()
    states: list[str] = []
    lines: list[str] = []

    def report(line: str) -> None:
        lines.append(line)
        waiting.set()

    def work() -> None:
        states.append(install("tiny", definitions=definitions, report=report).state)

    thread = threading.Thread(target=work)
    with filelock.FileLock(environments_dir() / "tiny.lock"):
        thread.start()
        assert waiting.wait(20)
        assert lines == ["tiny: another process is installing it; waiting"]
    thread.join(60)
    assert states == ["ready"]


def test_the_harness_is_an_environment_too() -> None:
    """The environment "harness" is the running interpreter, with its distributions in the lock."""
    environment = describe("harness")
    assert (environment.state, environment.python) == ("ready", Path(sys.executable))
    assert f"numpy=={library_version('harness', 'numpy')}\n" in environment.lock
    assert install("harness") == environment


def test_two_builds_of_one_version_have_different_digests(packages: Path, definitions: list[Path]) -> None:
    """The digest follows the installed files, and nothing else: the same files give it again.

    A wheel that was built again under its old name is installed with `force`.
    """
    install("tiny", definitions=definitions)
    first = library_digest("tiny", "tinylib")
    install("tiny", definitions=definitions, force=True)
    assert library_digest("tiny", "tinylib") == first
    make_wheel(packages, "tinylib", "1.0", code="fast = True")
    install("tiny", definitions=definitions, force=True)
    second = library_digest("tiny", "tinylib")
    assert len(first) == len(second) == 64
    assert first != second


def test_a_library_that_is_not_there_is_told(definitions: list[Path]) -> None:
    """Asking for a library that the environment lacks names both."""
    install("tiny", definitions=definitions)
    with pytest.raises(
        InstallError, match=r"^otherlib: not in the environment tiny; ann-bench install tiny$"
    ):
        library_version("tiny", "otherlib")


def test_a_record_that_cannot_be_read_counts_as_not_installed(definitions: list[Path]) -> None:
    """A damaged record of an installation is no installation."""
    install("tiny", definitions=definitions)
    (environments_dir() / "tiny.json").write_text(json.dumps({"state": "ready"}), encoding="utf-8")
    assert describe("tiny", definitions).state == "missing"


def test_an_unknown_recipe_is_refused_with_the_nearest_name(definitions: list[Path]) -> None:
    """A name that no recipe has is a usage error that names the nearest one."""
    with pytest.raises(
        UsageError, match=r'^tinny: there is no such recipe in install/; did you mean "tiny"\?$'
    ):
        describe("tinny", definitions)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("sources: [tinylib]\n", 'recipe.yaml:1: sources: unknown key; did you mean "source"?'),
        (
            "source:\n- tinlib\n",
            'recipe.yaml:2: source.0: got "tinlib"; it is not pinned in requirements.txt; did you mean',
        ),
        ("python: 3.9\n", "recipe.yaml:1: python: got 3.9; it should be a valid string"),
        ("python: '3.9'\n", 'recipe.yaml:1: python: got "3.9"; '),
    ],
)
def test_a_mistake_in_a_recipe_names_file_line_and_key(
    tmp_path: Path, packages: Path, recipe: str, message: str
) -> None:
    """Mistakes in `recipe.yaml` are told as those in `algorithms.yaml` are."""
    make_recipe(tmp_path / "defs", "tiny", "tinylib==1.0", packages=packages, recipe=recipe)
    with pytest.raises(ConfigError) as caught:
        describe("tiny", [tmp_path / "defs"])
    assert message in str(caught.value)


@pytest.mark.parametrize("line", ["tinylib", "tinylib>=1", "tinylib==1.*", "tinylib===1.0", "./tinylib.whl"])
def test_what_is_not_pinned_is_refused(tmp_path: Path, packages: Path, line: str) -> None:
    """A line that leaves the version open is told with its file and number."""
    make_recipe(tmp_path / "defs", "tiny", f"# my own\n{line} # soon", packages=packages)
    with pytest.raises(ConfigError) as caught:
        describe("tiny", [tmp_path / "defs"])
    assert f'install/tiny/requirements.txt:4: got "{line}"; each line pins one version' in str(caught.value)


@pytest.mark.parametrize("line", ["Tiny.Lib == 1.0", "tiny_lib==1.0  # as in 2019", "tiny-lib==1.0; 1 < 2"])
def test_a_pin_may_be_written_as_pip_allows(line: str, tmp_path: Path, packages: Path) -> None:
    """Spaces, comments, markers and another spelling of the name make no difference."""
    line = line.replace("1 < 2", "python_version > '3'")
    make_wheel(packages, "tiny_lib", "1.0")
    make_recipe(tmp_path / "defs", "tiny", line, packages=packages)
    environment = install("tiny", definitions=[tmp_path / "defs"])
    assert (environment.state, environment.versions) == ("ready", {"tiny-lib": "1.0"}), environment.reason


def test_what_comes_along_unpinned_fails(tmp_path: Path, packages: Path) -> None:
    """A distribution that another one needs is pinned as well, or the installation fails and names it."""
    make_wheel(packages, "biglib", "3.0", needs="tinylib")
    make_recipe(tmp_path / "defs", "big", "biglib==3.0", packages=packages)
    environment = install("big", definitions=[tmp_path / "defs"])
    assert environment.state == "failed"
    assert environment.reason.endswith("requirements.txt: pin what others need, too: tinylib==1.0")
    make_recipe(tmp_path / "defs", "big", "biglib==3.0\ntinylib==1.0", packages=packages)
    assert install("big", definitions=[tmp_path / "defs"]).state == "ready"


def test_what_a_removal_left_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution's folder without its metadata is passed over in the harness's environment."""
    (tmp_path / "gone-1.0.dist-info").mkdir()
    (tmp_path / "gone-1.0.dist-info" / "RECORD").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    environments._harness.cache_clear()
    assert "gone" not in describe("harness").lock
    environments._harness.cache_clear()
    with pytest.raises(InstallError, match=r"^gone: not in the environment harness"):
        library_version("harness", "gone")


def test_a_recipe_s_name_is_taken_once(tmp_path: Path, packages: Path) -> None:
    """A definitions folder cannot replace a recipe of the project unnoticed."""
    make_recipe(tmp_path / "defs", "annoy", "tinylib==1.0", packages=packages)
    with pytest.raises(ConfigError, match="the recipe annoy exists already"):
        describe("annoy", [tmp_path / "defs"])


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (
            "running build_ext\n         src/a.cc:3:10: fatal error: omp.h: No such file or directory\n"
            "         error: command '/usr/bin/g++' failed with exit code 1\n",
            "src/a.cc:3:10: fatal error: omp.h: No such file or directory",
        ),
        (
            "error: Failed to build `a==1`\n  cause: The build backend returned an error\n\n"
            "         error: [Errno 2] No such file or directory: 'g++'\n",
            "error: [Errno 2] No such file or directory: 'g++'",
        ),
        (
            "error: Request failed after 3 retries in 9.5s\n  cause: Failed to fetch: http://x/simple/a/\n"
            "  cause: client error (Connect)\n  cause: Connection refused (os error 111)\n",
            "Failed to fetch: http://x/simple/a/: Connection refused (os error 111)",
        ),
        (
            "error: No solution found when resolving dependencies\n  cause: Because there is no version "
            "of a==9 and you require a==9, we can conclude that your requirements are unsatisfiable.\n",
            "Because there is no version of a==9 and you require a==9",
        ),
        ("Traceback (most recent call last):\n  x\nValueError: no\nbye\n", "ValueError: no"),
        ("one\ntwo\n\n", "two"),
        ("", "it said nothing"),
    ],
)
def test_the_telling_line_of_a_failure_is_found(output: str, line: str) -> None:
    """Of a compiler's, a resolver's or a script's output, the line that says why is kept."""
    assert telling_line(output) == line


def test_missing_debian_packages_are_told_where_dpkg_can_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without dpkg no package is said to be missing."""
    assert missing_packages([]) == []
    monkeypatch.setenv("PATH", "")
    assert missing_packages(["libnot-there-dev"]) == []


def test_the_engine_is_identified_by_its_compiled_module_and_its_python() -> None:
    """The built-in engine's digest is that of the files which Python imports."""
    native = pytest.importorskip("ann_bench.engine._native")
    files = [Path(native.__file__), *sorted((PACKAGE / "engine").glob("*.py"))]
    expected = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
    assert library_digest("harness", "ann_bench") == expected


def test_an_editable_installation_is_identified_by_the_files_behind_it(tmp_path: Path) -> None:
    """An edit of its source is another digest, though what is installed is the same."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "tinylib.py").write_text("one", encoding="utf-8")
    info = tmp_path / "venv" / "lib" / "python3.11" / "site-packages" / "tinylib-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tinylib\nVersion: 1.0\n", encoding="utf-8")
    told = {"url": source.as_uri(), "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(told), encoding="utf-8")
    first = installed_in(tmp_path / "venv", "tinylib")
    assert installed_in(tmp_path / "venv", "tinylib") == first
    (source / "tinylib.py").write_text("other", encoding="utf-8")
    assert installed_in(tmp_path / "venv", "tinylib") != first


def test_what_any_virtual_environment_has_is_told(definitions: list[Path], tmp_path: Path) -> None:
    """Version and digest are those that the same library has in an environment of ours, by any spelling."""
    install("tiny", definitions=definitions)
    folder = environments_dir() / "tiny"
    told = installed_in(folder, "TinyLib")
    assert told == (library_version("tiny", "tinylib"), library_digest("tiny", "tinylib"))
    with pytest.raises(InstallError, match=rf"^otherlib: not in the environment {folder}$"):
        installed_in(folder, "otherlib")
    with pytest.raises(InstallError, match=rf"^tinylib: not in the environment {tmp_path}$"):
        installed_in(tmp_path, "tinylib")


def test_the_engine_in_any_virtual_environment_is_what_is_there(tmp_path: Path) -> None:
    """The engine's digest is that of module and Python there, and without a module there is no engine."""
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    info = packages / "ann_bench-0.0.7.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: ann_bench\nVersion: 0.0.7\n", encoding="utf-8"
    )
    with pytest.raises(InstallError, match=rf"^ann_bench: not in the environment {tmp_path}$"):
        installed_in(tmp_path, "ann_bench")
    module = packages / "ann_bench" / "engine" / "_native.cpython-311-x86_64-linux-gnu.so"
    module.parent.mkdir(parents=True)
    module.write_bytes(b"compiled")
    assert installed_in(tmp_path, "ann_bench") == ("0.0.7", hashlib.sha256(b"compiled").hexdigest())
    (module.parent / "forest.py").write_bytes(b"python")
    assert installed_in(tmp_path, "ann_bench") == ("0.0.7", hashlib.sha256(b"compiled\0python").hexdigest())
