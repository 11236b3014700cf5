"""Options that several commands share."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from jaxbatch.errors import UsageError

if TYPE_CHECKING:
    from jaxbatch.job.model import Job
    from jaxbatch.storage import StorageOptions


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """JOB with ``--var`` and ``--set``."""
    return click.argument("job", type=click.Path(dir_okay=False))(override_options(command))


def override_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--var`` and ``--set``."""
    for decorate in (
        click.option("--set", "overrides", metavar="A.B=V", multiple=True, help="Override a key with a TOML value."),
        click.option("--var", "variables", metavar="K=V", multiple=True, help="Replace {K} in the job's strings."),
    ):
        command = decorate(command)
    return command


def cluster_options(*, required: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--address`` of a job server, and ``--allow-unauthenticated``."""
    text = "URL of the cluster's job server, http://HOST:8265."
    unauthenticated = click.option(
        "--allow-unauthenticated", is_flag=True, help="Allow a cluster that requires no token."
    )
    address = click.option("--address", metavar="URL", required=required, help=text)
    return lambda command: address(unauthenticated(command))


def load_job(path: str, variables: tuple[str, ...], overrides: tuple[str, ...], paths_from: str | None = None) -> "Job":
    """The job of a command line.

    Raises:
        UsageError: a ``--var`` is not of the form K=V.
        JobError: the job file is wrong.
    """
    values = {}
    for variable in variables:
        name, equals, value = variable.partition("=")
        if not (equals and name.isidentifier()):
            raise UsageError(f"--var {variable}: not of the form K=V.", "For example: --var date=2026-11-22.")
        values[name] = value
    from jaxbatch.job.model import Job

    return Job.load(path, values, overrides, paths_from)


def resolve_output(
    out: str, variables: tuple[str, ...], overrides: tuple[str, ...]
) -> "tuple[str, StorageOptions | None]":
    """The output's path or URL that OUT names, itself or as the job's TOML file, and how to reach it.

    Raises:
        UsageError: OUT is not a job file, and there are variables or overrides.
    """
    if out.endswith(".toml"):
        job = load_job(out, variables, overrides)
        return job.resolve(job.output.path), job.storage
    if variables or overrides:
        raise UsageError(
            "--var and --set apply to a job file, but OUT is an output.", "Give the job's TOML file instead."
        )
    return out, None


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
paths_from_option = click.option(
    "--paths-from", metavar="DIR", help="Folder where relative paths start.  [default: the job file's]"
)
debug_option = click.option("--debug", is_flag=True, help="Show the traceback of an error.")
limit_option = click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="ROWS",
    help="Compute only the first ROWS rows, which makes it another run.",
)
