"""The worker's entry, started by file path in a library's environment: `main.py REQUEST_FD REPLY_FD`."""

from __future__ import annotations

import os
import sys
import types
from typing import Callable, TextIO

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _make_package_importable() -> Callable[[TextIO, TextIO], None]:
    """Let wrappers say `from ann_bench.worker.wrapper import Wrapper` without the package's `__init__`.

    The harness's dependencies are not installed here, and its modules are none of a library's business. The
    worker is the harness's own; the engine is that of the environment, where it has one.
    """
    package = types.ModuleType("ann_bench")
    package.__path__ = [_PACKAGE]
    sys.modules["ann_bench"] = package
    from ann_bench.worker.session import serve

    installed = [os.path.join(folder, "ann_bench") for folder in sys.path]
    with_engine = [path for path in installed if os.path.isfile(os.path.join(path, "engine", "__init__.py"))]
    package.__path__ = [*with_engine, _PACKAGE][:1]
    return serve


def main(arguments: list[str]) -> None:
    """Serve requests until the harness closes the pipe."""
    serve = _make_package_importable()

    request_fd, reply_fd = (int(text) for text in arguments)
    for fd in (request_fd, reply_fd):
        os.set_inheritable(fd, False)
    serve(os.fdopen(request_fd, "r", encoding="utf-8"), os.fdopen(reply_fd, "w", encoding="utf-8"))


if __name__ == "__main__":
    main(sys.argv[1:])
