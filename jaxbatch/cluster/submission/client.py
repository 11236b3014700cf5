"""A cluster's job server: Ray's client of it, with its errors told as ours."""

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

ANSWER_S = 30.0
"""So long a request may take that only asks …"""

UPLOAD_S = 600.0
"""… and one that sends files."""

_REDIRECTS = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Variables that Ray's client follows, whatever address it is given."""


@dataclass(frozen=True)
class JobState:
    """What the cluster says of a job."""

    id: str
    status: str
    """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED, as Ray has them."""
    message: str
    driver_exit_code: int | None
    metadata: Mapping[str, str]
    """What was said of it when it was submitted."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ENDED


class JobServer:
    """The job server at an address such as ``https://head.example:8265``.

    Raises:
        UsageError: the address is of another kind.
        AccessError: it asks for another token, or for none and that is not allowed.
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
        with self._told():
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            self._client = _client(self.address, headers)

    def _check_closed(self) -> None:
        """Refuse a cluster that lets in whoever comes: anyone could run code on it."""
        import requests

        with self._told():
            answer = requests.get(f"{self.address}/api/jobs/", timeout=ANSWER_S, allow_redirects=False)
        if answer.status_code in (401, 403):
            return
        if answer.status_code < 400:
            raise AccessError(
                f"The cluster at {self.address} was not used: it does not require a token.",
                "Start it with RAY_AUTH_MODE=token, or pass --allow-unauthenticated if nobody else can reach it.",
            )
        raise ClusterError(
            f"The cluster at {self.address} does not say whether it requires a token: it answers {answer.status_code}.",
            "Give the URL of its job server, or try again later.",
        )

    def states(self) -> list[JobState]:
        """All jobs that were submitted."""
        with self._told():
            return [_state(each) for each in self._client.list_jobs() if each.submission_id]

    def state(self, identity: str) -> JobState:
        """One job's.

        Raises:
            UsageError: there is no such job.
        """
        with self._told(identity):
            return _state(self._client.get_job_info(identity))

    def log(self, identity: str) -> str:
        """All that the job has printed so far."""
        with self._told(identity):
            return self._client.get_job_logs(identity)

    def submit(
        self, identity: str, entrypoint: str, folder: Path, variables: dict[str, str], metadata: dict[str, str]
    ) -> bool:
        """Start a job in a copy of a folder; False where there is one of that name already."""
        environment = {"working_dir": str(folder), "env_vars": variables}
        with self._told():
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
        with self._told(identity):
            self._client.stop_job(identity)

    @contextmanager
    def _told(self, identity: str = "") -> Iterator[None]:
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
    """Ray's client of just this address, which gives up what is not answered."""
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
    """Its client tells on stderr what it uploads, with loggers that have levels of their own."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == "ray":
            logging.getLogger(name).setLevel(logging.ERROR)


def _state(said: Any) -> JobState:
    status = str(said.status.value)
    return JobState(said.submission_id, status, said.message or "", said.driver_exit_code, said.metadata or {})
