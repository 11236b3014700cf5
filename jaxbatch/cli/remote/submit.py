"""``jaxbatch submit``: run a job on a Ray cluster."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click

from jaxbatch.cli import signals
from jaxbatch.cli.options import cluster_options, debug_option, job_options, json_option, limit_option, load_job
from jaxbatch.cli.printing import counted, print_json, stdout_to_stderr
from jaxbatch.cli.progress import show_progress
from jaxbatch.cli.remote.log_lines import parse_log, parse_object, parse_progress
from jaxbatch.errors import Detached, Interrupted


@click.command("submit")
@job_options
@cluster_options(required=False)
@click.option("--wait/--no-wait", default=True, help="Follow the job until it ends (the default), or return at once.")
@click.option(
    "--id", "identity", metavar="ID", help="Id of the submitted job.  [default: derived from the job's content]"
)
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Number of Ray workers.")
@limit_option
@click.option(
    "--restart", is_flag=True, help="Delete the existing output (mode append: an unfinished run) and start over."
)
@click.option("--dry-run", is_flag=True, help="Show what would be sent without sending it.")
@json_option
@click.option("--quiet", is_flag=True, help="Do not show what the job prints.")
@debug_option
def command(
    job: str,
    variables: tuple[str, ...],
    overrides: tuple[str, ...],
    address: str | None,
    allow_unauthenticated: bool,
    wait: bool,
    identity: str | None,
    workers: int | None,
    limit: int | None,
    restart: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Run a job on a Ray cluster. JOB is a TOML file. If it names a Python file, its folder is uploaded too.

    Submitting a job again while it runs joins it; after it has ended, the missing parts run under the next id.
    """
    del debug
    loaded = load_job(job, variables, overrides)
    from jaxbatch.cluster.resources import check_device
    from jaxbatch.cluster.submission.following import start
    from jaxbatch.cluster.submission.request import request

    if address is not None:
        check_device(loaded, on_cluster=True)
    options = []
    for name, value in (("--workers", workers), ("--limit", limit)):
        options += [name, str(value)] if value is not None else []
    options += ["--restart"] if restart else []
    options += ["--allow-unauthenticated"] if allow_unauthenticated else []
    job_request = request(loaded, Path(job), variables, overrides, options, identity)
    if dry_run:
        click.echo(json.dumps(job_request.describe(), indent=2))
        return
    if address is None:
        raise click.UsageError("Missing option '--address'.")
    from jaxbatch.cluster.submission.client import JobServer

    with stdout_to_stderr():
        server = JobServer(address, allow_unauthenticated=allow_unauthenticated)
        name, new = start(server, job_request)
    if not quiet:
        click.echo(
            f"{'Submitted' if new else 'Joined'} {name}, {counted(len(job_request.bundle.files), 'file')}.", err=True
        )
    if not wait:
        if as_json:
            print_json({"id": name, "new": new})
        else:
            click.echo(name)
        return
    sys.exit(follow_to_end(server, name, address, as_json=as_json, quiet=quiet))


def follow_to_end(server: Any, name: str, address: str, *, as_json: bool, quiet: bool) -> int:
    """Follow a job until it ends, showing it on stderr, and return its exit code.

    With ``as_json`` the object that the job printed goes to stdout.

    Raises:
        Detached: a signal ended the waiting; the job runs on.
    """
    from jaxbatch.cluster.submission.following import exit_code, follow

    results: list[dict[str, Any]] = []
    try:
        with stdout_to_stderr(), show_progress(quiet) as show:
            ended = follow(server, name, _line_handler(show, results, quiet))
    except (KeyboardInterrupt, Interrupted) as error:
        signalled = signals.interrupted() or Interrupted()
        raise Detached(name, address, signalled.exit_code) from error
    code = int(exit_code(ended))
    if as_json:
        print_json({**(results[-1] if results else {}), "id": name, "status": ended.status, "exit_code": code})
    if code and not (results and not quiet):
        click.echo(f"Error: {name} {ended.status.lower()}: {ended.message.strip().splitlines()[0]}", err=True)
    return code


def _line_handler(show: Callable[[Any], None], results: list[dict[str, Any]], quiet: bool) -> Callable[[str], None]:
    """A callback for each line that a job prints: shows progress, collects its result, and prints all else."""

    def handle(line: str) -> None:
        signals.check()
        if (progress := parse_progress(line)) is not None:
            show(SimpleNamespace(**progress))
            return
        if (message := parse_log(line)) is not None:
            if message and not quiet:
                click.echo(message, err=True)
            return
        result = parse_object(line)
        if "exit_code" in result and ({"fingerprint", "output"} <= result.keys() or "remedy" in result):
            results.append(result)
        elif not quiet:
            click.echo(line, err=True)

    return handle
