"""Which sources a user's module can reach by its imports, and so when two imports of it are one."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jaxbatch.errors import JobError
from jaxbatch.user_code.lookup import Place, find, installed, is_standard
from jaxbatch.user_code.source import Source, read

Asked = tuple[Path, str]
"""A module's name, dots and all, and the folder of the file that asks for it."""


@dataclass(frozen=True)
class Node:
    """A source, and where what it imports is: every name that a neighbour stands for."""

    source: Source
    imports: dict[Asked, tuple[Place, ...]] = field(default_factory=dict)
    """The places on the way of a dotted name: namespaces, and last a file or package."""


def neighbour(name: str, folders: Sequence[Path], *, asker: str, package: Path | None = None) -> tuple[Place, ...]:
    """What stands for a dotted name: the places on the way to a file or package of the user's in one of some folders,
    or nothing where the name is Python's, an installed package's or unknown.

    Args:
        name: of the module, dots and all.
        folders: where it is looked for, in their order.
        asker: who asks, for the message.
        package: the package that asks, if one does: its own modules are asked for with its name or a dot, so that an
            installed package is the one meant where one of its modules has the name too.

    Raises:
        JobError: an installed package has the name too.
    """
    top, *rest = name.split(".")
    if is_standard(top):
        return ()
    place = find(top, folders)
    if place is None:
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
            f"Rename {place.path.name}: which of the two is meant cannot be told.",
        )
    return tuple(_down(place, rest))


def _down(place: Place | None, names: Sequence[str]) -> Iterator[Place]:
    for name in (*names, None):
        if place is None:
            return
        yield place
        if place.kind != "namespace" or name is None:
            return
        place = find(name, [place.path])


class Graph:
    """The sources that are reached from one, read once.

    Args:
        further: the folders where every source's imports are looked for, after its own.
    """

    def __init__(self, start: Place, further: Sequence[Path]):
        self.nodes: dict[Path, Node] = {}
        self._further = further
        waiting = [start]
        while waiting:
            place = waiting.pop()
            if place.path not in self.nodes:
                node = self.nodes[place.path] = self._node(place)
                waiting += [places[-1] for places in node.imports.values() if places[-1].kind in ("file", "package")]

    def _node(self, place: Place) -> Node:
        source = read(place)
        node = Node(source)
        for asker, name in sorted(source.imports):
            try:
                places = neighbour(name, source.beside(asker, self._further), asker=str(asker), package=source.package)
            except JobError:
                continue  # it is told if the statement is ever reached
            if places:
                node.imports[asker, name] = places
        return node

    def reached(self, start: Path) -> list[Node]:
        """A source and all that it reaches, by path."""
        found: set[Path] = set()
        waiting = [start]
        while waiting:
            path = waiting.pop()
            if path in self.nodes and path not in found:
                found.add(path)
                waiting += [places[-1].path for places in self.nodes[path].imports.values()]
        return [self.nodes[path] for path in sorted(found)]

    def digest(self, start: Path, mark: Callable[[Source], str]) -> str:
        """What decides what a source becomes when it is imported: its text, that of all it reaches, and how names lead
        from one to the other. ``mark`` adds what else there is to a source."""
        found = hashlib.sha256(str(start.resolve()).encode(errors="surrogateescape"))
        for node in self.reached(start):
            found.update(f"\0{node.source.digest} {mark(node.source)}".encode())
            for (asker, name), places in sorted(node.imports.items(), key=lambda item: item[0]):
                named = f"\0{os.path.relpath(asker, node.source.folder)} {name} {places[-1].path.resolve()}"
                found.update(named.encode(errors="surrogateescape"))
        return found.hexdigest()
