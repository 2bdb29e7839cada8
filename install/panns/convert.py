"""Make the Panns that was installed harmless, then Python 3. The recipe runs it in the library's environment.

The destructor of `PannsIndex` deletes the system's whole folder for temporary files. Python 3 cannot import
the source as it comes. It is converted in memory, the destructor is cut out there, and nothing is written
while a line is left that removes a folder: at no moment can the package be imported and do harm.
"""

import ast
import sys
import sysconfig
from lib2to3.refactor import RefactoringTool, get_fixers_from_package
from pathlib import Path

DANGER = "shutil.rmtree(tmpdir)"


def without_destructor(path: Path, text: str) -> str:
    """Return the source without the one method `__del__` that it must have, and that must hold the danger."""
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    found = [function for function in functions if function.name == "__del__"]
    if len(found) != 1 or DANGER not in (ast.get_source_segment(text, found[0]) or ""):
        sys.exit(
            f"{path}: error: expected one destructor with `{DANGER}` in it, found {len(found)} destructors: "
            "this is another Panns than the known one; read what it deletes before you change convert.py"
        )
    lines = text.splitlines(keepends=True)
    del lines[found[0].lineno - 1 : found[0].end_lineno]
    return "".join(lines)


def convert(package: Path) -> None:
    """Convert the modules in the folder `package`, where they lie."""
    tool = RefactoringTool(get_fixers_from_package("lib2to3.fixes"))
    converted = {
        path: str(tool.refactor_string(path.read_text(encoding="utf-8") + "\n", str(path)))
        for path in sorted(package.glob("*.py"))
    }
    index = package / "index.py"
    converted[index] = without_destructor(index, converted.get(index, ""))
    for path, text in converted.items():
        if "rmtree" in text:
            sys.exit(f"{path}: error: it still removes a folder (rmtree) after its destructor was taken out")
    for path, text in converted.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    convert(Path(sys.argv[1] if len(sys.argv) > 1 else sysconfig.get_path("purelib")) / "panns")
