"""How row groups become shards and parts, against the rule restated naively."""

from hypothesis import given, settings
from hypothesis import strategies as st

from jaxbatch.input.shards import RowGroup, Shard, cut, limited

unhurried = settings(deadline=None)
sizes = st.lists(st.integers(0, 12), max_size=12)
limits = st.integers(1, 15)


def row_groups(sizes: list[int]) -> list[RowGroup]:
    """Row groups of these sizes, three to a file."""
    return [RowGroup(number // 3, number % 3, rows) for number, rows in enumerate(sizes)]


def restated(sizes: list[int], rows_per_part: int) -> list[list[int]]:
    """Per shard the rows of its parts: groups joined while they fit, a larger one cut alone."""
    joined: list[int] = []
    for rows in filter(None, sizes):
        if joined and joined[-1] + rows <= rows_per_part:
            joined[-1] += rows
        else:
            joined.append(rows)
    cuts = [[rows_per_part] * (rows // rows_per_part) + [rows % rows_per_part] for rows in joined]
    return [[rows for rows in parts if rows] for parts in cuts] or [[0]]


def rows_read(shards: tuple[Shard, ...]) -> list[tuple[int, int, int]]:
    """Every row as (file, row group, row), in the order in which the parts hold them."""
    read = []
    for shard in shards:
        rows = [(group.file, group.index, row) for group in shard.row_groups for row in range(group.rows)]
        for part in shard.parts:
            read += rows[part.start : part.start + part.rows]
    return read


@unhurried
@given(sizes, limits)
def test_parts_are_the_restated_ones(sizes, rows_per_part):
    shards = cut(row_groups(sizes), rows_per_part)
    assert [[part.rows for part in shard.parts] for shard in shards] == restated(sizes, rows_per_part)


@unhurried
@given(sizes, limits)
def test_every_row_once_and_in_order(sizes, rows_per_part):
    groups = row_groups(sizes)
    shards = cut(groups, rows_per_part)
    assert rows_read(shards) == [(group.file, group.index, row) for group in groups for row in range(group.rows)]
    assert sum(shard.rows for shard in shards) == sum(sizes)


@unhurried
@given(sizes, limits)
def test_indices_are_consecutive(sizes, rows_per_part):
    shards = cut(row_groups(sizes), rows_per_part)
    assert [shard.index for shard in shards] == list(range(len(shards)))
    parts = [part.index for shard in shards for part in shard.parts]
    assert parts == list(range(len(parts)))


@unhurried
@given(sizes, st.integers(0, 100), limits)
def test_limited(sizes, rows, rows_per_part):
    groups = row_groups(sizes)
    everything = [(group.file, group.index, row) for group in groups for row in range(group.rows)]
    assert rows_read(cut(limited(groups, rows), rows_per_part)) == everything[:rows]


def test_an_example_by_hand():
    """Together across files while they fit, a larger one alone, the last part smaller."""
    shards = cut(row_groups([2, 2, 1, 7, 1]), 5)
    assert [[part.rows for part in shard.parts] for shard in shards] == [[5], [5, 2], [1]]
    assert [[part.start for part in shard.parts] for shard in shards] == [[0], [0, 5], [0]]


def test_no_rows_are_one_part_of_no_rows():
    for groups in ([], row_groups([0]), row_groups([0, 0])):
        (shard,) = cut(groups, 5)
        assert [part.rows for part in shard.parts] == [0]
