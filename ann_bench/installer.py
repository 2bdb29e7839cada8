"""What makes an environment: uv, a package of the registry, called step by step, everything it says in a log.

Each step is a command of `ann_bench.supervised`: it ends with Ctrl-C, and with this program.

A distribution without a wheel in the registry is built once; its wheel is kept under `paths.wheels_dir()`, by
requirement, interpreter and processor (libraries of this field compile for the processor they are built on).
"""

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import uv

from ann_bench.errors import InstallError, MissingPythonError
from ann_bench.paths import wheels_dir
from ann_bench.recipes import RecipeFolder, canonical, parse_lock
from ann_bench.supervised import Commands

# What tells most of why a build or an installation failed, the more telling first.
_TELLING = (
    r"^\s*\S+: (fatal )?error: .+",
    r"^\s+error: (?!(?i:command|subprocess)).+",
    r"^\s*[\w.]*(Error|Exception): .+",
    r"^.*: command not found$",
)
_UNSOLVED = "No solution found when resolving dependencies"
_NO_PYTHON = "No interpreter found for "
_LONGEST_REASON = 300
# What tells builds how many jobs to run at a time, beside make's own MAKEFLAGS.
_JOBS = (
    "MAX_JOBS",
    "CMAKE_BUILD_PARALLEL_LEVEL",
    "CARGO_BUILD_JOBS",
    "UV_CONCURRENT_BUILDS",
    "UV_CONCURRENT_INSTALLS",
)
# The worker's oldest Python; uv refuses to look on when it meets one that is much older.
_OLDEST = (3, 7)


class Installer:
    """Makes one recipe's environment in the folder `target`.

    Parameters
    ----------
    folder
        The recipe.
    target
        Where the environment goes; what is there is removed.
    log
        Gets every command and what it printed.
    report
        Gets a line for each step.
    commands
        Runs what takes long.
    cores
        How many of them a build may keep busy.
    refresh
        Look anew at what uv knows by its name, such as a wheel in a folder that was built again.
    """

    def __init__(
        self,
        folder: RecipeFolder,
        target: Path,
        log: IO[str],
        report: Callable[[str], None],
        commands: Commands,
        cores: int,
        *,
        refresh: bool = False,
    ) -> None:
        self.folder = folder
        self.target = target
        self.python = target / "bin" / "python"
        self._pins = folder.pins()
        self._log = log
        self._report = report
        self._commands = commands
        self._cores = cores
        self._refresh = ["--refresh"] if refresh else []
        self._uv = uv.find_uv_bin()

    def install(self) -> str:
        """Make the environment and return its lock.

        `InstallError` gives the telling line of what failed, `MissingPythonError` the Python that is not
        there; `Stopped` leaves things as they are.
        """
        recipe = self.folder.recipe
        shutil.rmtree(self.target, ignore_errors=True)
        self._report(f"{self.folder.name}: making the environment")
        try:
            self._run([self._uv, "venv", "--python", recipe.python or sys.executable, str(self.target)])
        except InstallError as error:
            if not str(error).startswith(_NO_PYTHON):
                raise
            raise MissingPythonError(
                f"needs Python {recipe.python}, and no such interpreter is on this machine; with one: "
                f"ann-bench install {self.folder.name}"
            ) from None
        sources = [canonical(name) for name in recipe.source]
        wheels = [self._built(name) for name in sources]
        count = len(self._pins)
        self._report(f"{self.folder.name}: installing {count} distribution{'' if count == 1 else 's'}")
        command = [*self._refresh, "--requirements", str(self.folder.requirements)]
        for wheel in wheels:
            command += ["--find-links", str(wheel)]
        for name in self._pins:
            if name not in sources:
                command += ["--only-binary", name]
        self._run([*self._pip("install"), *command])
        self._check_pinned()
        for step in recipe.steps:
            self._report(f"{self.folder.name}: {step}")
            self._run(shlex.split(step))
        return self._ask(self._pip("freeze"))

    def _pip(self, command: str) -> list[str]:
        return [self._uv, "pip", command, "--python", str(self.python)]

    def _check_pinned(self) -> None:
        """Raise `InstallError` if something came along that nobody pinned: it may be another tomorrow."""
        installed = parse_lock(self._ask(self._pip("freeze")))
        unpinned = [f"{name}=={version}" for name, version in installed.items() if name not in self._pins]
        if unpinned:
            raise InstallError(
                f"{self.folder.requirements}: pin what others need, too: {', '.join(unpinned)}"
            )

    def _built(self, name: str) -> Path:
        """Return the folder that keeps the wheel of `name`; build it if there is none yet."""
        requirement = f"{name}=={self._pins[name]}"
        soabi = self._ask(
            [str(self.python), "-c", "import sysconfig; print(sysconfig.get_config_var('SOABI'))"]
        )
        kept = wheels_dir() / _wheel_key(requirement, soabi.strip(), self.folder.recipe.environ)
        if any(kept.glob("*.whl")):
            return kept
        self._report(f"{self.folder.name}: building {name} from source, once")
        scratch = self.target / "build"
        scratch.mkdir()
        # A cache of its own holds, afterwards, the one wheel that was built.
        lines = self.folder.requirements.read_text(encoding="utf-8").splitlines()
        options = [line for line in lines if line.startswith("-")]
        wanted = scratch / "requirements.txt"
        wanted.write_text("\n".join([*options, requirement]) + "\n", encoding="utf-8")
        places = ["--target", str(scratch / "target"), "--cache-dir", str(scratch / "cache")]
        self._run(
            [*self._pip("install"), "--no-deps", "--no-binary", name, *places, "--requirements", str(wanted)]
        )
        kept.mkdir(parents=True, exist_ok=True)
        # A build may leave wheels of its own requirements there too.
        start = name.replace("-", "_") + "-"
        for wheel in (scratch / "cache").glob("sdists-*/**/*.whl"):
            if wheel.name.lower().startswith(start):
                wheel.replace(kept / wheel.name)
        shutil.rmtree(scratch)
        return kept

    def _run(self, command: Sequence[str]) -> None:
        """Run `command` in the recipe's folder, until it ends or the commands are stopped."""
        self._log.write(f"$ {shlex.join(command)}\n")
        self._log.flush()
        code, output = self._commands.run(command, self.folder.path, self._environ())
        self._log.write(output)
        if code != 0:
            raise InstallError(telling_line(output))

    def _ask(self, command: Sequence[str]) -> str:
        """Return what a quick `command` prints on its standard output."""
        self._commands.check()
        self._log.write(f"$ {shlex.join(command)}\n")
        done = subprocess.run(
            command,
            cwd=self.folder.path,
            env=self._environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            start_new_session=True,  # Ctrl-C would be taken for its failure
        )
        self._log.write(done.stdout + done.stderr)
        if done.returncode != 0:
            raise InstallError(telling_line(done.stdout + "\n" + done.stderr))
        return done.stdout

    def _environ(self) -> dict[str, str]:
        unwanted = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
        environ = {key: value for key, value in os.environ.items() if key not in unwanted}
        path = [self.python.parent, Path(self._uv).parent, *_interpreter_folders()]
        cores = str(self._cores)
        return {
            **environ,
            "PATH": os.pathsep.join(str(folder) for folder in path),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_PYTHON_PREFERENCE": "system",
            "UV_NO_PROGRESS": "1",
            "UV_LINK_MODE": "copy",  # a library that changes its own files must not change uv's cache
            "NO_COLOR": "1",
            **dict.fromkeys(_JOBS, cores),
            "MAKEFLAGS": f"-j{cores}",
            **self.folder.recipe.environ,
        }


