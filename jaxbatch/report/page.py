"""The page: what there is to say of a run, in words, numbers and pictures."""

import json
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from jaxbatch.columns import Status
from jaxbatch.report import overview, pointwise, regression, taylor
from jaxbatch.report.charts import slug
from jaxbatch.report.source import RunRecords

_KERNELS = {"taylor": taylor.pictures, "regression": regression.pictures}

FAILED = 20
"""So many failed parts and files left out are named."""


def html(source: RunRecords) -> str:
    """The whole page."""
    environment = Environment(loader=PackageLoader("jaxbatch.report", "."), autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"number": number, "slug": slug, "size": _size, "json": json.dumps}
    pictures = _KERNELS.get(source.plan.job["kernel"], pointwise.pictures)
    return environment.get_template("page.html").render(
        source=source,
        job=source.plan.job,
        report=source.report,
        statuses=_statuses(source),
        examples=source.examples,
        errors=list(source.errors)[:FAILED],
        more_errors=max(0, len(source.errors) - FAILED),
        guarantees=_guarantees(source),
        run=overview.pictures(source),
        results=pictures(source) if source.receipts else [],
    )


def number(value: Any) -> str:
    """A value as a cell shows it: six digits of a float, thousands of an integer apart."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _size(count: int) -> str:
    units = ("B", "kB", "MB", "GB", "TB")
    power = min(len(units) - 1, (len(str(count)) - 1) // 3)
    return f"{count / 1000**power:.3g} {units[power]}"


def _statuses(source: RunRecords) -> list[tuple[str, int, float, str]]:
    """Each status with its rows, their share, and whether they count as failed or flagged."""
    total = max(sum(source.statuses.values()), 1)
    known = [(status, source.statuses[status.name]) for status in Status if status.name in source.statuses]
    return [(status.name, rows, rows / total, _kind(status)) for status, rows in known]


def _kind(status: Status) -> str:
    if status.failed:
        return "failed"
    return "flagged" if status.flagged else ""


def _guarantees(source: RunRecords) -> list[str]:
    """What the output promises as it is now."""
    if not source.sealed:
        return [
            "It is not finished: what is there is whole parts only, and running the job again does what is missing.",
        ]
    what = "group of rows" if source.grouped else "row"
    return [
        f"Every {what} of the input has one row here, but for files that are named above as left out.",
        "Every part is whole, and its footer holds a digest of it: “jaxbatch verify” reads all of them again.",
        "The same job, input and versions give the same bytes, on whatever engine, workers and interruptions.",
    ]
