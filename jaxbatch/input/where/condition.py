"""A parsed ``where``: which columns it needs, which rows pass it, and which files and row groups cannot hold any."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa

from jaxbatch.input.input_file import InputFile
from jaxbatch.input.shards import RowGroup
from jaxbatch.input.where.errors import WhereError
from jaxbatch.input.where.evaluation import Evaluation
from jaxbatch.input.where.kinds import KindCheck
from jaxbatch.input.where.nodes import Name, Node
from jaxbatch.input.where.outcomes import Outcomes, possible
from jaxbatch.input.where.ranges import of_key, of_row_groups
from jaxbatch.input.where.syntax import parse_expression
from jaxbatch.job.model import Job

_THREADS = 8


@dataclass(frozen=True)
class Condition:
    """Which rows of the input are computed: those for which an expression is true, neither false nor null."""

    text: str
    """As the job has it."""
    node: Node

    def __str__(self) -> str:
        return str(self.node)

    @property
    def columns(self) -> tuple[str, ...]:
        """The files' columns and Hive keys that it needs, in order of appearance."""
        return tuple(dict.fromkeys(_names(self.node)))

    def check(self, schema: pa.Schema) -> None:
        """Check that it is a condition on an input's columns.

        Raises:
            WhereError: it is not: it names a column that is not there, or compares what cannot be compared.
        """
        KindCheck(self.text, schema).condition(self.node)

    def mask(self, table: pa.Table) -> np.ndarray:
        """``[rows]`` booleans: the rows of a table that pass."""
        return np.broadcast_to(Evaluation(table).truth(self.node).true, (table.num_rows,))

    def excludes(self, keys: Mapping[str, str | int | None]) -> bool:
        """Whether no row of a file with these Hive keys can pass, whatever its columns hold."""
        ranges = {name: of_key(value) for name, value in keys.items()}
        return bool(keys) and not possible(self.node, ranges) & Outcomes.TRUE

    def remaining(self, files: Sequence[InputFile], row_groups: Iterable[RowGroup]) -> Iterator[RowGroup]:
        """The row groups in which a row may pass, as keys and footers show.

        Raises:
            InputError: a file has changed since its footer was read, or cannot be read.
        """
        by_file = [(number, list(groups)) for number, groups in groupby(row_groups, key=lambda group: group.file)]
        with ThreadPoolExecutor(_THREADS) as pool:
            for kept in pool.map(lambda each: self._remaining(files[each[0]], each[1]), by_file):
                yield from kept

    def _remaining(self, file: InputFile, groups: Sequence[RowGroup]) -> list[RowGroup]:
        keys = {name: of_key(value) for name, value in file.keys}
        needed = [name for name in self.columns if name not in keys]
        found = of_row_groups(file, needed) if needed else [{}] * len(file.row_groups)
        return [group for group in groups if possible(self.node, keys | found[group.index]) & Outcomes.TRUE]


def parse(text: str) -> Condition:
    """The condition that a text is.

    Raises:
        WhereError: it is none.
    """
    return Condition(text, parse_expression(text))


def condition_of(job: Job) -> Condition | None:
    """The condition in a job's ``where``; None if it has none.

    Raises:
        JobError: it is no condition.
    """
    if job.input.where is None:
        return None
    try:
        return parse(job.input.where)
    except WhereError as error:
        raise job.error(("input", "where"), error.what, error.remedy) from None


def _names(node: Node) -> Iterator[str]:
    if isinstance(node, Name):
        yield node.column
    for part in vars(node).values():
        for each in part if isinstance(part, tuple) else (part,):
            if hasattr(each, "at"):
                yield from _names(each)
