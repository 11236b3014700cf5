"""A pydantic error → one sentence about the user's TOML: which line, which key, what to write instead."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from jaxbatch.errors import JobError, nearest
from jaxbatch.job.toml import toml_key, toml_value

_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")

_REMEDIES = {
    "limits.max_failed_rows": 'Write a count, 1, or a share in quotes, "1%".',
    "input.keep": 'Write the names in brackets, keep = ["id"].',
    "input.lookup": 'Give it a table of its own: [input.lookup.market], and below it path = "…".',
    "input.lookup.*.on": 'Write the key in brackets, on = ["id"], or on = { ours = "theirs" }.',
    "input.lookup.*.columns": 'Write the names in brackets, columns = ["spot"]; prefix = "…" renames them.',
}
"""What to write instead, by key; ``*`` stands for a name that the user chooses."""

_T = TypeVar("_T")

_SHOWN = 200
"""Characters of a value that a message shows."""


def line_of(text: str, keys: Sequence[str]) -> int | None:
    """The line, from 1, on which ``keys`` are set in a TOML text; else that of their table; None if neither is there.

    It is found by parsing ever longer beginnings of the text: the first one that has the key ends on its line.
    """
    lines = text.split("\n")
    found = None
    for depth in range(len(keys), 0, -1):
        for number in range(1, len(lines) + 1):
            try:
                value: Any = tomllib.loads("\n".join(lines[:number]))
            except (ValueError, RecursionError):
                continue
            for key in keys[:depth]:
                value = value.get(key) if isinstance(value, dict) else None
            if value is not None:
                found = number
                break
        if found is not None:
            break
    return found


def set_keys(given: str) -> tuple[str, ...]:
    """The keys that an override ``a.b=VALUE`` sets.

    Raises:
        ValueError: it is not TOML.
    """
    keys: list[str] = []
    inner: Any = tomllib.loads(f"{given.partition('=')[0]} = 0")
    while isinstance(inner, dict):
        ((key, inner),) = inner.items()
        keys.append(key)
    return tuple(keys)


@dataclass(frozen=True)
class JobSource:
    """What a user wrote: the text of a job file, its path or name for messages, and the overrides given with --set."""

    origin: str = "job"
    text: str = ""
    overrides: Sequence[str] = ()

    def locate(self, keys: Sequence[str]) -> str:
        """Where ``keys`` are set, ``job.toml, line 7, key 'input.path'``; less of it where the line is not known."""
        for given in reversed(self.overrides):
            if set_keys(given) == tuple(keys)[: len(set_keys(given))]:
                return f"{self.origin}, --set {given}, key '{'.'.join(keys)}'"
        line = line_of(self.text, keys) if self.text else None
        where = f"{self.origin}, line {line}" if line else self.origin
        return f"{where}, key '{'.'.join(keys)}'" if keys else where


def explain(
    error: ValidationError,
    *,
    written: JobSource,
    data: Mapping[str, Any],
    prefix: Sequence[str] = (),
    known: dict[str, Sequence[str]],
) -> JobError:
    """The first of pydantic's complaints as a :class:`JobError`.

    Args:
        error: pydantic's error.
        written: what the user wrote.
        data: what was validated.
        prefix: the table that was validated, where it was not the whole job.
        known: the keys of each table, by the table's dotted name; the one nearest to an unknown key is suggested.
    """
    found = error.errors()
    # An unknown key comes first, since it may be the missing one misspelt.
    first, *others = sorted(found, key=lambda each: each["type"] not in _UNKNOWN)
    keys = [*prefix, *(str(key) for key in first["loc"] if isinstance(key, str))]
    table = ".".join(keys[:-1])
    if first["type"] in _UNKNOWN:
        return JobError(f"{written.locate(keys)}: unknown key.", nearest(keys[-1], list(_entry(known, table) or ())))
    if first["type"] in ("missing", "missing_argument"):
        if ".".join(keys) in known:
            what = f"{written.origin}: the table [{'.'.join(keys)}] is missing."
            return JobError(what, f'Add a line [{".".join(keys)}] and below it path = "…".')
        where = written.locate(keys[:-1]) if len(keys) > 1 else written.origin
        return JobError(f"{where}: the key '{'.'.join(keys)}' is missing.", f"Add {toml_key(keys[-1])} = … there.")
    while keys and not _holds(data, keys):
        keys.pop()  # pydantic appends the branch of a union that it tried, which is no key in the file
    depth = len(keys) - len(prefix)
    branches = [first, *(other for other in others if other["loc"][:depth] == first["loc"][:depth])]
    reason = " or ".join(dict.fromkeys(branch["msg"][0].lower() + branch["msg"][1:] for branch in branches))
    return JobError(
        f"{written.locate(keys)}: {reason}, not {_shown(first['input'])}.",
        _entry(_REMEDIES, ".".join(keys)) or "Correct the value.",
    )


def known_keys(model: type[BaseModel], prefix: str = "") -> dict[str, Sequence[str]]:
    """The keys of each table of a model, by the table's dotted name; ``*`` stands for a name that the user chooses."""
    tables: dict[str, Sequence[str]] = {prefix: tuple(model.model_fields)}
    for name, info in model.model_fields.items():
        for kind, inner in ((info.annotation, name), *((each, f"{name}.*") for each in get_args(info.annotation))):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                tables |= known_keys(kind, f"{prefix}.{inner}" if prefix else inner)
    return tables


def _entry(entries: Mapping[str, _T], key: str) -> _T | None:
    """What is said of a key, by its name or with ``*`` for one name in it."""
    names = key.split(".")
    starred = [".".join([*names[:place], "*", *names[place + 1 :]]) for place in range(len(names))]
    return next((entries[each] for each in (key, *starred) if each in entries), None)


def _holds(data: Any, keys: Sequence[str]) -> bool:
    for key in keys:
        if not (isinstance(data, Mapping) and key in data):
            return False
        data = data[key]
    return True


def _shown(value: Any) -> str:
    text = toml_value(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"
