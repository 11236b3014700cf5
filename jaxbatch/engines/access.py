"""Whether a Ray cluster may be used: one that asks for no token lets anyone run code on it."""

import os
import stat
import subprocess
import sys
from pathlib import Path

from jaxbatch.errors import AccessError

_PROBE_S = 30.0

_PROBE = """
import sys
from ray._raylet import GcsClient
GcsClient(address=sys.argv[1]).get_all_node_info(timeout=5)
"""
"""Asks a cluster for its nodes, without a token."""


def check_access(address: str) -> None:
    """Refuse a cluster for which we have no token of our own, or that does not ask for one.

    Raises:
        AccessError: with what to do about it.
    """
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        raise _open(address, "RAY_AUTH_MODE turns tokens off")
    if not os.environ.get("RAY_AUTH_TOKEN"):
        file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token").expanduser()
        if not file.is_file():
            raise _open(address, "there is no token for it")
        _check_token_file(file)
    if answers_without_token(address):
        raise _open(address, "it asks for no token")


def answers_without_token(address: str) -> bool:
    """Whether a cluster tells its nodes to one who has no token. In a process of its own, because Ray keeps the first
    token that it has read."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    finished = subprocess.run(
        [sys.executable, "-c", _PROBE, address],
        env=environment | {"RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        timeout=_PROBE_S,
    )
    return finished.returncode == 0


def _check_token_file(file: Path) -> None:
    """Refuse a token that others can read.

    Raises:
        AccessError: they can.
    """
    found = file.stat()
    if found.st_uid not in (os.getuid(), 0) or stat.S_IMODE(found.st_mode) & 0o077:
        raise AccessError(f"Others can read or change the token in {file}.", f"chmod 600 {file}, or make a new one.")


def _open(address: str, why: str) -> AccessError:
    return AccessError(
        f"The cluster at {address} is refused: {why}.",
        "Start it with RAY_AUTH_MODE=token and give its token in RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH; "
        "or --allow-unauthenticated, if nobody else can reach it.",
    )
