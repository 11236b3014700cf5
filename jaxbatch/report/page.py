"""The page itself: collects what there is to say of a run, and fills page.html with it."""

import json
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from jaxbatch.columns import Status
from jaxbatch.report import overview, pointwise, regression, taylor
from jaxbatch.report.charts import slug
from jaxbatch.report.run_records import RunRecords

_KERNELS = {"taylor": taylor.pictures, "regression": regression.pictures}

MAX_ERRORS = 20
"""The number of failed parts and left-out files that are named."""


def html(records: RunRecords) -> str:
    """The whole page as HTML."""
    environment = Environment(loader=PackageLoader("jaxbatch.report", "."), autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"number": number, "slug": slug, "size": _size, "json": json.dumps}
    pictures = _KERNELS.get(records.plan.job["kernel"], pointwise.pictures)
    return environment.get_template("page.html").render(
        records=records,
        job=records.plan.job,
        report=records.report,
        statuses=_statuses(records),
        examples=records.examples,
        errors=list(records.errors)[:MAX_ERRORS],
        more_errors=max(0, len(records.errors) - MAX_ERRORS),
        guarantees=_guarantees(records),
        run=overview.pictures(records),
        results=pictures(records) if records.receipts else [],
    )


def number(value: Any) -> str:
    """A value as a cell shows it: a float with six digits, an integer with its thousands separated."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _size(count: int) -> str:
    units = ("B", "kB", "MB", "GB", "TB")
    power = min(len(units) - 1, (len(str(count)) - 1) // 3)
    return f"{count / 1000**power:.3g} {units[power]}"


def _statuses(records: RunRecords) -> list[tuple[str, int, float, str]]:
    """Each status with its rows, their share of all rows, and "failed", "flagged" or ""."""
    total = max(sum(records.statuses.values()), 1)
    known = [(status, records.statuses[status.name]) for status in Status if status.name in records.statuses]
    return [(status.name, rows, rows / total, _kind(status)) for status, rows in known]


def _kind(status: Status) -> str:
    if status.failed:
        return "failed"
    return "flagged" if status.flagged else ""


def _guarantees(records: RunRecords) -> list[str]:
    """What a reader can rely on, given the state of the output."""
    if not records.sealed:
        return [
            "It is not finished. Every part so far is complete, and running the job again writes the missing parts.",
        ]
    what = "group of rows" if records.grouped else "row"
    of = "those that the job chooses" if records.plan.rows_are_chosen else "the input"
    return [
        f"Every {what} of {of} has one row here, except for files named above as left out.",
        "Every part is complete and has a digest in its footer; “jaxbatch verify” reads all of them and checks it.",
        "The same job, input and versions give the same bytes, whatever the engine, workers and interruptions.",
    ]
