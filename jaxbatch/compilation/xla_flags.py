"""The flags of XLA's compiler, read as XLA reads them: from an environment variable, or a file that it names."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from jaxbatch.errors import JobError

VARIABLE, TPU_VARIABLE = "XLA_FLAGS", "LIBTPU_INIT_ARGS"

_FLAG = re.compile(
    r"""\s*(?P<name>-[-\w]*)(?:=(?P<quote>["'])(?P<quoted>(?:\\.|(?!(?P=quote)).)*)|(?P<plain>\S*))""", re.S
)
_FILE = "flagfile"


def text() -> str:
    """The flags that XLA_FLAGS has, or the file that it names.

    Raises:
        JobError: there is no such file; XLA would end the process.
    """
    given = os.environ.get(VARIABLE, "")
    if not given.strip() or given.lstrip().startswith("-"):
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise JobError(
            f"XLA_FLAGS is '{given[:200]}', which is neither a flag nor a readable file.",
            "Flags begin with '--': correct the variable or unset it.",
        ) from error


def tpu_text() -> str:
    """The flags of the TPU's own compiler, from LIBTPU_INIT_ARGS."""
    return os.environ.get(TPU_VARIABLE, "")


def parsed(flags: str) -> dict[str, str]:
    """The values of flags by their names. As XLA does, it stops at the first word that is no flag, and the last of
    several flags of one name counts."""
    found: dict[str, str] = {}
    for name, value in _each(flags):
        if name == _FILE:
            for path in value.split(","):
                found |= parsed(_lines(path))
        else:
            found[name] = value
    return found


def is_true(value: str) -> bool:
    """Whether a flag with this value is on."""
    return value.lower() in ("", "true", "1")


def _each(flags: str) -> Iterator[tuple[str, str]]:
    place = 0
    while flag := _FLAG.match(flags, place):
        place = flag.end() + (flag["quote"] is not None)
        if flag["quote"] is not None:
            yield flag["name"].lstrip("-"), re.sub(r"\\(.)", r"\1", flag["quoted"])
        else:
            name, _, value = f"{flag['name']}{flag['plain']}".partition("=")
            yield name.lstrip("-"), value


def _lines(path: str) -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):  # XLA itself reports it
        return ""
    return " ".join(line for line in lines if not line.lstrip().startswith("#"))
