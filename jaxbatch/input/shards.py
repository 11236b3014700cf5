"""How an input is cut: a shard is what one worker reads, a part is one output file."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jaxbatch.input.input_file import InputFile


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A row group: the number of its file in the input, its number in the file, its rows."""

    file: int
    index: int
    rows: int


@dataclass(frozen=True, slots=True)
class Part:
    """One output file: rows ``start`` … ``start + rows`` of its shard."""

    index: int
    start: int
    rows: int


@dataclass(frozen=True, slots=True)
class Shard:
    """Consecutive row groups that one worker reads, and the parts it writes of them."""

    index: int
    row_groups: tuple[RowGroup, ...]
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """The rows of all its parts."""
        return sum(part.rows for part in self.parts)


def cut(row_groups: Iterable[RowGroup], rows_per_part: int) -> tuple[Shard, ...]:
    """Combine consecutive row groups into shards of at most ``rows_per_part`` rows.

    A larger row group is a shard of its own, with several parts. An input without rows has one shard with one part
    of 0 rows.
    """
    shards: list[Shard] = []
    parts = 0
    for groups in _gather(row_groups, rows_per_part):
        rows = sum(group.rows for group in groups)
        starts = range(0, max(rows, 1), rows_per_part)
        cuts = tuple(Part(parts + i, start, min(rows_per_part, rows - start)) for i, start in enumerate(starts))
        shards.append(Shard(len(shards), tuple(groups), cuts))
        parts += len(cuts)
    return tuple(shards)


def row_groups(files: Sequence[InputFile]) -> list[RowGroup]:
    """Every row group of some files, in order."""
    return [
        RowGroup(number, index, rows) for number, file in enumerate(files) for index, rows in enumerate(file.row_groups)
    ]


def limited(row_groups: Sequence[RowGroup], rows: int) -> Iterator[RowGroup]:
    """The row groups that hold the first ``rows`` rows, the last one cut."""
    for group in row_groups:
        if rows <= 0:
            return
        yield RowGroup(group.file, group.index, min(group.rows, rows))
        rows -= group.rows


def _gather(row_groups: Iterable[RowGroup], rows_per_part: int) -> Iterator[list[RowGroup]]:
    gathered: list[RowGroup] = []
    rows, any_rows = 0, False
    for group in row_groups:
        if group.rows == 0:
            continue
        any_rows = True
        if gathered and rows + group.rows > rows_per_part:
            yield gathered
            gathered, rows = [], 0
        gathered.append(group)
        rows += group.rows
    if gathered or not any_rows:
        yield gathered
