"""The user's modules in this process: each is executed once for its text and that of all it imports.

A module is known to Python by a name of our own, so that two files of one name can be there side by side, and one of
them in two versions. What its import statements name is looked for by :mod:`jaxbatch.user_code.graph` and not in
``sys.modules``, where a module of the same name may be somebody else's.
"""

import importlib
import linecache
import re
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import jax

from jaxbatch.errors import JobError
from jaxbatch.user_code.graph import Asked, Graph, neighbour
from jaxbatch.user_code.lookup import Place, installed_folders
from jaxbatch.user_code.opened import Stamp, stamp
from jaxbatch.user_code.source import Source

_NO_LETTER = re.compile(r"\W")
_NAME = re.compile(r"_jaxbatch_(\w+?)_[0-9a-f]{12}\b")

_lock = threading.RLock()
"""Held while it is found out which version of a module there is to be; not while one is executed."""

by_name: dict[str, "UserModule"] = {}
_by_digest: dict[str, "UserModule"] = {}
_latest: dict[str, "UserModule"] = {}
"""By the text of a module and of all that it imports."""
_asked: set[str] = set()
"""Of these it is being asked whether what no text tells has changed."""


@dataclass(eq=False)
class UserModule:
    """A file or package of the user's, in one version of it and of all that it imports."""

    name: str
    """In ``sys.modules``."""
    digest: str
    source: Source
    further: Sequence[Path]
    """Where its imports are looked for, besides beside it."""
    x64: bool
    """Whether it has 64-bit types: arrays that are made at import keep the type of their day."""
    times_changed: int
    """How often files or modules were others that it used, and that its import statements do not tell."""
    first: tuple[Path, ...] = ()
    """Folders that it has put before all others in ``sys.path``, …"""
    last: tuple[Path, ...] = ()
    """… and after some."""
    imports: dict[Asked, "tuple[tuple[Place, ...], UserModule | None]"] = field(default_factory=dict)
    dynamic: dict[Asked, "tuple[tuple[Place, ...], UserModule] | None"] = field(default_factory=dict)
    """What it asked for without an import statement that could be read; None where no file of the user's was that."""
    opened: dict[str, Stamp] = field(default_factory=dict)
    """The files that it read while it was executed."""

    def module(self, below: Sequence[str] = ()) -> ModuleType:
        """It, or one inside it, executed at the first call; in the meantime others who ask for it wait."""
        return importlib.import_module(".".join([self.name, *below]))

    def take_folders(self, other: "UserModule") -> None:
        """Look too where a module that this one imports has had Python look."""
        self.first = tuple(dict.fromkeys([*self.first, *other.first]))
        self.last = tuple(dict.fromkeys([*self.last, *other.last]))

    def find(self, asker: Path, name: str) -> tuple[Place, ...]:
        """What a name stands for that a file in the folder ``asker`` of it asks for now; see :func:`neighbour`."""
        folders = [*self.first, *self.source.beside(asker, self.further), *self.last]
        return neighbour(name, folders, asker=str(self.source.place.path), package=self.source.package)


def load(place: Place, folder: Path) -> UserModule:
    """The module of a file or package, in the version that its files are in now; it is not executed yet.

    Args:
        folder: the job's, whose modules come after those beside the importing file.

    Raises:
        OSError: a file cannot be read.
    """
    return load_from(place, folders_of(folder))


def folders_of(job: Path) -> tuple[Path, ...]:
    """The folder of a job, and those below it that Python looks in, as ``src``: what lies there is the user's too."""
    below = (Path(path) for path in sys.path if path and path not in installed_folders())
    return (job, *(path for path in below if job in path.parents))


def load_from(place: Place, further: Sequence[Path]) -> UserModule:
    """The same, with the folders given in which imports are looked for that are not beside the file."""
    with _lock:
        graph = Graph(place, further)
        x64 = jax.dtypes.canonicalize_dtype("float64") == "float64"
        places = "\0".join(map(str, further))

        def mark(source: Source) -> str:
            return f"{x64} {places if source.may_import_by_name else ''}"

        texts = graph.digests(mark)
        times = {path: _times_changed(text, further) for path, text in texts.items()}
        digests = graph.digests(lambda source: f"{mark(source)} {times[source.place.path]}")
        for path, node in graph.nodes.items():
            if digests[path] not in _by_digest:
                name = f"_jaxbatch_{_NO_LETTER.sub('_', path.stem)}_{digests[path][:12]}"
                made = UserModule(name, digests[path], node.source, further, x64, times[path])
                _by_digest[digests[path]] = by_name[name] = made
                for file in node.source.files:
                    linecache.checkcache(str(file))
            _latest[texts[path]] = _by_digest[digests[path]]
        for path, node in graph.nodes.items():
            module = _by_digest[digests[path]]
            for asked, found in node.imports.items():
                target = digests.get(found[-1].path)
                module.imports.setdefault(asked, (found, _by_digest[target] if target else None))
        return _by_digest[digests[place.path]]


def _times_changed(text: str, further: Sequence[Path]) -> int:
    """How often something was found changed that a module used at its import, and that no text tells."""
    known = _latest.get(text)
    if known is None or text in _asked:
        return known.times_changed if known else 0
    _asked.add(text)
    try:
        changed = any(stamp(path) != before for path, before in known.opened.items()) or any(
            _now(known, asked, further) != (found and found[1].digest) for asked, found in known.dynamic.items()
        )
    except (OSError, JobError):  # a file is gone, or has a rival
        changed = True
    finally:
        _asked.discard(text)
    return known.times_changed + changed


def _now(known: UserModule, asked: Asked, further: Sequence[Path]) -> str | None:
    """The digest of what a module would be given now that asked for another by name."""
    places = known.find(*asked)
    return load_from(places[-1], further).digest if places and places[-1].kind in ("file", "package") else None


def forget() -> None:
    """Have every module executed anew when it is asked for again: its arrays may be of a JAX that was stopped."""
    with _lock:
        for name in [name for name in sys.modules if name.partition(".")[0] in by_name]:
            del sys.modules[name]
        _by_digest.clear()
        _latest.clear()


def with_plain_names(text: str) -> str:
    """A text with the user's modules called as the user does."""
    return _NAME.sub(r"\1", text)
