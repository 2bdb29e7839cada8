"""Made-up distributions and recipes, so that environments are tested without a network."""

import base64
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

_BACKEND = """
import os, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    with open(os.environ["BUILT"], "a") as log:
        log.write("built\\n")
    if os.environ.get("FAILS"):
        raise RuntimeError("this compiler knows no vectors")
    os.rename("{wheel}", os.path.join(folder, "{wheel}"))
    return "{wheel}"
"""

# Makes the wheel of the folder it lies in, with the standard library alone; the file `broken` holds what a
# compiler has to say.
_SOURCE_BACKEND = """
import base64, glob, hashlib, os, sys, tomllib, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    if os.path.exists("broken"):
        sys.exit(open("broken").read())
    project = tomllib.load(open("pyproject.toml", "rb"))["project"]
    name, version = project["name"], project["version"]
    info = f"{name}-{version}.dist-info"
    files = {
        **{path: open(path).read() for path in (f"{name}.py", *glob.glob(f"{name}/**/*.*", recursive=True))},
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    record = f"{info}/RECORD,,\\n"
    wheel = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, wheel), "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{path},sha256={digest},{len(text)}\\n"
        archive.writestr(f"{info}/RECORD", record)
    return wheel
"""


def make_wheel(folder: Path, name: str, version: str, *, code: str = "", needs: str = "") -> Path:
    """Write a wheel with one module of that name, which may need another, and return its path."""
    info = f"{name}-{version}.dist-info"
    requires = f"Requires-Dist: {needs}\n" if needs else ""
    files = {
        f"{name}.py": f"__version__ = {version!r}\n{code}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    return wheel


def make_sdist(folder: Path, name: str, version: str) -> Path:
    """Write a source distribution that builds itself without any other, and notes that in the file $BUILT."""
    wheel = make_wheel(folder / "inside", name, version)
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        "pyproject.toml": b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": _BACKEND.replace("{wheel}", wheel.name).encode(),
        wheel.name: wheel.read_bytes(),
    }
    sdist = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(f"{name}-{version}/{path}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return sdist


def make_source(folder: Path, name: str, version: str) -> Path:
    """Write a source tree that builds without a network, and return it: module and package of that name."""
    folder.mkdir(parents=True, exist_ok=True)
    project = (
        f'[project]\nname = "{name}"\nversion = "{version}"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (folder / "pyproject.toml").write_text(project, encoding="utf-8")
    (folder / "backend.py").write_text(_SOURCE_BACKEND, encoding="utf-8")
    (folder / f"{name}.py").write_text(f"__version__ = {version!r}\n", encoding="utf-8")
    return folder


def make_recipe(definitions: Path, name: str, requirement: str, *, packages: Path, recipe: str = "") -> Path:
    """Write `install/NAME/`, whose requirement is looked for in the folder `packages` alone."""
    folder = definitions / "install" / name
    folder.mkdir(parents=True, exist_ok=True)
    text = f"--no-index\n--find-links {packages}\n{requirement}\n"
    (folder / "requirements.txt").write_text(text, encoding="utf-8")
    (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    return folder


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
