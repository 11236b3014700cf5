"""The token that we have for a cluster."""

import os
import stat
from pathlib import Path

from jaxbatch.errors import AccessError


def own_token() -> str | None:
    """Our token: RAY_AUTH_TOKEN, or what the file holds that RAY_AUTH_TOKEN_PATH names, ~/.ray/auth_token by default.

    Raises:
        AccessError: others can read that file, or it is no token.
    """
    if given := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return _checked(given, "RAY_AUTH_TOKEN")
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token").expanduser()
    if not file.is_file():
        return None
    found = file.stat()
    if found.st_uid not in (os.getuid(), 0) or stat.S_IMODE(found.st_mode) & 0o077:
        raise AccessError(
            f"Others can read or change the token in {file}.", f"Run chmod 600 {file}, or create a new token."
        )
    found_token = file.read_text(encoding="utf-8", errors="replace").strip()
    return _checked(found_token, str(file)) if found_token else None


def _checked(token: str, where: str) -> str:
    """A token that can stand in a line of HTTP; what it is instead is not shown."""
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise AccessError(
            f"{where} does not hold a token: a token has no spaces or control characters.", "Create a new one."
        )
    return token
