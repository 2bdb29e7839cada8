"""Every error that ann_bench raises on purpose: one root, a few children that carry the exit code.

A message says what is wrong, where, the offending value, what is allowed and what to do, in one or two lines.
"""

INTERRUPTED = 130  # the exit code after Ctrl-C, as shells have it


class AnnBenchError(Exception):
    """The root of our errors. `exit_code` is what the process ends with."""

    exit_code = 1


class UsageError(AnnBenchError):
    """Something asked for makes no sense: a flag, a name, a value."""

    exit_code = 2


class ConfigError(UsageError):
    """A mistake in `algorithms.yaml`, `catalog.yaml` or a recipe; the message names file, line and key."""


class DatasetError(AnnBenchError):
    """A dataset cannot be had, read or trusted."""


class InstallError(AnnBenchError):
    """A library's environment cannot be made or used."""


class MissingPythonError(InstallError):
    """A library's environment needs an interpreter that is not on this machine."""


class ResultsError(AnnBenchError):
    """A results file cannot be written or read."""


class IndexFileError(AnnBenchError):
    """A saved index cannot be read, or is damaged."""


class InvalidComparisonError(AnnBenchError):
    """Two sides cannot be compared; the message says why."""

    exit_code = 4


class SideError(AnnBenchError):
    """A side of a comparison does not build or run."""

    exit_code = 5


class MissingSideError(SideError):
    """A revision does not have the algorithm yet, or any more."""
