"""Whether a Ray cluster may be used: one that asks for no token lets anyone run code on it."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from jaxbatch.cluster.token import own_token
from jaxbatch.errors import AccessError, ClusterError

_PROBE_S = 30.0
"""Seconds that a cluster has to answer."""

_PROBE = """
import sys
from ray._raylet import GcsClient
GcsClient(address=sys.argv[1]).get_all_node_info(timeout=5)
"""
"""A program that asks a cluster for its nodes, with the token of its environment or none."""


def check_access(address: str) -> None:
    """Refuse a cluster for which the user has no token, or that answers without one.

    Raises:
        AccessError: it is refused, or refuses the token.
        ClusterError: it does not answer.
    """
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        raise _unauthenticated_error(address, "RAY_AUTH_MODE turns tokens off")
    if own_token() is None:
        raise _unauthenticated_error(address, "you have no token for it")
    mode = {"RAY_AUTH_MODE": "token"}
    others = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    with ThreadPoolExecutor() as pool:
        with_token = pool.submit(_accepts, address, os.environ | mode)
        without = pool.submit(_accepts, address, others | {"RAY_AUTH_MODE": "disabled"})
    if without.result():
        raise _unauthenticated_error(address, "it does not require a token")
    if None in (without.result(), with_token.result()):
        raise ClusterError(
            f"The cluster at {address} does not say whether it requires a token.",
            "Give the host and port of its GCS, for example HOST:6379, or try again later.",
        )
    if not with_token.result():
        raise AccessError(
            f"The cluster at {address} rejected your token.",
            "Put the cluster's token in RAY_AUTH_TOKEN or in the file that RAY_AUTH_TOKEN_PATH names.",
        )


def _accepts(address: str, environment: Mapping[str, str]) -> bool | None:
    """Whether a cluster answers a process with this environment; None if it neither answers nor refuses.

    In a process of its own, because Ray keeps the first token that it has read, and goes on asking when it is refused.
    That process has the token, so it imports nothing from the folder in which it starts (``-P``).
    """
    command = [sys.executable, "-P", "-c", _PROBE, address]
    with subprocess.Popen(command, env=dict(environment), stderr=subprocess.PIPE, text=True) as process:
        timer = threading.Timer(_PROBE_S, process.kill)
        timer.start()
        try:
            assert process.stderr is not None
            if any("InvalidAuthToken" in line for line in process.stderr):
                return False
            return True if process.wait() == 0 else None
        finally:
            timer.cancel()
            process.kill()


def _unauthenticated_error(address: str, why: str) -> AccessError:
    return AccessError(
        f"The cluster at {address} was not used: {why}.",
        "Start it with RAY_AUTH_MODE=token and put its token in RAY_AUTH_TOKEN or the file of RAY_AUTH_TOKEN_PATH; "
        "or pass --allow-unauthenticated if nobody else can reach it.",
    )
