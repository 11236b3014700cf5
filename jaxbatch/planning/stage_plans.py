"""The stages of a run: what each reads, and what its parts hold. Each kind of stage is a class with just what it needs.

A run of rows has one stage. So has one of groups, if footers show that each group is whole in its shard; else its first
stage leaves statistics of each shard's groups, and the second merges them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, TypeVar

import pyarrow as pa

from jaxbatch.input.shards import Part, Shard
from jaxbatch.output.catalog import Expected
from jaxbatch.output.paths import DATA, PARTIALS, part_name

Own = TypeVar("Own", bound="StagePlan")


@dataclass(frozen=True)
class StagePlan:
    """One stage: its shards, and where their parts lie in the output."""

    name: ClassVar[str]
    folder: ClassVar[str] = DATA

    shards: tuple[Shard, ...]

    @cached_property
    def parts(self) -> int:
        """How many parts it has."""
        return sum(len(shard.parts) for shard in self.shards)

    @property
    def expected(self) -> list[Expected]:
        """Every part, with the number of its rows where that is known beforehand."""
        return [Expected(part.index, self.rows_of(part)) for shard in self.shards for part in shard.parts]

    def rows_of(self, part: Part) -> int | None:
        """How many rows a part will have; None if that depends on the data."""
        del part
        return None

    def without_shards(self: Own) -> Own:
        """The stage as workers know it, who get shards one at a time."""
        return replace(self, shards=())


@dataclass(frozen=True)
class RowPlan(StagePlan):
    """A row for every row of the input, or for those that the job chooses."""

    name = "rows"

    chooses: bool = False
    """Whether the job chooses among the rows, so that the data decide how many a part has."""

    def rows_of(self, part: Part) -> int | None:
        """See :meth:`StagePlan.rows_of`."""
        return None if self.chooses else part.rows


@dataclass(frozen=True)
class GroupPlan(StagePlan):
    """A row for every group, where each group is whole in its shard."""

    name = "groups"

    partial_schema: pa.Schema
    """Of statistics: the keys of a group, then what the kernel gives for some of its rows."""
    disjoint_key: str | None
    """The column whose ranges in the footers prove that each group is whole in its shard, where one does."""


@dataclass(frozen=True)
class PartialsPlan(StagePlan):
    """The statistics of each shard's groups, for a :class:`MergePlan`."""

    name = "partials"
    folder = PARTIALS

    partial_schema: pa.Schema
    buckets: int
    """How many parts will be made of them."""

    def merge(self) -> "MergePlan":
        """The stage after it, which has a shard with one part for every bucket."""
        shards = tuple(Shard(bucket, (), (Part(bucket, 0, 0),)) for bucket in range(self.buckets))
        return MergePlan(shards, self.partial_schema, self.parts)


@dataclass(frozen=True)
class MergePlan(StagePlan):
    """A row for every group, from the statistics of all shards."""

    name = "merge"

    partial_schema: pa.Schema
    partials: int
    """How many parts of statistics there are."""

    def partial_names(self, fingerprint: str) -> Sequence[str]:
        """The names of the parts of statistics, in the order in which they are merged."""
        return [part_name(index, fingerprint, PARTIALS) for index in range(self.partials)]


GroupedPlan = GroupPlan | PartialsPlan | MergePlan
"""The stages that know of groups."""
