"""What a run's identity knows of code that no trace shows."""

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from jaxbatch.user_code.graph import Graph
from jaxbatch.user_code.lookup import Place, is_standard
from jaxbatch.user_code.modules import UserModule, by_name, with_plain_names
from jaxbatch.user_code.source import Source, without_layout


def code_identity(modules: Iterable[str]) -> dict[str, str]:
    """For each module the digest of its source and of all that it can reach, as it was imported, comments and layout
    aside; and the versions of the packages that these import. Names are those of ``sys.modules``.
    """
    found: dict[str, str] = {}
    for name in sorted(set(modules)):
        top = name.partition(".")[0]
        owner = by_name.get(top)
        if owner is not None:
            sources = list(_reached(owner))
            found[with_plain_names(top)] = _digest(sources)
            found |= {package: version for source in sources for package, version in _packages(source)}
        else:
            found |= _installed(top)
    return found


def _reached(start: UserModule) -> Iterator[Source]:
    """The sources that a module is made of, those too that it imports by a name which it has put together."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        module = waiting.pop()
        if module.digest not in seen:
            seen.add(module.digest)
            yield module.source
            waiting += [target for _, target in module.imports.values() if target]
            waiting += module.dynamic.values()


def _digest(sources: Iterable[Source]) -> str:
    texts = (f"{path.name} {without_layout(text)}" for source in sources for path, text in source.files.items())
    return hashlib.sha256("\0".join(sorted(texts)).encode()).hexdigest()


def _packages(source: Source) -> Iterator[tuple[str, str]]:
    for name in sorted({name.partition(".")[0] for _, name in source.imports}):
        if not is_standard(name):
            yield from (
                (package, version) for package in _distributions().get(name, ()) for version in _version(package)
            )


def _installed(top: str) -> dict[str, str]:
    """The versions of an installed package; the digest of its source where a version does not tell, as it does not of
    one that is edited where it lies."""
    versions = {package: version for package in _distributions().get(top, ()) for version in _version(package)}
    file = getattr(sys.modules.get(top), "__file__", None)
    if versions or file is None:
        return versions
    path = Path(file)
    place = Place(path.parent, "package") if path.name == "__init__.py" else Place(path, "file")
    return {top: _digest(node.source for node in Graph(place, ()).reached(place.path))}


@cache
def _distributions() -> dict[str, list[str]]:
    return {top: sorted(set(names)) for top, names in importlib.metadata.packages_distributions().items()}


def _version(package: str) -> Iterator[str]:
    """The version of a distribution, unless it is edited where it lies."""
    found = importlib.metadata.distribution(package)
    told = json.loads(found.read_text("direct_url.json") or "{}")
    if not told.get("dir_info", {}).get("editable"):
        yield found.version
