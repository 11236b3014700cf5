"""Names and values as TOML writes them, for the hints that tell a user what to put into a job."""

import json
import re
from typing import Any


def toml_key(name: str) -> str:
    """A name as a key, in quotes where TOML needs them."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_value(name)


def toml_value(value: Any) -> str:
    """A text, a boolean or a number as TOML writes it; anything else in Python's words."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else str(value)
