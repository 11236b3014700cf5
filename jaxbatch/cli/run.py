"""``jaxbatch run``."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from jaxbatch.cli import garbage, signals
from jaxbatch.cli.options import debug_option, job_options, json_option, limit_option, load_job, paths_from_option
from jaxbatch.cli.output import print_json, stdout_kept_clean, table
from jaxbatch.cli.progress import shown
from jaxbatch.errors import ExitCode

if TYPE_CHECKING:
    from jaxbatch.execution.progress import Progress
    from jaxbatch.execution.summary import Summary
    from jaxbatch.job.model import Job


@click.command("run")
@job_options
@click.option("--engine", type=click.Choice(["local", "ray"]), help="Default: ray where there is an address.")
@click.option("--address", metavar="ADDR", help="Of a Ray cluster.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Shards in flight, or Ray workers.")
@limit_option
@paths_from_option
@click.option("--allow-unauthenticated", is_flag=True, help="Use a cluster that asks for no token.")
@click.option(
    "--restart", is_flag=True, help="Remove what is in the output (mode append: what is unfinished), and start anew."
)
@json_option
@click.option("--quiet", is_flag=True, help="No progress and no summary.")
@click.option(
    "--progress",
    "style",
    type=click.Choice(["auto", "json"]),
    default="auto",
    help="json: one object a line on stderr, the log too.",
)
@click.option(
    "--nothing-to-do-exit",
    "nothing",
    type=click.IntRange(0, 255),
    default=0,
    metavar="N",
    help="The exit code where all parts were there already.  [default: 0]",
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
    style: str,
    nothing: int,
    debug: bool,
) -> None:
    """Run a job, or finish one that was interrupted. JOB is a TOML file."""
    del debug  # read where errors are caught
    garbage.pause()
    loaded = load_job(job, variables, overrides, paths_from)
    from jaxbatch import api

    if engine == "local" and address:
        raise click.UsageError("--engine local takes no --address.")
    with stdout_kept_clean(), shown(quiet, style == "json") as show:

        def progress(so_far: "Progress") -> None:
            garbage.resume()
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
    code = nothing if summary.exit_code == ExitCode.DONE and nothing_done(summary) else summary.exit_code
    if as_json:
        print_json({**asdict(summary), "exit_code": code})
    if not quiet:
        click.echo(describe(summary), err=True)
        if summary.failed_rows or summary.flagged_rows:
            click.echo(for_example(summary, loaded), err=True)
    reason = why(summary, job)
    if reason:
        click.echo(reason, err=True)
    sys.stdout.flush()
    sys.exit(code)


def nothing_done(summary: "Summary") -> bool:
    """Whether all was there already."""
    return summary.parts_done == 0 and summary.parts_skipped == summary.parts


def describe(summary: "Summary") -> str:
    """The closing summary for a person."""
    if nothing_done(summary):
        done = "nothing to do: all parts were there"
    else:
        done = f"{summary.seconds:.1f} s, {summary.rows_per_second:,.0f} rows/s"
    statuses = ", ".join(f"{count:,} {name}" for name, count in summary.statuses.items()) or "none"
    stages = ", ".join(f"{name} {spent:.2f}" for name, spent in summary.stages.items())
    recorded = "" if nothing_done(summary) else f": see {summary.records}/errors.jsonl there"
    left_out = f"{summary.files_skipped:,} could not be used and were left out{recorded}"
    rows = [
        ("rows", f"{summary.rows:,} ({statuses})"),
        *([("files", left_out)] if summary.files_skipped else []),
        (
            "parts",
            f"{summary.parts_done} written, {summary.parts_skipped} already there, {summary.parts_failed} failed",
        ),
        ("time", done),
        *([("stages", f"{stages} (seconds, summed over shards)")] if stages else []),
        *([("slowest", _slowest(summary.slowest))] if summary.slowest and summary.parts_done > 1 else []),
        ("output", f"{summary.output}/data"),
        *([("next", f"jaxbatch report {shlex.quote(summary.output)}")] if summary.parts_done else []),
    ]
    return table(rows, indent="")


def _slowest(shard: "Mapping[str, float]") -> str:
    return f"the shard of part {shard['part']:,}: {shard['seconds']:.2f} s of one thread"


def for_example(summary: "Summary", job: "Job") -> str:
    """A few rows of each status that is not ok, and how to see the others."""
    from jaxbatch.output import failed_rows

    found = failed_rows.of(summary.output, summary.records, job.storage)
    column = job.output.columns.get("status", "status")
    query = f"d.dataset('{summary.output}/data').filter(d.field('{column}') != 'ok').to_table()"
    rest = f'python -c "import pyarrow.dataset as d; print({query})"'
    return table([*((each.status, str(each)) for each in found), *([("see all", rest)] if found else [])], indent="")


def why(summary: "Summary", job: str) -> str:
    """Why the exit code is not zero, and what to do."""
    if summary.exit_code == ExitCode.PARTS_FAILED:
        first = summary.failures[0]
        return (
            f"Error: {summary.parts_failed} of {summary.parts} parts failed; {first}\n"
            f"See {summary.output}/{summary.records}/errors.jsonl, then run '{job}' again to finish them."
        )
    if summary.exit_code == ExitCode.TOO_MANY_FAILED_ROWS:
        return (
            f"Error: {summary.failed_rows:,} of {summary.rows:,} rows failed, more than [limits] max_failed_rows.\n"
            "The output is complete: its column 'status' says which rows and why."
        )
    return ""