def missing_packages(packages: Sequence[str]) -> list[str]:
    """Return those Debian packages that are not installed; none where dpkg cannot tell."""
    if not packages or shutil.which("dpkg-query") is None:
        return []
    known = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *packages],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return [package for package in packages if f"{package} installed" not in known.splitlines()]


def telling_line(output: str) -> str:
    """Return the one line of a failed command's `output` that tells most of why."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    for pattern in _TELLING:
        for line in lines:
            if re.search(pattern, line):
                return line.strip()[:_LONGEST_REASON]
    errors = [line.partition("error: ")[2] for line in lines if line.startswith("error: ")]
    causes = [line.partition("cause: ")[2] for line in lines if line.lstrip().startswith("cause: ")]
    if causes and (causes[0].startswith("Failed to fetch") or errors[-1:] == [_UNSOLVED]):
        errors = causes[:1] if len(causes) > 1 else []
    reason = ": ".join([*errors[-1:], *causes[-1:]]) or (lines[-1].strip() if lines else "it said nothing")
    return reason.partition(", we can conclude")[0][:_LONGEST_REASON]


def _wheel_key(requirement: str, soabi: str, environ: Mapping[str, str]) -> str:
    """Return the name of the folder for a wheel built for this interpreter on this processor."""
    parts = [requirement, soabi, platform.machine(), _processor(), repr(sorted(environ.items()))]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"{requirement.replace('==', '-')}-{soabi}-{digest[:8]}"


def _processor() -> str:
    """Return model and abilities of the processor, as Linux tells them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    first = text.split("\n\n", 1)[0].splitlines()
    telling = ("model name", "flags", "CPU part", "Features")
    return "\n".join(line for line in first if line.startswith(telling))


def _interpreter_folders() -> list[Path]:
    """Return the folders to find interpreters in: the harness's own, then pyenv's newest first, then PATH.

    pyenv's shims are left out: uv takes each for an interpreter, and most of them are none.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    own = [
        (tuple(int(part) for part in found[1].split(".")), folder)
        for folder in pyenv.glob("versions/*/bin")
        if (found := re.fullmatch(r"(3\.\d+)\.\d+", folder.parent.name))
    ]
    newest_first = [folder for version, folder in sorted(own, reverse=True) if version >= _OLDEST]
    on_path = [Path(part) for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if part]
    return [
        Path(sys.base_prefix) / "bin",
        *newest_first,
        *(part for part in on_path if part != pyenv / "shims"),
    ]
