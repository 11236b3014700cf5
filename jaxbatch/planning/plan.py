"""What a run is, as a value that can be sent: all that a worker needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from jaxbatch import __version__
from jaxbatch.compilation.devices import KEYS
from jaxbatch.input.file_checks import BadFile
from jaxbatch.input.input_file import InputFile
from jaxbatch.input.row_steps import RowSteps
from jaxbatch.input.shards import Part, Shard
from jaxbatch.job.model import Job
from jaxbatch.kernels.bind_context import BindContext
from jaxbatch.output.catalog import Expected
from jaxbatch.output.paths import DATA, PARTIALS, SINGLE_RUN, RunPaths, part_name

Stage = Literal["rows", "groups", "partials", "merge"]
"""What a plan's parts hold.

- ``rows``: a row for every row of the input.
- ``groups``: a row for every group of rows, where each group is whole in its shard.
- ``partials``, then ``merge``: in two stages, the statistics of each shard's groups, and the results of merging them.
"""


@dataclass(frozen=True)
class Plan:
    """What a run is: everything that a worker needs, and what people are told of it."""

    job: Job
    source: BindContext
    """What the kernel is bound to, with the answers about the data that it asked for."""
    files: tuple[InputFile, ...]
    skipped: tuple[BadFile, ...]
    shards: tuple[Shard, ...]
    read: pa.Schema
    """The files' columns that are read."""
    keep: tuple[str, ...]
    """The input's columns that are carried through; of groups, their keys by the kernel's names."""
    names: Mapping[str, str]
    """The files' column for each of the kernel's inputs, constants aside."""
    written: Mapping[str, str]
    """The name in the output for each of the kernel's results and the status."""
    arguments: Mapping[str, str]
    """What each argument and input takes, in words."""
    limits: Mapping[str, tuple[float, float]]
    """For each of the files' columns with numbers that may not fit: the least and the largest that does."""
    schema: pa.Schema
    """The schema of every part of the output."""
    width_limit: int
    """The widest batch, in rows, that the largest part can need."""
    chunk_rows: int
    """How many rows are read and computed together, at most."""
    identity: Mapping[str, Any]
    """Everything that decides the bytes of the output, as JSON values."""
    fingerprint: str
    """The digest of the identity."""
    programs: tuple[Mapping[str, Any], ...]
    """What people are told of each program."""
    compilations: str
    """How many programs the run compiles at most, in words."""
    platform: str
    """JAX's name for the kind of device that computes."""
    rungs: Mapping[str, Mapping[str, Any]]
    """For each named dimension its first rungs, and by what share padding lengthens a list at most."""
    steps: RowSteps = field(default_factory=RowSteps)
    """What becomes of rows between their file and the kernel."""
    row_groups: int = 0
    """How many row groups there are, with those in which no row can be chosen."""
    stage: Stage = "rows"
    partial_schema: pa.Schema = field(default_factory=lambda: pa.schema([]))
    disjoint_key: str | None = None
    """The column whose ranges in the footers prove that each group is whole in its shard, where one does."""
    buckets: int = 1
    """How many parts the second stage has, where there is one."""
    partials: int = 0
    """How many parts the first stage leaves to the second."""
    records: RunPaths = SINGLE_RUN
    """Where the output has this run's records."""

    def __repr__(self) -> str:
        rows = f"{self.rows:,} rows of {len(self.files):,} files"
        parts = f"{self.stages()[-1].parts:,} parts of {self.output}"
        return f"Plan({self.job.kernel}: {rows} to {parts}, {self.fingerprint[:8]})"

    @property
    def output(self) -> str:
        """The output folder, absolute."""
        return self.job.resolve(self.job.output.path)

    @cached_property
    def rows(self) -> int:
        """How many rows are read: those that are computed, unless the job chooses among them."""
        return sum(shard.rows for shard in self.shards)

    @cached_property
    def parts(self) -> int:
        """How many parts this stage has."""
        return sum(len(shard.parts) for shard in self.shards)

    @property
    def expected(self) -> list[Expected]:
        """Every part of this stage, with the number of its rows where that is known beforehand."""
        known = self.stage == "rows" and not self.steps.choose
        return [Expected(part.index, part.rows if known else None) for shard in self.shards for part in shard.parts]

    @property
    def folder(self) -> str:
        """The folder in the output for this stage's parts."""
        return PARTIALS if self.stage == "partials" else DATA

    @property
    def partial_names(self) -> list[str]:
        """The names of the first stage's parts, in the order in which the second merges them."""
        return [part_name(index, self.fingerprint, PARTIALS) for index in range(self.partials)]

    def stages(self) -> "tuple[Plan, ...]":
        """This plan, and the second stage's if there is one, which has a shard with one part for every bucket."""
        if self.stage != "partials":
            return (self,)
        shards = tuple(Shard(bucket, (), (Part(bucket, 0, 0),)) for bucket in range(self.buckets))
        return (self, replace(self, stage="merge", shards=shards))

    def for_workers(self) -> "Plan":
        """The plan without its shards, which workers get one at a time: as small for a million parts as for one."""
        checked = {name: self.identity[name] for name in ("code", *KEYS) if name in self.identity}
        return replace(self, shards=(), identity=checked)

    def here(self) -> "Plan":
        """This plan for a node without the job's folder, where Ray starts processes in a copy of it."""
        if self.job.folder.is_dir():
            return self
        return replace(self, job=self.job.at(Path.cwd()), source=replace(self.source, folder=Path.cwd()))

    def layout(self) -> list[dict[str, Any]]:
        """Every shard as JSON values: its row groups as [file, number, rows], its parts as [number, start, rows]."""
        return [
            {
                "row_groups": [[self.files[g.file].name, g.index, g.rows] for g in shard.row_groups],
                "parts": [[part.index, part.start, part.rows] for part in shard.parts],
            }
            for shard in self.shards
        ]

    def describe(self) -> dict[str, Any]:
        """The plan as JSON values, as ``jaxbatch plan --json`` and plan.json have it."""
        return {
            "jaxbatch": __version__,
            "fingerprint": self.fingerprint,
            "job": self.job.model_dump(mode="json"),
            "output": self.output,
            "paths_from": str(self.job.paths_from),
            "rows": self.rows,
            "rows_are_chosen": self.steps.choose,
            "row_groups": self.row_groups,
            "row_groups_read": sum(len(shard.row_groups) for shard in self.shards),
            "grouped": self.stage != "rows",
            "shards": len(self.shards),
            "parts": self.stages()[-1].parts,
            "partials": self.partials,
            "files": len(self.files),
            "skipped_files": [{"path": file.path, "reason": file.reason} for file in self.skipped],
            "arguments": dict(self.arguments),
            "limits": {name: list(limits) for name, limits in self.limits.items()},
            "columns": {column.name: str(column.type) for column in self.schema},
            "programs": [dict(program) for program in self.programs],
            "rungs": {name: dict(rungs) for name, rungs in self.rungs.items()},
            "identity": dict(self.identity),
        }
