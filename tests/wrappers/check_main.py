"""Does a part of the check in a library's environment (Python >= 3.7): `check_main.py PACKAGE TESTS SPEC`.

The harness's dependencies are not there: of `ann_bench`, the folder PACKAGE, its modules for workers can be
imported, of `tests`, the folder TESTS, those beside this file.
"""

import json
import sys
import types


def main(package, tests, spec):
    """Do the part of the check that `spec` tells; an exception is a failure."""
    for name, folder in (("ann_bench", package), ("tests", tests)):
        module = types.ModuleType(name)
        module.__path__ = [folder]
        sys.modules[name] = module
    from tests.wrappers import check_wrapper

    check_wrapper.main(json.loads(spec))


if __name__ == "__main__":
    main(*sys.argv[1:])
