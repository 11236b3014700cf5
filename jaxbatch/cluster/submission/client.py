"""The job server of a cluster, called through Ray's client of it, with errors that say what to do."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxbatch.cluster.token import own_token
from jaxbatch.errors import AccessError, ClusterError, UsageError, one_line

ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
"""The states in which a job stays."""

ANSWER_S = 30.0
"""Seconds that a request without files may take."""

UPLOAD_S = 600.0
"""Seconds that a request with files may take."""

_REDIRECTS = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Variables that Ray's client prefers to the address that it is given."""


@dataclass(frozen=True)
class JobState:
    """The state of a job, as its cluster has it."""

    id: str
    status: str
    """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED, as in Ray."""
    message: str
    driver_exit_code: int | None
    metadata: Mapping[str, str]
    """The metadata with which it was submitted."""

    @property
    def ended(self) -> bool:
        """Whether it is in its last state."""
        return self.status in ENDED


class JobServer:
    """The job server at an address such as ``https://head.example:8265``.

    Raises:
        UsageError: the address is no URL of a job server.
        AccessError: it refuses the token; or there is none or it asks for none, and that is not allowed.
        ClusterError: it cannot be reached.
    """

    def __init__(self, address: str, *, allow_unauthenticated: bool = False):
        if not address.startswith(("http://", "https://")):
            raise UsageError(
                f"--address {address} is not the URL of a cluster's job server.",
                "Give its URL, http://HOST:8265 or https://….",
            )
        self.address = address.rstrip("/")
        token = own_token()
        if not allow_unauthenticated:
            if token is None:
                raise AccessError(
                    f"The cluster at {self.address} was not used: you have no token for it.",
                    "Put its token in RAY_AUTH_TOKEN or the file of RAY_AUTH_TOKEN_PATH, "
                    "or pass --allow-unauthenticated.",
                )
            self._check_closed()
        with self._translate_errors():
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            self._client = _client(self.address, headers)

    def _check_closed(self) -> None:
        """Refuse a job server that answers without a token: anyone could run code on its cluster.

        Raises:
            AccessError: it answers.
            ClusterError: it neither answers nor refuses.
        """
        import requests

        with self._translate_errors():
            response = requests.get(f"{self.address}/api/jobs/", timeout=ANSWER_S, allow_redirects=False)
        if response.status_code in (401, 403):
            return
        if response.status_code < 400:
            raise AccessError(
                f"The cluster at {self.address} was not used: it does not require a token.",
                "Start it with RAY_AUTH_MODE=token, or pass --allow-unauthenticated if nobody else can reach it.",
            )
        raise ClusterError(
            f"The cluster at {self.address} does not say whether it requires a token: "
            f"it answers {response.status_code}.",
            "Give the URL of its job server, or try again later.",
        )

    def states(self) -> list[JobState]:
        """The states of all jobs that were submitted."""
        with self._translate_errors():
            return [_state(each) for each in self._client.list_jobs() if each.submission_id]

    def state(self, identity: str) -> JobState:
        """The state of one job.

        Raises:
            UsageError: there is no such job.
        """
        with self._translate_errors(identity):
            return _state(self._client.get_job_info(identity))

    def log(self, identity: str) -> str:
        """All that a job has printed so far."""
        with self._translate_errors(identity):
            return self._client.get_job_logs(identity)

    def submit(
        self, identity: str, entrypoint: str, folder: Path, variables: dict[str, str], metadata: dict[str, str]
    ) -> bool:
        """Start a job in a copy of a folder; False if there is a job of that id already."""
        environment = {"working_dir": str(folder), "env_vars": variables}
        with self._translate_errors():
            try:
                self._client.submit_job(
                    entrypoint=entrypoint, submission_id=identity, runtime_env=environment, metadata=metadata
                )
            except RuntimeError as error:
                if "already exists" not in str(error):
                    raise
                return False
        return True

    def stop(self, identity: str) -> None:
        """Ask a job to end."""
        with self._translate_errors(identity):
            self._client.stop_job(identity)

    @contextmanager
    def _translate_errors(self, identity: str = "") -> Iterator[None]:
        """Turn the errors of Ray's client into those above, or UsageError for an unknown ``identity``."""
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            raise AccessError(
                f"The cluster at {self.address} rejected your token.",
                "Put the cluster's token in RAY_AUTH_TOKEN or in the file that RAY_AUTH_TOKEN_PATH names.",
            ) from error
        except OSError as error:  # as all errors of requests are
            raise ClusterError(
                f"The cluster at {self.address} cannot be reached: {type(error).__name__}.",
                "Check the address, or try again later.",
            ) from error
        except RuntimeError as error:
            if identity and "status code 404" in str(error):
                raise UsageError(
                    f"The cluster at {self.address} has no job '{identity}'.",
                    "jaxbatch submit prints the id of each job.",
                ) from error
            raise ClusterError(f"The cluster at {self.address} failed: {one_line(str(error))[:300]}") from error


def _client(address: str, headers: dict[str, str]) -> Any:
    """Ray's client, of this address whatever the environment says, with a timeout on each request."""
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):
        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            return super()._do_request(method, endpoint, timeout=ANSWER_S if method == "GET" else UPLOAD_S, **options)

    _silence_ray()
    kept = {name: os.environ.pop(name) for name in _REDIRECTS if name in os.environ}
    try:
        return Client(address, headers=headers)
    finally:
        os.environ.update(kept)


def _silence_ray() -> None:
    """Set the level of all of Ray's loggers, each of which has its own: its client logs on stderr what it uploads."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == "ray":
            logging.getLogger(name).setLevel(logging.ERROR)


def _state(info: Any) -> JobState:
    status = str(info.status.value)
    return JobState(info.submission_id, status, info.message or "", info.driver_exit_code, info.metadata or {})
