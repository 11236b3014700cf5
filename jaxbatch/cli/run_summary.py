"""The end of a run in words: what was done, examples of rows that failed, and why the exit code is not 0."""

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxbatch.cli.printing import table
from jaxbatch.errors import ExitCode

if TYPE_CHECKING:
    from jaxbatch.execution.progress import Summary
    from jaxbatch.job.model import Job


def all_parts_existed(summary: "Summary") -> bool:
    """Whether every part existed before the run."""
    return summary.parts_done == 0 and summary.parts_skipped == summary.parts


def describe(summary: "Summary") -> str:
    """The summary of a run as a table."""
    if all_parts_existed(summary):
        done = "nothing to do: all parts already exist"
    else:
        done = f"{summary.seconds:.1f} s, {summary.rows_per_second:,.0f} rows/s"
    statuses = ", ".join(f"{count:,} {name}" for name, count in summary.statuses.items()) or "none"
    stages = ", ".join(f"{name} {spent:.2f}" for name, spent in summary.stages.items())
    recorded = "" if all_parts_existed(summary) else f": see {summary.records}/errors.jsonl in the output"
    of_read = f" of {summary.rows_read:,} read" if summary.rows != summary.rows_read else ""
    left_out = f"{summary.files_skipped:,} could not be used and were left out{recorded}"
    rows = [
        ("rows", f"{summary.rows:,}{of_read} ({statuses})"),
        *([("files", left_out)] if summary.files_skipped else []),
        (
            "parts",
            f"{summary.parts_done} written, {summary.parts_skipped} already existed, {summary.parts_failed} failed",
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


def describe_examples(summary: "Summary", job: "Job") -> str:
    """A few rows of each status that is not ok, and a command that shows all of them, as a table."""
    from jaxbatch.output import failed_rows

    found = failed_rows.find_examples(summary.output, summary.records, job.storage)
    column = job.output.columns.get("status", "status")
    query = f"d.dataset('{summary.output}/data').filter(d.field('{column}') != 'ok').to_table()"
    rest = f'python -c "import pyarrow.dataset as d; print({query})"'
    return table([*((each.status, str(each)) for each in found), *([("see all", rest)] if found else [])], indent="")


def explain_exit(summary: "Summary", job: str) -> str:
    """Why the exit code is not 0 and what to do; empty if it is 0."""
    if summary.exit_code == ExitCode.PARTS_FAILED:
        first = summary.failures[0]
        return (
            f"Error: {summary.parts_failed} of {summary.parts} parts failed; {first}\n"
            f"See {summary.output}/{summary.records}/errors.jsonl, then run '{job}' again to finish them."
        )
    if summary.exit_code == ExitCode.TOO_MANY_FAILED_ROWS:
        return (
            f"Error: {summary.failed_rows:,} of {summary.rows:,} rows failed, more than [limits] max_failed_rows.\n"
            "The output is complete; its column 'status' says which rows failed and why."
        )
    return ""
