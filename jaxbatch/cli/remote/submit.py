"""``jaxbatch submit``."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click

from jaxbatch.cli import signals
from jaxbatch.cli.options import cluster_options, debug_option, job_options, json_option, limit_option, load_job
from jaxbatch.cli.output import counted, print_json, stdout_kept_clean
from jaxbatch.cli.progress import as_json, parse_progress, shown, warned
from jaxbatch.errors import Detached, Interrupted


@click.command("submit")
@job_options
@cluster_options(required=False)
@click.option("--wait/--no-wait", default=True, help="Follow the job to its end, which is the default, or leave it.")
@click.option("--id", "identity", metavar="ID", help="Instead of the one that follows from the job's content.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Ray workers.")
@limit_option
@click.option(
    "--restart", is_flag=True, help="Remove what is in the output (mode append: what is unfinished), and start anew."
)
@click.option("--dry-run", is_flag=True, help="Show what would be sent, and send nothing.")
@json_option
@click.option("--quiet", is_flag=True, help="Nothing of what the job prints.")
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
    """Run a job on a Ray cluster. JOB is a TOML file; if it names a file, its folder goes along.

    Submitted again while it runs, the job is joined; after its end, what is missing is done under the next id.
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
    asked = request(loaded, Path(job), variables, overrides, options, identity)
    if dry_run:
        click.echo(json.dumps(asked.describe(), indent=2))
        return
    if address is None:
        raise click.UsageError("Missing option '--address'.")
    from jaxbatch.cluster.submission.client import JobServer

    with stdout_kept_clean():
        server = JobServer(address, allow_unauthenticated=allow_unauthenticated)
        name, new = start(server, asked)
    if not quiet:
        click.echo(f"{'Submitted' if new else 'Joined'} {name}, {counted(len(asked.bundle.files), 'file')}.", err=True)
    if not wait:
        if as_json:
            print_json({"id": name, "new": new})
        else:
            click.echo(name)
        return
    sys.exit(followed(server, name, address, as_json=as_json, quiet=quiet))


def followed(server: Any, name: str, address: str, *, as_json: bool, quiet: bool) -> int:
    """Follow a job to its end on stderr; its exit code, and with ``as_json`` the object that it printed on stdout."""
    from jaxbatch.cluster.submission.following import exit_code, follow

    results: list[dict[str, Any]] = []
    try:
        with stdout_kept_clean(), shown(quiet) as show:
            ended = follow(server, name, _reader(show, results, quiet))
    except (KeyboardInterrupt, Interrupted) as error:
        signalled = signals.interrupted() or Interrupted()
        raise Detached(name, address, signalled.exit_code) from error
    code = int(exit_code(ended))
    if as_json:
        print_json({**(results[-1] if results else {}), "id": name, "status": ended.status, "exit_code": code})
    if code and not (results and not quiet):
        click.echo(f"Error: {name} {ended.status.lower()}: {ended.message.strip().splitlines()[0]}", err=True)
    return code


def _reader(show: Callable[[Any], None], results: list[dict[str, Any]], quiet: bool) -> Callable[[str], None]:
    """What is done with each line that a job prints: progress is shown, its result kept, all else passed on."""

    def read(line: str) -> None:
        signals.check()
        if (progress := parse_progress(line)) is not None:
            show(SimpleNamespace(**progress))
            return
        if (warning := warned(line)) is not None:
            if warning and not quiet:
                click.echo(warning, err=True)
            return
        result = as_json(line)
        if "exit_code" in result and ({"fingerprint", "output"} <= result.keys() or "remedy" in result):
            results.append(result)
        elif not quiet:
            click.echo(line, err=True)

    return read
