"""What changed between the identities of two runs, in words."""

import json
import re
from collections.abc import Mapping
from typing import Any

_LONG = 60
"""Characters of a value that are shown."""

_WORDS = {
    "code.program": "the computation changed: the function, what it calls, or a value in it",
}
"""What a digest stands for, which is said in its place."""

_UNTRACED = "code.untraced."
"""The prefix of the names of modules that are not traced, but known by a digest of their code."""

_NAMES = {
    "code.cpus": "the number of CPUs that XLA counts (NPROC)",
    "code.xla_flags": "XLA_FLAGS",
    "code.tpu_flags": "LIBTPU_INIT_ARGS",
    "code.instructions": "the processor",
    "code.linear_algebra": "the library for linear algebra (OPENBLAS_CORETYPE, OPENBLAS_NUM_THREADS)",
}
"""Settings of the process that runs jaxbatch, by the names that people know."""

_LOOKUPS = "input.lookup."
"""The prefix of the names of lookups."""

_LAST = ("compute", "code")
"""Sections that often differ because another one does, and so are shown last."""


def differences(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What changed between two identities, in words, a phrase for each.

    Args:
        before, after: JSON values of two identities, or of the same section of both.
        prefix: the name of that section, with a dot at its end.
    """
    changed = []
    for key in sorted(
        {*before, *after}, key=lambda key: (_LAST.index(key) if key in _LAST else -1, key != "limit", key)
    ):
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            changed += differences(old, new, f"{prefix}{key}.")
        elif isinstance(old, list) and isinstance(new, list) and key == "files":
            changed += _file_differences(old, new, _files_of(prefix))
        elif old != new and f"{prefix}{key}" in _WORDS:
            changed.append(_WORDS[f"{prefix}{key}"])
        elif old != new and prefix == _UNTRACED and _is_digest(old or new):
            changed.append(f"the code of {key}, or of something it imports, changed")
        elif old != new:
            name = _NAMES.get(f"{prefix}{key}", f"{prefix}{key}")
            changed.append(f"{name} was {_short(old, new)}, is {_short(new, old)}")
    return changed


def _files_of(section: str) -> str:
    """What the files in a section are called: the input's, or those of a lookup."""
    name = section.removeprefix(_LOOKUPS).removesuffix(".")
    return f"lookup '{name}': file" if section.startswith(_LOOKUPS) else "input file"


def _file_differences(old: list[Any], new: list[Any], called: str) -> list[str]:
    before, after = ({file["name"]: file for file in files} for files in (old, new))
    gone = [f"{called} {name} is missing" for name in before if name not in after]
    added = [f"{called} {name} is new" for name in after if name not in before]
    changed = [f"{called} {name} changed" for name in before if name in after and before[name] != after[name]]
    return [*gone, *added, *changed][:5] or ([f"the order of the {called}s changed"] if old != new else [])


def _short(value: Any, other: Any) -> str:
    """A value in at most 60 characters; of a long list or a text of many words, only what is not in the other value."""
    text = json.dumps(value)
    if len(text) > _LONG and isinstance(value, list) and isinstance(other, list):
        text = "… " + json.dumps([each for each in value if each not in other])[1:-1] + " …"
    elif len(text) > _LONG and isinstance(value, str) and isinstance(other, str):
        own = [word for word in value.split() if word not in other.split()]
        text = f"{json.dumps(' '.join(['…', *own, '…']), ensure_ascii=False)}"
    return text if len(text) <= _LONG else text[: _LONG - 3] + "…"


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None
