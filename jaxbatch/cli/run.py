"""``jaxbatch run``: run a job in this process or on Ray."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from jaxbatch.cli import garbage_collection, signals
from jaxbatch.cli.import_ahead import import_ahead
from jaxbatch.cli.options import debug_option, job_options, json_option, limit_option, load_job, paths_from_option
from jaxbatch.cli.printing import print_json, stdout_to_stderr
from jaxbatch.cli.progress import show_progress
from jaxbatch.cli.run_summary import all_parts_existed, describe, describe_examples, explain_exit
from jaxbatch.errors import ExitCode

if TYPE_CHECKING:
    from jaxbatch.execution.progress import Progress


@click.command("run")
@job_options
@click.option("--engine", type=click.Choice(["local", "ray"]), help="Default: ray if there is an address, else local.")
@click.option("--address", metavar="ADDR", help="Address of a Ray cluster.")
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Number of shards at a time, or of Ray workers."
)
@limit_option
@paths_from_option
@click.option("--allow-unauthenticated", is_flag=True, help="Allow a cluster that requires no token.")
@click.option(
    "--restart", is_flag=True, help="Delete the existing output (mode append: an unfinished run) and start over."
)
@json_option
@click.option("--quiet", is_flag=True, help="Show neither progress nor summary.")
@click.option(
    "--progress",
    "progress_style",
    type=click.Choice(["auto", "json"]),
    default="auto",
    help="json: one object per line on stderr, log records included.",
)
@click.option(
    "--nothing-to-do-exit",
    "nothing_to_do_exit",
    type=click.IntRange(0, 255),
    default=0,
    metavar="N",
    help="Exit code if all parts already exist.  [default: 0]",
)
@debug_option
def command(
    job: str,
    variables: tuple[str, ...],
    overrides: tuple[str, ...],
    engine: str | None,
    address: str | None,
    workers: int | None,
    limit: int | None,
    paths_from: str | None,
    allow_unauthenticated: bool,
    restart: bool,
    as_json: bool,
    quiet: bool,
    progress_style: str,
    nothing_to_do_exit: int,
    debug: bool,
) -> None:
    """Run a job, or finish one that was interrupted. JOB is a TOML file."""
    del debug  # main() looks for it among the arguments
    garbage_collection.pause()
    import_ahead(job)
    loaded = load_job(job, variables, overrides, paths_from)
    from jaxbatch import api

    if engine == "local" and address:
        raise click.UsageError("--engine local takes no --address.")
    with stdout_to_stderr(), show_progress(quiet, progress_style == "json") as show:

        def progress(so_far: "Progress") -> None:
            garbage_collection.resume()
            signals.check()
            show(so_far)

        summary = api.run(
            loaded,
            engine=engine,  # type: ignore[arg-type]
            address=address,
            workers=workers,
            limit=limit,
            restart=restart,
            allow_unauthenticated=allow_unauthenticated,
            progress=progress,
        )
    nothing_to_do = summary.exit_code == ExitCode.DONE and all_parts_existed(summary)
    code = nothing_to_do_exit if nothing_to_do else summary.exit_code
    if as_json:
        print_json({**asdict(summary), "exit_code": code})
    if not quiet:
        click.echo(describe(summary), err=True)
        if summary.failed_rows or summary.flagged_rows:
            click.echo(describe_examples(summary, loaded), err=True)
    reason = explain_exit(summary, job)
    if reason:
        click.echo(reason, err=True)
    sys.stdout.flush()
    sys.exit(code)
