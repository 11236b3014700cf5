"""What a cluster is asked to run: one command line, the files it needs, and an id that follows from both."""

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
"""Seconds that a cancelled job may take to end in order."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_OTHER = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Request:
    """A command line of ``jaxbatch run``, the files that are sent along, and the environment."""

    id: str
    content: str
    """The SHA-256 of command and files, in hexadecimal."""
    command: tuple[str, ...]
    bundle: Bundle
    variables: dict[str, str]

    @property
    def entrypoint(self) -> str:
        """The command as a shell reads it. Ray sets RAY_ADDRESS in the job to its cluster's address."""
        return f'{shlex.join(self.command)} --address "$RAY_ADDRESS"'

    def describe(self) -> dict[str, object]:
        """The request as JSON values, for --dry-run."""
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
    """The request for a job's run on a cluster.

    Args:
        job: the job as it was loaded from ``file`` with the ``variables`` and ``overrides`` of the command line.
        file: its TOML file.
        variables: of the command line, as ``K=V``.
        overrides: of the command line, as ``a.b=VALUE``.
        options: more options for ``run``.
        identity: an id to take instead of the one that follows from the content.

    Raises:
        JobError: the files are more than may be sent.
        UsageError: ``identity`` has other characters than an id may have.
    """
    file = file.resolve()
    files = bundle(job, file)
    command = ["jaxbatch", "run", file.name]
    for variable in variables:
        command += ["--var", variable]
    for override in overrides:
        command += ["--set", override]
    lookups = (lookup.path for lookup in job.input.lookup.values())
    if not all(map(is_remote, (*job.input.paths, *lookups, job.output.path))):
        command += ["--paths-from", str(files.folder)]
    command += [*options, "--json", "--progress", "json"]
    content = hashlib.sha256("\0".join([files.digest, *command]).encode()).hexdigest()
    name = _OTHER.sub("-", str(job.name)).strip("-.") or "job"
    environment = {"RAY_JOB_STOP_WAIT_TIME_S": STOP_S}
    if identity is not None and not _ID.fullmatch(identity):
        raise UsageError(f"--id {identity} is not a valid id.", "Use at most 100 letters, digits, '-', '_' and '.'.")
    return Request(identity or f"{name}-{content[:8]}", content, tuple(command), files, environment)
