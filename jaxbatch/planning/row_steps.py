"""What the job says of its rows, checked against the input: which are computed, and what is joined to them."""

from collections.abc import Sequence

from jaxbatch.input.file_checks import InputTable
from jaxbatch.input.lookup import LookupTable
from jaxbatch.input.row_steps import RowSteps
from jaxbatch.input.where import Condition, WhereError, condition_of
from jaxbatch.job.model import Job
from jaxbatch.planning.lookups import open_lookups


def row_steps(job: Job, opened: InputTable) -> RowSteps:
    """The steps that the job asks for.

    Raises:
        JobError, InputError: one of them does not fit the input.
    """
    lookups = open_lookups(job, opened)
    return RowSteps(where=_condition(job, opened, lookups), lookups=lookups)


def _condition(job: Job, opened: InputTable, lookups: Sequence[LookupTable]) -> Condition | None:
    condition = condition_of(job)
    if condition is not None:
        for name in condition.columns:
            if any(name in lookup.columns for lookup in lookups):
                raise job.error(
                    ("input", "where"),
                    f"'{name}' is a lookup's column, which where does not see: rows are chosen before they are joined.",
                    "Choose by the files' columns.",
                )
        try:
            condition.check(opened.schema)
        except WhereError as error:
            raise job.error(("input", "where"), error.what, error.remedy) from None
    return condition
