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

from jaxbatch.user_code.graph import Asked, Graph
from jaxbatch.user_code.lookup import Place
from jaxbatch.user_code.opened import Stamp, stamp
from jaxbatch.user_code.source import Source

_NO_LETTER = re.compile(r"\W")
_NAME = re.compile(r"_jaxbatch_(\w+?)_[0-9a-f]{12}\b")

lock = threading.RLock()
"""Held while a module is looked up or executed: who asks meanwhile gets it when it is whole."""

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
    times_changed: int
    """How often files or modules were others that it used, and that its import statements do not tell."""
    imports: dict[Asked, "tuple[tuple[Place, ...], UserModule | None]"] = field(default_factory=dict)
    dynamic: dict[Asked, "UserModule"] = field(default_factory=dict)
    """What it asked for without an import statement that could be read."""
    opened: dict[str, Stamp] = field(default_factory=dict)
    """The files that it read while it was executed."""

    def module(self, below: Sequence[str] = ()) -> ModuleType:
        """It, or one inside it, executed at the first call."""
        with lock:
            return importlib.import_module(".".join([self.name, *below]))


def load(place: Place, folder: Path) -> UserModule:
    """The module of a file or package, in the version that its files are in now; it is not executed yet.

    Args:
        folder: the job's, whose modules come after those beside the importing file.

    Raises:
        OSError: a file cannot be read.
    """
    with lock:
        return load_from(place, (folder,))


def load_from(place: Place, further: Sequence[Path]) -> UserModule:
    """The same, with the folders given in which imports are looked for that are not beside the file."""
    graph = Graph(place, further)
    precision = str(jax.dtypes.canonicalize_dtype("float64"))  # of arrays that are made at import
    texts = {path: graph.digest(path, lambda _: precision) for path in graph.nodes}
    times = {path: _times_changed(text) for path, text in texts.items()}
    digests = {path: graph.digest(path, lambda each: f"{precision} {times[each.place.path]}") for path in graph.nodes}
    for path, node in graph.nodes.items():
        if digests[path] not in _by_digest:
            name = f"_jaxbatch_{_NO_LETTER.sub('_', path.stem)}_{digests[path][:12]}"
            made = UserModule(name, digests[path], node.source, further, times[path])
            _by_digest[digests[path]] = by_name[name] = made
            for file in node.source.files:
                linecache.checkcache(str(file))
        _latest[texts[path]] = _by_digest[digests[path]]
    for path, node in graph.nodes.items():
        module = _by_digest[digests[path]]
        for asked, places in node.imports.items():
            target = digests.get(places[-1].path)
            module.imports.setdefault(asked, (places, _by_digest[target] if target else None))
    return _by_digest[digests[place.path]]


def _times_changed(text: str) -> int:
    """How often something was found changed that a module used at its import, and that no text tells."""
    known = _latest.get(text)
    if known is None or text in _asked:
        return known.times_changed if known else 0
    _asked.add(text)
    try:
        changed = any(stamp(path) != before for path, before in known.opened.items()) or any(
            load_from(target.source.place, known.further).digest != target.digest for target in known.dynamic.values()
        )
    except OSError:  # a file is gone that it imported
        changed = True
    finally:
        _asked.discard(text)
    return known.times_changed + changed


def forget() -> None:
    """Have every module executed anew when it is asked for again: its arrays may be of a JAX that was stopped."""
    with lock:
        for name in [name for name in sys.modules if name.partition(".")[0] in by_name]:
            del sys.modules[name]
        _by_digest.clear()
        _latest.clear()


def with_plain_names(text: str) -> str:
    """A text with the user's modules called as the user does."""
    return _NAME.sub(r"\1", text)
