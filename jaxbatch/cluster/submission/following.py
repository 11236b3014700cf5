"""A job on a cluster from its submission to its end, though the connection may break meanwhile."""

import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from jaxbatch.cluster.submission.client import JobServer, JobState
from jaxbatch.cluster.submission.request import Request
from jaxbatch.errors import ClusterError, ExitCode, UsageError

POLL_S = 1.0
"""Seconds between two looks at a job."""

UNREACHABLE_TIMEOUT_S = 300.0
"""Seconds for which a cluster that answers no more is asked again."""

BASE, CONTENT = "jaxbatch", "content"
"""Keys of a job's metadata: the id that was requested, and the digest of the request."""

_LOG_BYTES = 1 << 17
"""Bytes of a log for which the job is looked at half as often: each look fetches the whole log."""

_LOST = (-9, 137)
"""Exit codes of a process that was killed: it lost its node, or used too much memory."""

_NOT_FOUND = (126, 127)
"""Exit codes of a shell that finds no ``jaxbatch`` to run."""

_LOG = logging.getLogger(__name__)


def start(server: JobServer, request: Request) -> tuple[str, bool]:
    """Submit a request, or join the job that does it already; returns the job's id, and whether it is new.

    If an earlier job of the request has ended, a new one under the next id finishes what is missing.

    Raises:
        ClusterError, AccessError: the cluster fails or refuses.
        UsageError: another job of that id is at work.
    """
    number = 1
    while True:
        states = server.states()
        earlier = [state for state in states if state.metadata.get(BASE) == request.id]
        for state in earlier:
            if state.ended:
                continue
            if state.metadata.get(CONTENT) == request.content:
                return state.id, False
            raise UsageError(
                f"A different job with the id {state.id} is running.", "Choose another --id, or wait until it ends."
            )
        taken = {state.id for state in states}
        while (identity := request.id if number == 1 else f"{request.id}-{number}") in taken:
            number += 1
        metadata = {BASE: request.id, CONTENT: request.content}
        with tempfile.TemporaryDirectory(prefix="jaxbatch-") as folder:
            request.bundle.copy_to(Path(folder))
            if server.submit(identity, request.entrypoint, Path(folder), request.variables, metadata):
                return identity, True
        time.sleep(POLL_S)  # another submitter was faster: join that job


def follow(server: JobServer, identity: str, show: Callable[[str], None]) -> JobState:
    """Wait until a job has ended; ``show`` is called with each line that it prints.

    Raises:
        ClusterError: the cluster has not answered for PATIENCE_S, or knows the job no more. The job may go on.
    """
    state: JobState | None = None
    shown, answered = 0, time.monotonic()
    while True:
        try:
            state = server.state(identity)
            answered = time.monotonic()
            text = server.log(identity)
        except UsageError as error:
            if state is None:
                raise
            raise ClusterError(
                f"{error.what} It had the job before.", "Submit it again: finished parts are kept."
            ) from error
        except ClusterError as error:
            if state is not None and state.ended:
                _LOG.warning("The log of %s cannot be read: %s", identity, error.what)
                return state
            if time.monotonic() - answered > UNREACHABLE_TIMEOUT_S:
                raise
            _LOG.warning("%s", error.what)
            time.sleep(10 * POLL_S)
            continue
        lines = text.splitlines(keepends=True)
        whole = lines if state.ended or not lines or lines[-1].endswith("\n") else lines[:-1]
        for line in whole[shown:]:
            show(line.rstrip("\n"))
        shown = max(shown, len(whole))
        if state.ended:
            return state
        time.sleep(min(POLL_S * (1 + len(text) / _LOG_BYTES), 30 * POLL_S))


def wait(server: JobServer, identity: str) -> JobState:
    """Wait until a job has ended, without its log."""
    while not (state := server.state(identity)).ended:
        time.sleep(POLL_S)
    return state


def exit_code(state: JobState) -> ExitCode:
    """The exit code of ``jaxbatch run`` in a job that has ended; 0 for one that has not."""
    if state.status == "SUCCEEDED" or not state.ended:
        return ExitCode.DONE
    if state.status == "STOPPED":
        return ExitCode.TERMINATED
    if state.driver_exit_code is None or state.driver_exit_code in _LOST:
        return ExitCode.UNREACHABLE
    if state.driver_exit_code in _NOT_FOUND:
        return ExitCode.REFUSED
    codes = {int(code) for code in ExitCode} - {0}
    return ExitCode(state.driver_exit_code) if state.driver_exit_code in codes else ExitCode.PARTS_FAILED
