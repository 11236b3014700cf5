"""The source of a user's module or package, read once, and the modules that its import statements name."""

import ast
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from jaxbatch.user_code.lookup import Place

_SCANNED = 4096
"""Files whose import statements are remembered."""


@dataclass(frozen=True)
class Source:
    """What is imported as one: a file, or a package with all that is below its folder."""

    place: Place
    files: Mapping[Path, bytes]
    """Its files with what they hold."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the files and where they really are, so that a link to a file is that file."""
        found = hashlib.sha256()
        for path, text in sorted(self.files.items()):
            found.update(f"{os.path.realpath(path)}\0{len(text)}\0".encode(errors="surrogateescape") + text)
        return found.hexdigest()

    @property
    def folder(self) -> Path:
        """The folder that it lies in."""
        return self.place.path.parent

    @property
    def package(self) -> Path | None:
        """Its folder, if it is a package."""
        return self.place.path if self.place.kind == "package" else None

    def beside(self, asker: Path, further: Sequence[Path]) -> list[Path]:
        """Where the imports of a file in the folder ``asker`` are looked for: there, by a link to the file and really,
        beside the package, and in ``further`` folders."""
        return list(dict.fromkeys([asker, *(path.resolve().parent for path in self._in(asker)), self.folder, *further]))

    def _in(self, folder: Path) -> list[Path]:
        return [path for path in self.files if path.parent == folder][:1]

    @cached_property
    def imports(self) -> frozenset[tuple[Path, str]]:
        """The modules that its import statements name, by the folder of the file that does, dots and all."""
        return frozenset((path.parent, name) for path, text in self.files.items() for name in imported(text))


def read(place: Place) -> Source:
    """The source of a file or package, as it is now.

    Raises:
        OSError: it cannot be read.
    """
    paths = _walk(place.path) if place.kind == "package" else [place.path]
    return Source(place, {path: path.read_bytes() for path in paths})


def _walk(folder: Path) -> Iterator[Path]:
    for current, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name.isidentifier() and name != "__pycache__"]
        yield from (path for name in names if name.endswith(".py") and (path := Path(current, name)).is_file())


@lru_cache(_SCANNED)
def imported(text: bytes) -> tuple[str, ...]:
    """The modules that a source names in absolute imports, wherever they stand: of ``from a import b`` both ``a`` and
    ``a.b``, which may be one. A source that Python cannot parse names none."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return ()
    return tuple(dict.fromkeys(name for node in ast.walk(tree) for name in _named(node)))


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name != "*")


def without_layout(text: bytes) -> str:
    """A source as Python parses it, comments, layout and docstrings aside; of one that it cannot parse the digest."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return hashlib.sha256(text).hexdigest()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Module) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    return ast.dump(tree)
