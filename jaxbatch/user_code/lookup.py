"""Where a module is found by its name: beside a user's file, in the standard library, or in an installed package."""

import site
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES, PathFinder
from pathlib import Path
from typing import Literal

_INIT = "__init__.py"


@dataclass(frozen=True)
class Place:
    """A module's file, or a package's folder. A namespace is a folder without ``__init__.py``; a binary is a compiled
    extension."""

    path: Path
    kind: Literal["file", "package", "namespace", "binary"]


def is_standard(name: str) -> bool:
    """Whether a top-level module belongs to Python's standard library."""
    return name in sys.stdlib_module_names or name in sys.builtin_module_names


def find(name: str, folders: Sequence[Path]) -> Place | None:
    """The module of this name in the first folder that has it, or None; as in Python, a namespace comes last."""
    for folder in folders:
        if (folder / name / _INIT).is_file():
            return Place(folder / name, "package")
        for suffix in (*EXTENSION_SUFFIXES, ".py", *BYTECODE_SUFFIXES):
            path = folder / f"{name}{suffix}"
            if path.is_file():
                return Place(path, "file" if suffix == ".py" else "binary")
    spaces = (folder / name for folder in folders if (folder / name).is_dir())
    return next((Place(path, "namespace") for path in spaces), None)


def installed(name: str) -> str | None:
    """The path of the installed module of this name, or None if there is none."""
    spec = PathFinder.find_spec(name, installed_folders())
    for finder in sys.meta_path if spec is None else ():
        called = f"{getattr(finder, '__module__', '')} {getattr(finder, '__qualname__', type(finder).__qualname__)}"
        if "editable" in called.lower():
            spec = spec or finder.find_spec(name, None)
    if spec is None or (spec.origin is None and not spec.submodule_search_locations):
        return None
    return spec.origin or next(iter(spec.submodule_search_locations or ()))


@cache
def installed_folders() -> list[str]:
    """The folders of installed packages, and those that ``.pth`` files in them name, as editable installs do."""
    named = [*site.getsitepackages(), *(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))]
    if site.ENABLE_USER_SITE:
        named.append(site.getusersitepackages())
    folders = dict.fromkeys(str(Path(folder)) for folder in named)
    for folder in list(folders):
        folders.update(dict.fromkeys(_of_pth_files(Path(folder))))
    return [folder for folder in folders if folder in sys.path or folder in named]


def _of_pth_files(folder: Path) -> Iterable[str]:
    for file in sorted(folder.glob("*.pth")):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            path = folder / line.strip()
            if line.strip() and not line.startswith(("#", "import ", "import\t")) and path.is_dir():
                yield str(path)
