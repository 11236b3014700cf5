"""Options that several commands share."""

from collections.abc import Callable
from typing import Any

import click

from jaxbatch.errors import UsageError
from jaxbatch.job.model import Job
from jaxbatch.storage import StorageOptions


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """JOB with ``--var`` and ``--set``."""
    return click.argument("job", type=click.Path(dir_okay=False))(filling_options(command))


def filling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--var`` and ``--set``."""
    for decorate in (
        click.option("--set", "overrides", metavar="A.B=V", multiple=True, help="Override a key with a TOML value."),
        click.option("--var", "variables", metavar="K=V", multiple=True, help="Fill {K} in the job's strings."),
    ):
        command = decorate(command)
    return command


def cluster_options(*, required: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--address`` of a job server and ``--allow-unauthenticated``."""
    text = "Of the cluster's job server, http://HOST:8265."
    unauthenticated = click.option(
        "--allow-unauthenticated", is_flag=True, help="Use a cluster that asks for no token."
    )
    address = click.option("--address", metavar="URL", required=required, help=text)
    return lambda command: address(unauthenticated(command))


def load_job(path: str, variables: tuple[str, ...], overrides: tuple[str, ...], paths_from: str | None = None) -> Job:
    """The job of a command line."""
    values = {}
    for variable in variables:
        name, equals, value = variable.partition("=")
        if not (equals and name.isidentifier()):
            raise UsageError(f"--var {variable}: not of the form K=V.", "For example --var date=2026-11-22.")
        values[name] = value
    return Job.load(path, values, overrides, paths_from)


def output_of(out: str, variables: tuple[str, ...], overrides: tuple[str, ...]) -> tuple[str, StorageOptions | None]:
    """The output that OUT names, by itself or by its job's file, and how it is reached."""
    if out.endswith(".toml"):
        job = load_job(out, variables, overrides)
        return job.resolve(job.output.path), job.storage
    if variables or overrides:
        raise UsageError("--var and --set fill in a job's file.", "Give that instead of its output.")
    return out, None


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
paths_from_option = click.option(
    "--paths-from", metavar="DIR", help="Where relative paths of input and output start, if not at the job."
)
debug_option = click.option("--debug", is_flag=True, help="Show the traceback of an error.")
limit_option = click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="ROWS",
    help="Only the first so many rows; an identity of its own.",
)
