"""What is asked of a cluster: one command line, the files it needs, and an id that follows from both."""

import hashlib
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxbatch.cluster.submission.bundle import Bundle, bundle
from jaxbatch.errors import UsageError
from jaxbatch.job.model import Job
from jaxbatch.storage.urls import is_remote

STOP_S = "30"
"""So long a job that is cancelled may take to end in order."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_OTHER = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Request:
    """A command line of ``jaxbatch run``, the files that go along, and the environment."""

    id: str
    content: str
    """A digest of all of it."""
    command: tuple[str, ...]
    bundle: Bundle
    variables: dict[str, str]

    @property
    def entrypoint(self) -> str:
        """The command for a shell. Ray tells the job its cluster's address."""
        return f'{shlex.join(self.command)} --address "$RAY_ADDRESS"'

    def describe(self) -> dict[str, object]:
        """All of it as JSON values."""
        return {
            "id": self.id,
            "entrypoint": self.entrypoint,
            "folder": str(self.bundle.folder),
            "files": list(self.bundle.files),
            "bytes": self.bundle.size,
            "env_vars": self.variables,
        }


def request(
    job: Job,
    file: Path,
    variables: Sequence[str],
    overrides: Sequence[str],
    options: Iterable[str],
    identity: str | None = None,
) -> Request:
    """What a job's run on a cluster takes.

    Args:
        job: the job as it was loaded from ``file`` with the ``variables`` and ``overrides`` of the command line.
        file: its TOML file.
        variables: ``K=V``.
        overrides: ``a.b=VALUE``.
        options: more options for ``run``.
        identity: an id to take instead of the one that follows from the content.

    Raises:
        JobError: too much would go along.
        UsageError: the ``identity`` cannot be one.
    """
    file = file.resolve()
    found = bundle(job, file)
    command = ["jaxbatch", "run", file.name]
    for variable in variables:
        command += ["--var", variable]
    for override in overrides:
        command += ["--set", override]
    if not all(map(is_remote, (*job.input.paths, job.output.path))):
        command += ["--paths-from", str(found.folder)]
    command += [*options, "--json", "--progress", "json"]
    content = hashlib.sha256("\0".join([found.digest, *command]).encode()).hexdigest()
    name = _OTHER.sub("-", str(job.name)).strip("-.") or "job"
    environment = {"RAY_JOB_STOP_WAIT_TIME_S": STOP_S}
    if identity is not None and not _ID.fullmatch(identity):
        raise UsageError(f"--id {identity} is not a valid id.", "Use at most 100 letters, digits, '-', '_' and '.'.")
    return Request(identity or f"{name}-{content[:8]}", content, tuple(command), found, environment)
