"""Made-up git repositories."""

import os
import subprocess
from pathlib import Path

_NOBODY = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "nobody",
    "GIT_AUTHOR_EMAIL": "nobody@example.org",
    "GIT_COMMITTER_NAME": "nobody",
    "GIT_COMMITTER_EMAIL": "nobody@example.org",
}


def git(folder: Path, *words: str) -> str:
    """Return what git printed in `folder`."""
    return subprocess.run(
        ["git", *words], cwd=folder, env=os.environ | _NOBODY, capture_output=True, text=True, check=True
    ).stdout.strip()


def commit_all(folder: Path) -> str:
    """Commit all that is in `folder`, a repository from then on, and return the commit."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=all")
    return git(folder, "rev-parse", "HEAD")
