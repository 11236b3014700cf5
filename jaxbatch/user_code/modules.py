"""The user's modules in this process: each is executed once for its text and the texts of all that it imports.

``sys.modules`` has a module under a name of jaxbatch's own, so that a process can have two files of the same name, and
one file in two versions. Names in its import statements are looked up by :mod:`jaxbatch.user_code.graph`, not in
``sys.modules``, where a module of that name may be somebody else's.
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

from jaxbatch.errors import JobError
from jaxbatch.user_code.graph import Graph, ImportRequest, neighbour
from jaxbatch.user_code.lookup import Place, installed_folders
from jaxbatch.user_code.opened import Stamp, stamp
from jaxbatch.user_code.source import Source

_NO_LETTER = re.compile(r"\W")
_NAME = re.compile(r"_jaxbatch_(\w+?)_[0-9a-f]{12}\b")

_lock = threading.RLock()
"""Held while it is decided which version of a module is needed; not while one is executed."""

by_name: dict[str, "UserModule"] = {}
"""Every module, by its name in ``sys.modules``."""
_by_digest: dict[str, "UserModule"] = {}
_latest: dict[str, "UserModule"] = {}
"""The latest version of each module, by the digest of its text and the texts of all that it imports."""
_checking: set[str] = set()
"""Those that are being checked for changes which no text shows, by the same digest: modules may import each other."""


@dataclass(eq=False)
class UserModule:
    """A file or package of the user's, in one version of it and of all that it imports."""

    name: str
    """Its name in ``sys.modules``."""
    digest: str
    source: Source
    further: Sequence[Path]
    """Folders to look in for its imports, after those beside it."""
    x64: bool
    """Whether it is imported with 64-bit types: arrays that it makes at import keep their type."""
    times_changed: int
    """How often something was found changed that it uses and its import statements do not show: a file that it reads,
    or a module that it imports by a computed name."""
    first: tuple[Path, ...] = ()
    """Folders that it has put at the beginning of ``sys.path``."""
    last: tuple[Path, ...] = ()
    """Folders that it has added to ``sys.path`` elsewhere."""
    imports: dict[ImportRequest, "tuple[tuple[Place, ...], UserModule | None]"] = field(default_factory=dict)
    dynamic: dict[ImportRequest, "tuple[tuple[Place, ...], UserModule] | None"] = field(default_factory=dict)
    """The modules that it imported by a name that no import statement shows; None if the name was not a user's."""
    opened: dict[str, Stamp] = field(default_factory=dict)
    """The files that it read while it was executed, as they were then."""

    def module(self, below: Sequence[str] = ()) -> ModuleType:
        """This module, or one inside it. The first call executes it; other threads wait for that."""
        return importlib.import_module(".".join([self.name, *below]))

    def take_folders(self, other: "UserModule") -> None:
        """Look in the folders, too, that an imported module has added to ``sys.path``."""
        self.first = tuple(dict.fromkeys([*self.first, *other.first]))
        self.last = tuple(dict.fromkeys([*self.last, *other.last]))

    def find(self, asker: Path, name: str) -> tuple[Place, ...]:
        """What a name means now in a file of this module that lies in the folder ``asker``; see :func:`neighbour`."""
        folders = [*self.first, *self.source.folders_beside(asker, self.further), *self.last]
        return neighbour(name, folders, asker=str(self.source.place.path), package=self.source.package)


def load(place: Place, folder: Path) -> UserModule:
    """The module of a file or package as its files are now, not executed yet.

    Args:
        place: of the file or package.
        folder: the job's; modules in it come after those beside the importing file.

    Raises:
        OSError: a file cannot be read.
    """
    return load_from(place, folders_of(folder))


def folders_of(job: Path) -> tuple[Path, ...]:
    """The job's folder, and those below it that are in ``sys.path``, such as ``src``: their modules are the user's."""
    below = (Path(path) for path in sys.path if path and path not in installed_folders())
    return (job, *(path for path in below if job in path.parents))


def load_from(place: Place, further: Sequence[Path]) -> UserModule:
    """The same as :func:`load`, given the folders to look in for imports that are not beside the file."""
    import jax

    with _lock:
        graph = Graph(place, further)
        x64 = jax.dtypes.canonicalize_dtype("float64") == "float64"
        places = "\0".join(map(str, further))

        def salt(source: Source) -> str:
            return f"{x64} {places if source.may_import_by_name else ''}"

        texts = graph.digests(salt)
        times = {path: _times_changed(text, further) for path, text in texts.items()}
        digests = graph.digests(lambda source: f"{salt(source)} {times[source.place.path]}")
        for path, node in graph.nodes.items():
            if digests[path] not in _by_digest:
                name = f"_jaxbatch_{_NO_LETTER.sub('_', path.stem)}_{digests[path][:12]}"
                module = UserModule(name, digests[path], node.source, further, x64, times[path])
                _by_digest[digests[path]] = by_name[name] = module
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
    """The :attr:`~UserModule.times_changed` of a module, one more if something has changed since it was imported.

    Args:
        text: the digest of its text and the texts of all that it imports.
    """
    known = _latest.get(text)
    if known is None or text in _checking:
        return known.times_changed if known else 0
    _checking.add(text)
    try:
        changed = any(stamp(path) != before for path, before in known.opened.items()) or any(
            _current_digest(known, name, further) != (found and found[1].digest)
            for name, found in known.dynamic.items()
        )
    except (OSError, JobError):  # a file is gone, or an installed package has its name now
        changed = True
    finally:
        _checking.discard(text)
    return known.times_changed + changed


def _current_digest(known: UserModule, asked: ImportRequest, further: Sequence[Path]) -> str | None:
    """The digest of the module that a name would give now that ``known`` has imported by name before."""
    places = known.find(*asked)
    return load_from(places[-1], further).digest if places and places[-1].kind in ("file", "package") else None


def forget() -> None:
    """Have every module executed again when it is next loaded: its arrays may belong to a JAX that was stopped."""
    with _lock:
        for name in [name for name in sys.modules if name.partition(".")[0] in by_name]:
            del sys.modules[name]
        _by_digest.clear()
        _latest.clear()


def with_plain_names(text: str) -> str:
    """A text in which the user's modules have the names that the user gave them, not those in ``sys.modules``."""
    return _NAME.sub(r"\1", text)
