"""The connection to a Ray cluster: one that is there already, or a private one on this machine."""

import functools
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
from ray._raylet import Config  # pyright: ignore[reportAttributeAccessIssue]

from jaxbatch.cluster.access import check_access
from jaxbatch.compilation import process_setup
from jaxbatch.errors import AccessError, ClusterError, UsageError

_KNOCK_S = 10.0

_PRIVATE = {
    "RAY_enable_metrics_collection": "0",  # which nobody reads: the node is there a second sooner without
    "RAY_preload_python_modules": "jaxbatch.execution.worker",  # imported while the rest of Ray starts
}
"""What a private Ray and the workers that it has ready take from this process's environment."""


class Connection:
    """Connected from its making to :meth:`close`, which leaves no process, folder or variable behind.

    A private Ray listens with a token that only its own processes have, shows no dashboard, and keeps its files
    in a temporary folder of mode 0700.

    Raises:
        ClusterError: the cluster cannot be reached.
        AccessError: it wants another token, or none, or others can read ours.
        UsageError: this process is connected to one already.
    """

    def __init__(self, address: str | None, *, allow_unauthenticated: bool = False):
        if ray.is_initialized():
            raise UsageError("This process is already connected to Ray.", "Call ray.shutdown() first.")
        self._before = dict(os.environ)
        self._changed: set[str] = set()
        """The variables that Ray has set in this process: one of them has its own debugger answer ``breakpoint()``."""
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
        self._folder = tempfile.mkdtemp(prefix="jaxbatch-")  # a short path, because sockets lie in it
        # Ray turns token auth on for a new local cluster where the mode is unset.
        os.environ.pop("RAY_AUTH_MODE", None)
        os.environ["RAY_AUTH_TOKEN"] = _token()
        os.environ.update(_PRIVATE)
        return {"include_dashboard": False, "_temp_dir": self._folder}

    def close(self) -> None:
        """Disconnect; a private Ray ends, and its folder goes."""
        if self._folder:
            _end_monitors(self._folder)
        ray.shutdown()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        rays = {name for name in process_setup.changed(self._before) if name.startswith("RAY_")}
        process_setup.restore(self._changed | rays, self._before)


def _end_monitors(folder: str) -> None:
    """End those of a private Ray's processes that scale it and forward its logs, neither of which it needs: asked to
    end, the first takes more than the second for which Ray waits."""
    for listed in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that has just ended
            for child in listed.read_text().split():
                _end_monitor(child, folder)


def _end_monitor(child: str, folder: str) -> None:
    with suppress(OSError):  # it has just ended
        called = Path(f"/proc/{child}/cmdline").read_bytes().decode(errors="replace")
        if "monitor.py" in called and folder in called:
            os.kill(int(child), signal.SIGKILL)


@functools.cache
def _token() -> str:
    """The token of this process's private Rays: one for all, because Ray keeps the first it has read."""
    return secrets.token_hex(32)


def _use_token() -> None:
    """Have Ray show its token to a cluster that is there already: by itself it does so to those that it starts."""
    os.environ["RAY_AUTH_MODE"] = "token"
    Config.initialize("")  # which has read the environment before


def _init(address: str, options: dict[str, Any]) -> None:
    """Connect, and keep this process's own answer to SIGTERM: Ray's ends the process at once."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    answer = signal.getsignal(signal.SIGTERM)
    ray.init(address=address, **options)
    if in_main_thread:
        signal.signal(signal.SIGTERM, answer)


def _check_reachable(address: str) -> None:
    """Try the cluster's door first: where nobody answers, Ray ends the whole process.

    Raises:
        ClusterError: nobody answers.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not (colon and port.isdigit()):
        return  # "auto" and the like: Ray finds the address itself
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()
    except OSError as error:
        raise ClusterError(
            f"The cluster at {address} cannot be reached: {error.strerror or error}.",
            "Check the address, or try again later.",
        ) from error


def last_line(error: Exception) -> str:
    """The last line of one of Ray's long messages, which is the one that tells."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
