"""The worker's entry, started by file path in a library's environment: `main.py REQUEST_FD REPLY_FD`."""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from importlib.machinery import ModuleSpec, PathFinder

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class _HarnessWorker:
    """Finds `ann_bench.worker` and what is in it here, whatever this environment has of that name.

    An editable installation of another checkout has a finder of its own, which would come first.
    """

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        if name.split(".")[:2] != ["ann_bench", "worker"]:
            return None
        return PathFinder.find_spec(name, [os.path.join(_PACKAGE, *name.split(".")[1:-1])])


def _make_package_importable() -> None:
    """Let wrappers say `from ann_bench.worker.wrapper import Wrapper` without the package's `__init__`.

    The harness's dependencies are not installed here, and its modules are none of a library's business. The
    worker is the harness's own; the engine is that of the environment, where it has one.
    """
    installed = importlib.util.find_spec("ann_bench")
    folders = list((installed and installed.submodule_search_locations) or ())
    with_engine = any(os.path.isfile(os.path.join(path, "engine", "__init__.py")) for path in folders)
    package = types.ModuleType("ann_bench")
    package.__path__ = folders if with_engine else [_PACKAGE]
    sys.modules["ann_bench"] = package
    sys.meta_path.insert(0, _HarnessWorker)


def main(arguments: list[str]) -> None:
    """Serve requests until the harness closes the pipe."""
    _make_package_importable()
    from ann_bench.worker.session import serve

    request_fd, reply_fd = (int(text) for text in arguments)
    for fd in (request_fd, reply_fd):
        os.set_inheritable(fd, False)
    serve(os.fdopen(request_fd, "r", encoding="utf-8"), os.fdopen(reply_fd, "w", encoding="utf-8"))


if __name__ == "__main__":
    main(sys.argv[1:])
