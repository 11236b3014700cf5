"""The source of a user's module or package, read once, and the modules that its import statements name."""

import ast
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from jaxbatch.user_code.lookup import Place

_SCANNED = 4096
"""How many files' import statements are remembered, and digests without layout."""

_IMPORT = re.compile(r"\bfrom\s+([\w.]+)\s+import\s*(\([^)]*\)|[^\n;#]*)|\bimport\s+([^\n;#(]+)")
_DYNAMIC = re.compile(rb"import_module|__import__|\bexec\b")


@dataclass(frozen=True)
class Source:
    """What is imported as one: a file, or a package with all files below its folder."""

    place: Place
    files: Mapping[Path, bytes]
    """Its files with their contents."""

    @cached_property
    def real_path(self) -> str:
        """Its path with symbolic links resolved, so that a link to a file is that file."""
        return os.path.realpath(self.place.path)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its files and their paths within it."""
        found = hashlib.sha256()
        for path, text in sorted(self.files.items()):
            name = path.relative_to(self.folder) if self.package else path.suffix
            found.update(f"{name}\0{len(text)}\0".encode(errors="surrogateescape") + text)
        return found.hexdigest()

    @property
    def folder(self) -> Path:
        """The folder that it lies in."""
        return self.place.path.parent

    @property
    def package(self) -> Path | None:
        """Its folder, if it is a package."""
        return self.place.path if self.place.kind == "package" else None

    @cached_property
    def may_import_by_name(self) -> bool:
        """Whether it may import a module by a computed name, which no import statement shows."""
        return any(_DYNAMIC.search(text) for text in self.files.values())

    def folders_beside(self, asker: Path, further: Sequence[Path]) -> list[Path]:
        """Where to look for the imports of a file in the folder ``asker``: there, in the folder of the file that a
        symbolic link leads to, beside the package, and in the ``further`` folders."""
        resolved = [path.resolve().parent for path in self.files if path.parent == asker][:1]
        return list(dict.fromkeys([asker, *resolved, self.folder, *further]))

    @cached_property
    def imports(self) -> frozenset[tuple[Path, str]]:
        """The modules that its import statements name, each with the folder in which the search for it begins.

        Relative imports inside a package stay inside it, and are left out.
        """
        found = set()
        for path, text in self.files.items():
            for name in imported(text):
                dots = len(name) - len(name.lstrip("."))
                if not dots:
                    found.add((path.parent, name))
                elif not self.package and name.strip("."):
                    found.add((above(path, dots), name.lstrip(".")))
        return frozenset(found)


def above(file: Path, level: int) -> Path:
    """The folder in which a relative import with ``level`` dots begins."""
    return file.parents[level - 1]


def read(place: Place) -> Source:
    """The source of a file or package as it is now, without those files of a package that cannot be read.

    Raises:
        OSError: the file cannot be read.
    """
    if place.kind != "package":
        return Source(place, {place.path: place.path.read_bytes()})
    files: dict[Path, bytes] = {}
    for path in _walk(place.path):
        with suppress(OSError):
            files[path] = path.read_bytes()
    return Source(place, files)


def _walk(folder: Path) -> Iterator[Path]:
    seen = set()
    for current, folders, names in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(current))
        folders[:] = [
            name
            for name in folders
            if name.isidentifier()
            and name != "__pycache__"
            and os.path.realpath(os.path.join(current, name)) not in seen
        ]
        yield from (path for name in names if name.endswith(".py") and (path := Path(current, name)).is_file())


@lru_cache(_SCANNED)
def imported(text: bytes) -> tuple[str, ...]:
    """The modules that a source's import statements name, anywhere in it; relative ones with their dots.

    ``from a import b`` names both ``a`` and ``a.b``, since ``b`` may be a module.

    The statements are found by a pattern: parsing a package would take longer than importing the one file of it that is
    used. Text that only looks like an import adds a module, which costs one search for it.
    """
    found: dict[str, None] = {}
    for module, names, plain in _IMPORT.findall(text.decode(errors="replace")):
        for part in (names or plain).strip("() \t\\").replace("\\", " ").split(","):
            name = next(iter(part.split()), "")
            if plain:
                found[name] = None
            else:
                found[module] = None
                found[f"{module}{'' if module.endswith('.') else '.'}{name}"] = None
    return tuple(name for name in found if all(part.isidentifier() for part in name.lstrip(".").split(".")))


@lru_cache(_SCANNED)
def without_layout(text: bytes) -> str:
    """The digest of a source as Python parses it, without comments, layout and docstrings.

    If Python cannot parse it, the digest of its text.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return hashlib.sha256(text).hexdigest()
    words: list[str] = []
    _write(tree, words)
    return hashlib.sha256("\0".join(words).encode(errors="surrogatepass")).hexdigest()


def _write(node: ast.AST, words: list[str]) -> None:
    """Append a tree's nodes and values in order; three times as fast as :func:`ast.dump`."""
    words.append(type(node).__name__)
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, ast.AST):
            _write(value, words)
        elif isinstance(value, list):
            first = 1 if name == "body" and _has_docstring(node) else 0
            words.append(f"{len(value) - first}")
            for each in value[first:]:
                if isinstance(each, ast.AST):
                    _write(each, words)
                else:
                    words.append(repr(each))
        else:
            words.append(f"{type(value).__name__} {value!r}")


def _has_docstring(node: ast.AST) -> bool:
    if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Module) or not node.body:
        return False
    first = node.body[0]
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
