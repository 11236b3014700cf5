"""The expression in ``[input] where``: parsed, checked against the input's columns, and evaluated on tables."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from jaxbatch.errors import InputError
from jaxbatch.input.input_file import InputFile
from jaxbatch.input.shards import RowGroup


class WhereError(InputError):
    """The expression is not one, or does not fit the input."""


class Condition:
    """Which rows are computed."""

    columns: tuple[str, ...] = ()

    def checked(self, schema: pa.Schema) -> "Condition":
        """The condition for an input's columns."""
        del schema
        return self

    def mask(self, table: pa.Table) -> np.ndarray:
        """``[rows]`` booleans: where it is true."""
        return np.ones(table.num_rows, bool)

    def remaining(self, files: Sequence[InputFile], row_groups: Iterable[RowGroup]) -> Iterator[RowGroup]:
        """The row groups in which it may be true."""
        del files
        yield from row_groups


def parse(text: str) -> Condition:
    """Parse an expression."""
    raise WhereError(f"'{text}' cannot be parsed.")
