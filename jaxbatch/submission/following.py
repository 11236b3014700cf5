"""A job on a cluster from its start to its end, whatever the connection does meanwhile."""

import logging
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from jaxbatch.errors import ClusterError, ExitCode
from jaxbatch.submission.client import JobServer, JobState
from jaxbatch.submission.request import Request

POLL_S = 1.0

PATIENCE_S = 300.0
"""So long a cluster that answers no more is asked again."""

_LOG = logging.getLogger(__name__)


def start(server: JobServer, request: Request) -> tuple[str, bool]:
    """The id under which a request runs, and whether that is new: one that is at work already is joined.

    One that has ended is done again under the next id, which finishes what is missing.

    Raises:
        ClusterError, AccessError: the cluster fails or refuses.
    """
    while True:
        attempts = _attempts(server, request.id)
        if attempts and not attempts[max(attempts)].ended:
            return attempts[max(attempts)].id, False
        number = max(attempts, default=0) + 1
        identity = request.id if number == 1 else f"{request.id}-{number}"
        with tempfile.TemporaryDirectory(prefix="jaxbatch-") as folder:
            request.bundle.copy_to(Path(folder))
            if server.submit(identity, request.entrypoint, Path(folder), request.variables):
                return identity, True


def _attempts(server: JobServer, identity: str) -> dict[int, JobState]:
    pattern = re.compile(re.escape(identity) + r"(?:-(\d+))?")
    found = {state.id: state for state in server.states()}
    matched = {name: pattern.fullmatch(name) for name in found}
    return {int(match[1] or 1): found[name] for name, match in matched.items() if match}


def follow(server: JobServer, identity: str, show: Callable[[str], None]) -> JobState:
    """Wait until a job has ended; ``show`` is given each line that it prints.

    Raises:
        ClusterError: the cluster has not answered for long. The job may go on all the same.
    """
    shown, answered = 0, time.monotonic()
    while True:
        try:
            state = server.state(identity)
            lines = server.log(identity).splitlines(keepends=True)
            answered = time.monotonic()
        except ClusterError as error:
            if time.monotonic() - answered > PATIENCE_S:
                raise
            _LOG.warning("%s", error.what)
            time.sleep(10 * POLL_S)
            continue
        whole = lines if state.ended or not lines or lines[-1].endswith("\n") else lines[:-1]
        for line in whole[shown:]:
            show(line.rstrip("\n"))
        shown = max(shown, len(whole))
        if state.ended:
            return state
        time.sleep(POLL_S)


def exit_code(state: JobState) -> ExitCode:
    """The exit code of ``run`` for a job that has ended; 0 for one that has not."""
    if state.status == "SUCCEEDED" or not state.ended:
        return ExitCode.DONE
    if state.status == "STOPPED":
        return ExitCode.TERMINATED
    if state.driver_exit_code is None:
        return ExitCode.UNREACHABLE  # its process did not end: the cluster has lost it
    known = {int(code) for code in ExitCode} - {0}
    return ExitCode(state.driver_exit_code) if state.driver_exit_code in known else ExitCode.PARTS_FAILED
