"""The connection to a Ray cluster: one that runs already, or a private one on this machine."""

import functools
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from typing import Any

import ray
import ray.exceptions
from ray._raylet import Config  # pyright: ignore[reportAttributeAccessIssue]

from jaxbatch.cluster.access import check_access
from jaxbatch.compilation import process_setup
from jaxbatch.errors import AccessError, ClusterError, UsageError

_REACH_S = 10.0
"""Seconds in which a cluster's address must accept a connection."""

_PRIVATE = {
    "RAY_enable_metrics_collection": "0",  # nobody reads them, and the node registers a second sooner without
    "RAY_preload_python_modules": "jaxbatch.execution.shard_run",  # imported while the rest of Ray starts
}
"""Variables that a private Ray and its idle workers inherit."""


class Connection:
    """A connection that is open until :meth:`close`, which leaves no process, folder or variable behind.

    A private Ray accepts only a token that its own processes have, shows no dashboard, and keeps its files in a
    temporary folder of mode 0700.

    Args:
        address: of a cluster, as ``ray.init`` takes it; None for a private Ray.
        allow_unauthenticated: connect to a cluster that asks for no token, too.

    Raises:
        ClusterError: the cluster cannot be reached.
        AccessError: the cluster refuses our token, or asks for none; or others can read ours.
        UsageError: this process is connected to a Ray already.
    """

    def __init__(self, address: str | None, *, allow_unauthenticated: bool = False):
        if ray.is_initialized():
            raise UsageError("This process is already connected to Ray.", "Call ray.shutdown() first.")
        self._before = dict(os.environ)
        self._changed: set[str] = set()
        """The variables that Ray has set in this process, one of which makes ``breakpoint()`` open Ray's debugger."""
        self._folder: str | None = None
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
        try:
            if address:
                _check_reachable(address)
                if not allow_unauthenticated:
                    check_access(address)
                    _use_token()
            else:
                options |= self._private()
            _init(address or "local", options)
            self._changed = process_setup.changed(self._before)
        except BaseException as error:
            self.close()
            if isinstance(error, ClusterError | AccessError) or not isinstance(error, Exception):
                raise
            if isinstance(error, ray.exceptions.AuthenticationError):
                raise AccessError(
                    f"The cluster at {address} denied access: {last_line(error)[:120]}",
                    "Put the cluster's token in RAY_AUTH_TOKEN or in the file that RAY_AUTH_TOKEN_PATH names.",
                ) from error
            where = f"The cluster at {address}" if address else "A private Ray on this machine"
            raise ClusterError(
                f"{where} cannot be reached: {last_line(error)}", "Check the address and the token, or try again later."
            ) from error

    def _private(self) -> dict[str, Any]:
        self._folder = tempfile.mkdtemp(prefix="jaxbatch-")  # in a short path, because of the sockets in it
        os.environ.pop("RAY_AUTH_MODE", None)  # where it is unset, Ray turns tokens on for a cluster that it starts
        os.environ["RAY_AUTH_TOKEN"] = _token()
        os.environ.update(_PRIVATE)
        inside = os.path.join(self._folder, "r")  # Ray opens its own folder to everybody
        return {"include_dashboard": False, "_temp_dir": inside}

    def close(self) -> None:
        """Disconnect; end a private Ray and remove its folder."""
        ray.shutdown()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        rays = {name for name in process_setup.changed(self._before) if name.startswith("RAY_")}
        process_setup.restore(self._changed | rays, self._before)


@functools.cache
def _token() -> str:
    """The token of this process's private Rays: one for all, because Ray keeps the first that it has read."""
    return secrets.token_hex(32)


def _use_token() -> None:
    """Have Ray show its token to a cluster that runs already, which it does by itself only to those that it starts."""
    os.environ["RAY_AUTH_MODE"] = "token"
    Config.initialize("")  # Ray has read the variable before, when it was imported


def _init(address: str, options: dict[str, Any]) -> None:
    """Connect, and keep this process's own handler of SIGTERM: Ray's ends the process at once."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    ray.init(address=address, **options)
    if in_main_thread:
        signal.signal(signal.SIGTERM, handler)


def _check_reachable(address: str) -> None:
    """Try to connect before Ray does: where nothing listens, Ray ends the whole process.

    Raises:
        ClusterError: nothing accepts a connection.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not (colon and port.isdigit()):
        return  # "auto" and the like: Ray finds the address itself
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
    except OSError as error:
        raise ClusterError(
            f"The cluster at {address} cannot be reached: {error.strerror or error}.",
            "Check the address, or try again later.",
        ) from error


def last_line(error: Exception) -> str:
    """The last line of one of Ray's long messages, which names the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
