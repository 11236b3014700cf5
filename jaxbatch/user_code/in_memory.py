"""A digest of modules as they are in this process, whatever their files have become since they were imported."""

import hashlib
import sys
from collections.abc import Collection, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

_PLAIN = (type(None), bool, int, float, complex, str, bytes)


def digest_in_memory(name: str, known: Collection[str]) -> str:
    """The digest of a module and of those that it uses, except those of the top-level modules ``known``.

    Names, the code of functions and classes, and plain values count. Comments, layout and docstrings do not, nor does
    what other objects hold.
    """
    found: dict[str, str] = {}
    waiting = [name]
    while waiting:
        each = waiting.pop()
        module = sys.modules.get(each)
        if module is None or each in found or each.partition(".")[0] in known:
            continue
        found[each] = ""
        lines = []
        for key, value in sorted(vars(module).items()):
            if key.startswith("__") and key.endswith("__"):
                continue
            used = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(used, str) and used != each:
                waiting.append(used)
                lines.append(f"{key} of {used}")
            else:
                lines.append(f"{key} {' '.join(_value(value))}")
        found[each] = hashlib.sha256("\0".join(lines).encode(errors="surrogateescape")).hexdigest()
    texts = (f"{each} {text}" for each, text in sorted(found.items()))
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _value(value: Any) -> Iterator[str]:
    if isinstance(value, _PLAIN):
        yield repr(value)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _value(each)
    elif isinstance(value, set | frozenset):
        yield from sorted(" ".join(_value(each)) for each in value)
    elif isinstance(value, dict):
        yield from sorted(f"{key!r} {' '.join(_value(each))}" for key, each in value.items())
    elif isinstance(value, type):
        for key, each in sorted(vars(value).items()):
            if not key.startswith("__") or callable(each):
                yield f"{key} {' '.join(_value(each))}"
    elif isinstance(value, FunctionType):
        yield from _code(value.__code__)
        yield from _value(value.__defaults__)
        yield from _value(value.__kwdefaults__)
    elif isinstance(value, staticmethod | classmethod):
        yield from _value(value.__func__)
    elif isinstance(value, property):
        yield from _value((value.fget, value.fset))
    else:
        yield type(value).__qualname__


def _code(code: CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield from (*code.co_names, *code.co_varnames)
    for constant in code.co_consts[1 if code.co_consts and isinstance(code.co_consts[0], str) else 0 :]:
        yield from _code(constant) if isinstance(constant, CodeType) else _value(constant)
