"""Values for each ``{name}`` in a job's strings, and overrides of its keys."""

import re
import tomllib
from datetime import date, time
from difflib import get_close_matches
from typing import Any

from jaxbatch.errors import JobError, UsageError
from jaxbatch.job import validation
from jaxbatch.job.validation import JobSource

_LEADS_ELSEWHERE = re.compile(r"[/\\*?\[\]]|\.\.|^\.?$")
"""No value within a longer string may match: a separator (so no URL), a pattern, ``..``, only ``.``, or nothing."""

_ENDS_A_TEXT = re.compile(r"['\"\\\\\n\r]")
"""No value within ``[input] where`` may match: it could end the text that it stands in."""

_REFERENCE = re.compile(r"\{\{|\}\}|\{(?P<name>[A-Za-z_]\w*)\}|(?P<stray>\{)")


def override(raw: dict[str, Any], given: str) -> None:
    """Set one key of a raw job to the value of ``a.b=VALUE``, making the tables that are missing.

    Raises:
        UsageError: ``given`` is not ``key=VALUE`` in TOML.
    """
    remedy = "Write --set table.key=VALUE with a TOML value, strings in quotes: --set 'output.path=\"results\"'."
    if "=" not in given:
        raise UsageError(f"--set {given}: '=' is missing.", remedy)
    try:
        value: Any = tomllib.loads(given)
        *tables, key = validation.set_keys(given)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--set {given}: {error}.", remedy) from None
    table: Any = raw
    for name in tables:
        value = value[name]
        if not isinstance(table.get(name), dict):
            table[name] = {}
        table = table[name]
    table[key] = value[key]


def fill(raw: dict[str, Any], variables: dict[str, str], written: JobSource) -> tuple[dict[str, Any], set[str]]:
    """A raw job with its variables filled in, and the names of the variables that no string uses.

    The job's own name is the value of ``{name}`` in all other strings.

    Raises:
        JobError: a variable has no value, or one that could lead a path elsewhere; or a string has a lone ``{``.
    """
    unused = set(variables)

    def filled(value: Any, keys: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return {key: filled(item, (*keys, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [filled(item, keys) for item in value]
        if isinstance(value, date | time):
            raise JobError(f"{written.locate(keys)}: a date or time without quotes.", "Write it in quotes.")
        if not isinstance(value, str):
            return value

        def replace(match: re.Match[str]) -> str:
            name = match["name"]
            if match["stray"]:
                raise JobError(f"{written.locate(keys)}: an unmatched '{{'.", "Write '{{' for a literal brace.")
            if name is None:
                return match[0][0]
            if name not in variables:
                instead = "".join(f" instead of --var {near}" for near in get_close_matches(name, unused, n=1))
                raise JobError(
                    f"{written.locate(keys)}: the variable '{{{name}}}' has no value.",
                    f"Give it with --var {name}=…{instead}, or write '{{{{{name}}}}}' for the braces themselves.",
                )
            found = variables[name]
            unused.discard(name)
            if keys == ("input", "where"):
                _check_in_where(name, found, written.locate(keys))
            elif match[0] != value and _LEADS_ELSEWHERE.search(found):
                raise JobError(
                    f"{written.locate(keys)}: '{{{name}}}' could lead elsewhere: its value is '{found}'.",
                    "Inside a longer string a value cannot contain '/', '\\\\' or '..': use it as the whole string.",
                )
            return found

        return _REFERENCE.sub(replace, value)

    name = filled(raw["name"], ("name",))
    unheeded = unused & {"name"}  # in all other strings {name} is the job's own name
    variables = {**variables, "name": str(name)}
    everything = {key: name if key == "name" else filled(value, (key,)) for key, value in raw.items()}
    return everything, unused | unheeded


def _check_in_where(name: str, value: str, where: str) -> None:
    if _ENDS_A_TEXT.search(value):
        raise JobError(
            f"{where}: the value of '{{{name}}}' has a quote, a backslash or a line's end: {value!r}.",
            "Give a value without them, or write the condition out in the job.",
        )


def pattern(written: str, filled: str) -> str:
    """A path as written, with ``*`` for each variable; but as filled in, where all of it is one variable."""
    whole = _REFERENCE.fullmatch(written)
    if whole and whole["name"]:
        return filled
    return _REFERENCE.sub(lambda match: "*" if match["name"] else match[0][0], written)
