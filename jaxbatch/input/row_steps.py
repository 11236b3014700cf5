"""What becomes of rows between their file and the kernel: some are chosen, then columns are joined to them.

The order is fixed: ``where``, ``sample``, lookups, random keys. Each step is a value in the plan; a worker opens them
all once (:meth:`RowSteps.open`), and applies them to each table that it has read.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from jaxbatch.input.arrow_arrays import one_chunk, taken, to_arrow
from jaxbatch.input.input_file import InputFile
from jaxbatch.input.lookup import LookupTable
from jaxbatch.input.row_identity import draws
from jaxbatch.input.row_identity.identity import RowIdentity
from jaxbatch.input.shards import RowGroup
from jaxbatch.input.where import Condition


@dataclass(frozen=True)
class RowSteps:
    """The steps of a plan, in their order. Without any, every row that is read is computed as it is."""

    where: Condition | None = None
    """Which rows are computed: those for which it is true."""
    lookups: tuple[LookupTable, ...] = ()
    """The tables whose columns are joined to the rows."""
    sample: float | None = None
    """The probability with which each of them is; None for all."""
    seed: int = 0
    """Of the sample and of random keys."""
    named_by: RowIdentity | None = None
    """What names a row, where there is a sample or a random key."""
    random_keys: bool = False
    """Whether a random key is joined to each row."""

    @property
    def choose(self) -> bool:
        """Whether rows may be left out, so that nobody knows beforehand how many a part has."""
        return self.where is not None or self.sample is not None

    @property
    def numbered(self) -> bool:
        """Whether rows must come with their numbers in the input."""
        return self.named_by is not None and not self.named_by.columns

    @property
    def reads(self) -> tuple[str, ...]:
        """The files' columns that the steps need."""
        by_where = self.where.columns if self.where else ()
        by_name = self.named_by.columns if self.named_by else ()
        return (*by_where, *by_name, *(name for lookup in self.lookups for name in lookup.reads))

    @property
    def added(self) -> Sequence[pa.Field]:
        """The columns that are joined to the rows."""
        return [field for lookup in self.lookups for field in lookup.joined]

    @property
    def added_bytes(self) -> int:
        """Bytes that are joined to one row at most."""
        return sum(lookup.row_bytes for lookup in self.lookups)

    def lookup_of(self, column: str) -> LookupTable | None:
        """The lookup that a column of the rows comes from; None if it is the files'."""
        return next((lookup for lookup in self.lookups if column in lookup.columns), None)

    def using(self, columns: Container[str]) -> "RowSteps":
        """The steps with those joined columns alone that are among the ``columns``."""
        return replace(self, lookups=tuple(lookup.using(columns) for lookup in self.lookups))

    def with_added(self, files: pa.Schema) -> pa.Schema:
        """The schema of the rows with what is joined to them; the argument is that of the files."""
        return pa.schema([*files, *self.added])

    def remaining(self, files: Sequence[InputFile], row_groups: Iterable[RowGroup]) -> Iterator[RowGroup]:
        """The row groups that may hold a row to be computed, as footers show."""
        yield from row_groups if self.where is None else self.where.remaining(files, row_groups)

    def identity(self) -> dict[str, Any]:
        """The part of a run's identity that follows from the steps, as JSON values; empty without any."""
        where = {"where": str(self.where)} if self.where else {}
        sample = {} if self.sample is None else {"sample": self.sample}
        key_by = {"key_by": list(self.named_by.columns)} if self.named_by and self.named_by.columns else {}
        lookups = {lookup.name: lookup.identity() for lookup in self.lookups}
        return {**where, **sample, **key_by, **({"lookup": lookups} if lookups else {})}

    def open(self) -> "OpenSteps":
        """The steps, ready to be applied, in the process that computes.

        Raises:
            JobError: a lookup's table is not as it was when the run was planned.
        """
        return OpenSteps(self)


class OpenSteps:
    """The steps in a process that computes: what they need is loaded once, and shared by its threads."""

    def __init__(self, steps: RowSteps):
        self.steps = steps
        self._lookups = [lookup.open() for lookup in steps.lookups if lookup.columns]

    @property
    def choose(self) -> bool:
        """See :attr:`RowSteps.choose`."""
        return self.steps.choose

    def chosen(self, table: pa.Table) -> pa.Table:
        """The rows of a table that are to be computed, in its order."""
        if self.steps.where is not None:
            table = _passing(table, self.steps.where.mask(table))
        if self.steps.sample is not None:
            assert self.steps.named_by is not None
            table = _passing(table, draws.sampled(table, self.steps.named_by, self.steps.seed, self.steps.sample))
        return table

    def joined(self, table: pa.Table) -> pa.Table:
        """A table with the columns that are joined to its rows."""
        for lookup in self._lookups:
            table = lookup.join(table)
        if self.steps.random_keys:
            assert self.steps.named_by is not None
            table = draws.with_keys(table, self.steps.named_by, self.steps.seed)
        return table


def _passing(table: pa.Table, passing: np.ndarray) -> pa.Table:
    if passing.all():
        return table
    places = to_arrow(np.flatnonzero(passing))
    return pa.Table.from_arrays([taken(one_chunk(column), places) for column in table.columns], schema=table.schema)
