"""The token with which this user reaches a cluster."""

import os
import stat
from pathlib import Path

from jaxbatch.errors import AccessError


def own_token() -> str | None:
    """The user's token: RAY_AUTH_TOKEN, or the content of the file RAY_AUTH_TOKEN_PATH (by default ~/.ray/auth_token).

    None if there is neither.

    Raises:
        AccessError: others can read or change that file, or it holds no token.
    """
    if given := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return _checked(given, "RAY_AUTH_TOKEN")
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token").expanduser()
    if not file.is_file():
        return None
    status = file.stat()
    if status.st_uid not in (os.getuid(), 0) or stat.S_IMODE(status.st_mode) & 0o077:
        raise AccessError(
            f"Others can read or change the token in {file}.", f"Run chmod 600 {file}, or create a new token."
        )
    token = file.read_text(encoding="utf-8", errors="replace").strip()
    return _checked(token, str(file)) if token else None


def _checked(token: str, where: str) -> str:
    """The token, if it can stand in an HTTP header. The error does not show it."""
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise AccessError(
            f"{where} does not hold a token: a token has no spaces or control characters.", "Create a new one."
        )
    return token
