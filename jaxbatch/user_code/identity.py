"""What a run's identity says of code that a trace does not show."""

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from blake3 import blake3

from jaxbatch.user_code.in_memory import digest_in_memory
from jaxbatch.user_code.lookup import is_standard
from jaxbatch.user_code.modules import UserModule, by_name, with_plain_names
from jaxbatch.user_code.source import Source, without_layout


def code_identity(modules: Iterable[str]) -> dict[str, str]:
    """A digest for each of the user's modules among ``modules``, and the versions of the packages that they import.

    The digest covers the source of the module and of all modules that it reaches, as they were imported and without
    comments and layout, and the files that were read meanwhile.

    Args:
        modules: their names in ``sys.modules``.

    Returns:
        By the name that the user gave the module, or by the package's; modules of the same name share an entry.
    """
    found: dict[str, list[str]] = {}
    packages: dict[str, str] = {}
    for name in set(modules):
        top = name.partition(".")[0]
        owner = by_name.get(top)
        if owner is None:
            packages |= _installed(name)
            continue
        reached = list(_reached(owner))
        found.setdefault(with_plain_names(top), []).append(_digest(reached))
        for each in reached:
            for _, asked in each.source.imports:
                packages |= _installed(asked)
    together = {name: digests[0] if len(digests) == 1 else _sha(sorted(digests)) for name, digests in found.items()}
    return {**packages, **together}


def _reached(start: UserModule) -> Iterator[UserModule]:
    """A module and all that it imports, directly or not, also by a name that it computed."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        module = waiting.pop()
        if module.digest not in seen:
            seen.add(module.digest)
            yield module
            waiting += [target for _, target in module.imports.values() if target]
            waiting += [found[1] for found in module.dynamic.values() if found]


def _digest(modules: list[UserModule]) -> str:
    """A digest of modules, the first apart, and of how they import each other: the same wherever they lie."""
    texts = {module.digest: _of_source(module.source) for module in modules}
    digests = []
    for module in modules:
        named = {name: target for (_, name), (_, target) in module.imports.items() if target}
        named |= {name: found[1] for (_, name), found in module.dynamic.items() if found}
        links = sorted(f"{name} {texts[target.digest]}" for name, target in named.items())
        digests.append(_sha([texts[module.digest], *links, *sorted(map(_content, module.opened))]))
    return _sha([digests[0], *sorted(digests[1:])])


def _of_source(source: Source) -> str:
    files = sorted((str(path.relative_to(source.folder)), text) for path, text in source.files.items())
    return _sha([f"{name} {without_layout(text)}" for name, text in files])


def _content(path: str) -> str:
    try:
        return blake3(Path(path).read_bytes()).hexdigest()
    except OSError:
        return "none"


def _sha(texts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _installed(name: str) -> dict[str, str]:
    """For a module that is not the user's, the versions of the packages that have it.

    If no package has it, or the package is installed to be edited in place, a digest of the module as it was imported.
    """
    top = name.partition(".")[0]
    if is_standard(top) or top == __name__.partition(".")[0]:
        return {}
    versions = {package: version for package in _distributions().get(top, ()) for version in _version(package)}
    if versions or top not in sys.modules:
        return versions
    known = {*_distributions(), *sys.stdlib_module_names, __name__.partition(".")[0]}
    return {top: digest_in_memory(name if name in sys.modules else top, known)}


@cache
def _distributions() -> dict[str, list[str]]:
    return {top: sorted(set(names)) for top, names in importlib.metadata.packages_distributions().items()}


def _version(package: str) -> Iterator[str]:
    """The version of a distribution, unless it is installed to be edited in place."""
    found = importlib.metadata.distribution(package)
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    if not origin.get("dir_info", {}).get("editable"):
        yield found.version
