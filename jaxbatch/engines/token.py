"""The token that we have for a cluster."""

import os
import stat
from pathlib import Path

from jaxbatch.errors import AccessError


def own_token() -> str | None:
    """Our token: RAY_AUTH_TOKEN, or what the file holds that RAY_AUTH_TOKEN_PATH names, ~/.ray/auth_token by default.

    Raises:
        AccessError: others can read that file.
    """
    if given := os.environ.get("RAY_AUTH_TOKEN"):
        return given
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token").expanduser()
    if not file.is_file():
        return None
    found = file.stat()
    if found.st_uid not in (os.getuid(), 0) or stat.S_IMODE(found.st_mode) & 0o077:
        raise AccessError(f"Others can read or change the token in {file}.", f"chmod 600 {file}, or make a new one.")
    return file.read_text(encoding="utf-8").strip() or None
