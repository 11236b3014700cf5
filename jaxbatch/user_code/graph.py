"""Which sources a user's module reaches by its imports: two imports with the same ones give one module."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path

from jaxbatch.errors import JobError
from jaxbatch.user_code.lookup import Place, find, installed, is_standard
from jaxbatch.user_code.source import Source, read

ImportRequest = tuple[Path, str]
"""A module's name, dots and all, and the folder of the file that asks for it."""


@dataclass(frozen=True)
class Node:
    """A source and the user's modules that it imports."""

    source: Source
    imports: dict[ImportRequest, tuple[Place, ...]] = field(default_factory=dict)
    """For each imported name that means a user's module, the place of each of its parts: namespaces, and last a file or
    package."""

    @property
    def next(self) -> list[Place]:
        """The files and packages that it imports directly."""
        return [places[-1] for places in self.imports.values() if places[-1].kind in ("file", "package")]


def neighbour(name: str, folders: Sequence[Path], *, asker: str, package: Path | None = None) -> tuple[Place, ...]:
    """The user's module that a dotted name means: the place of each part of the name, the file or package last.

    Empty if the name belongs to Python's standard library or an installed package, or is unknown.

    Args:
        name: of the module, with its dots.
        folders: where to look for it, in this order.
        asker: who imports it, for the message.
        package: the package that imports it, if it is one. A package imports its own modules by its own name or a dot;
            so a plain name that an installed package has too means the installed one.

    Raises:
        JobError: both a folder and an installed package have the name.
    """
    top, *rest = name.split(".")
    if is_standard(top):
        return ()
    place = find(top, folders)
    if place is None or (place.kind == "namespace" and _is_regular_elsewhere(top, place)):
        return ()
    other = installed(top)
    if other is not None and Path(other).resolve().is_relative_to(place.path.resolve()):
        if top == __name__.partition(".")[0]:
            return ()  # a second jaxbatch would not know the first one's classes
    elif other is not None:
        if place.kind == "namespace" or (package is not None and package in place.path.parents):
            return ()
        raise JobError(
            f"{asker} imports '{top}', which is both {place.path} and the installed {other}.",
            f"Rename {place.path.name}: it is unclear which of the two is meant.",
        )
    return tuple(_down(place, rest))


def _is_regular_elsewhere(name: str, place: Place) -> bool:
    """Whether Python itself finds a module of the name, which comes before a folder without ``__init__.py``."""
    spec = PathFinder.find_spec(name)
    return spec is not None and spec.origin is not None and not Path(spec.origin).is_relative_to(place.path)


def _down(place: Place | None, names: Sequence[str]) -> Iterator[Place]:
    for name in (*names, None):
        if place is None:
            return
        yield place
        if place.kind != "namespace" or name is None:
            return
        place = find(name, [place.path])


class Graph:
    """The sources that one source reaches by its imports, each read once.

    Args:
        start: where that one is.
        further: folders to look in for every source's imports, after the source's own folder.
    """

    def __init__(self, start: Place, further: Sequence[Path]):
        self.nodes: dict[Path, Node] = {}
        self._further = further
        self._asked: dict[tuple[str, tuple[Path, ...], Path | None], tuple[Place, ...]] = {}
        self._real_paths: dict[Path, str] = {}
        waiting = [start]
        while waiting:
            place = waiting.pop()
            if place.path not in self.nodes:
                node = self.nodes[place.path] = self._node(place)
                waiting += node.next

    def _node(self, place: Place) -> Node:
        source = read(place)
        node = Node(source)
        beside = {asker: tuple(source.folders_beside(asker, self._further)) for asker, _ in source.imports}
        for asker, name in sorted(source.imports):
            if places := self._neighbour(name, beside[asker], source):
                node.imports[asker, name] = places
        return node

    def _neighbour(self, name: str, folders: tuple[Path, ...], source: Source) -> tuple[Place, ...]:
        key = (name, folders, source.package)
        if key not in self._asked:
            try:
                self._asked[key] = neighbour(name, folders, asker=str(source.place.path), package=source.package)
            except JobError:  # raised if the statement is ever executed
                self._asked[key] = ()
        return self._asked[key]

    def digests(self, salt: Callable[[Source], str]) -> dict[Path, str]:
        """For each source a digest of what decides what it is once imported.

        That is its text and place, those of all sources that it reaches, and which names lead to which.

        Args:
            salt: adds to a source what else decides.
        """
        own = {path: self._own_digest(node, salt(node.source)) for path, node in self.nodes.items()}
        return {
            path: _digest(f"{self.nodes[path].source.real_path}", map(own.get, self._reached(path))) for path in own
        }

    def _own_digest(self, node: Node, salt: str) -> str:
        source = node.source
        names = sorted(
            f"{os.path.relpath(asker, source.folder)} {name} {self._real_path(places[-1])}"
            for (asker, name), places in node.imports.items()
        )
        return _digest(f"{source.digest} {source.real_path} {salt}", names)

    def _real_path(self, place: Place) -> str:
        if place.path not in self._real_paths:
            self._real_paths[place.path] = os.path.realpath(place.path)
        return self._real_paths[place.path]

    def _reached(self, start: Path) -> list[Path]:
        found: set[Path] = set()
        waiting = [start]
        while waiting:
            path = waiting.pop()
            if path in self.nodes and path not in found:
                found.add(path)
                waiting += [place.path for place in self.nodes[path].next]
        return sorted(found)


def _digest(first: str, others: "Iterator[str | None] | list[str]") -> str:
    found = hashlib.sha256(first.encode(errors="surrogateescape"))
    for other in others:
        found.update(b"\0" + str(other).encode(errors="surrogateescape"))
    return found.hexdigest()
