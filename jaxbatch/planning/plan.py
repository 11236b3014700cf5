"""What a run is, as a value: ``WorkerPlan`` has what workers need and is sent to them, ``Plan`` what people ask too."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from jaxbatch import __version__
from jaxbatch.compilation.devices import KEYS
from jaxbatch.input.file_checks import BadFile
from jaxbatch.input.input_file import InputFile
from jaxbatch.input.row_steps import RowSteps
from jaxbatch.job.model import Job
from jaxbatch.kernels.bind_context import BindContext
from jaxbatch.output.paths import SINGLE_RUN, RunPaths
from jaxbatch.planning.stage_plans import GroupedPlan, MergePlan, RowPlan, StagePlan

Own = TypeVar("Own", bound="WorkerPlan")


@dataclass(frozen=True, kw_only=True)
class WorkerPlan:
    """What a process needs that computes a run's shards."""

    job: Job
    source: BindContext
    """What the kernel is bound to, with the answers about the data that it asked for."""
    files: tuple[InputFile, ...]
    steps: RowSteps
    """What becomes of rows between their file and the kernel."""
    read: pa.Schema
    """The files' columns that are read."""
    keep: tuple[str, ...]
    """The input's columns that are carried through; of groups, their keys by the kernel's names."""
    names: Mapping[str, str]
    """The rows' column for each of the kernel's inputs, constants aside."""
    schema: pa.Schema
    """The schema of every part of the output."""
    width_limit: int
    """The widest batch, in rows, that the largest part can need."""
    chunk_rows: int
    """How many rows are read and computed together, at most."""
    identity: Mapping[str, Any]
    """Everything that decides the bytes of the output, as JSON values; what workers check of it, where it is sent."""
    fingerprint: str
    """The digest of the identity."""
    platform: str
    """JAX's name for the kind of device that computes."""
    stages: tuple[StagePlan, ...]
    """One, or two where statistics of groups are merged."""
    records: RunPaths = SINGLE_RUN
    """Where the output has this run's records."""

    @property
    def output(self) -> str:
        """The output folder, absolute."""
        return self.job.resolve(self.job.output.path)

    @property
    def partial_schema(self) -> pa.Schema:
        """The schema of statistics of groups."""
        (first, *_) = self.stages
        assert isinstance(first, GroupedPlan)
        return first.partial_schema

    def stage(self, name: str) -> StagePlan:
        """The stage of that name."""
        return next(stage for stage in self.stages if stage.name == name)

    def here(self: Own) -> Own:
        """This plan for a node without the job's folder, where Ray starts processes in a copy of it."""
        if self.job.folder.is_dir():
            return self
        return replace(self, job=self.job.at(Path.cwd()), source=replace(self.source, folder=Path.cwd()))


@dataclass(frozen=True, kw_only=True)
class Plan(WorkerPlan):
    """What a run is: everything that a worker needs, and what people are told of it."""

    skipped: tuple[BadFile, ...]
    """The input's files that cannot be used and are left out."""
    written: Mapping[str, str]
    """The name in the output for each of the kernel's results and the status."""
    arguments: Mapping[str, str]
    """What each argument and input takes, in words."""
    limits: Mapping[str, tuple[float, float]]
    """For each of the files' columns with numbers that may not fit: the least and the largest that does."""
    row_groups: int
    """How many row groups there are, with those in which no row can be chosen."""
    programs: tuple[Mapping[str, Any], ...]
    """What people are told of each program."""
    compilations: str
    """How many programs the run compiles at most, in words."""
    rungs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """For each named dimension its first rungs, and by what share padding lengthens a list at most."""

    def __repr__(self) -> str:
        rows = f"{self.rows:,} rows of {len(self.files):,} files"
        parts = f"{self.parts:,} parts of {self.output}"
        return f"Plan({self.job.kernel}: {rows} to {parts}, {self.fingerprint[:8]})"

    @property
    def first(self) -> StagePlan:
        """The stage that reads the input."""
        return self.stages[0]

    @property
    def final(self) -> StagePlan:
        """The stage that writes the output."""
        return self.stages[-1]

    @cached_property
    def rows(self) -> int:
        """How many rows are read: those that are computed, unless the job chooses among them."""
        return sum(shard.rows for shard in self.first.shards)

    @property
    def parts(self) -> int:
        """How many parts are written."""
        return self.final.parts

    def for_workers(self) -> WorkerPlan:
        """What workers need, without the shards, which they get one by one: as small for a million parts as for one."""
        needed = {each.name: getattr(self, each.name) for each in fields(WorkerPlan)}
        checked = {name: self.identity[name] for name in ("code", *KEYS) if name in self.identity}
        stages = tuple(stage.without_shards() for stage in self.stages)
        return WorkerPlan(**{**needed, "identity": checked, "stages": stages})

    def layout(self) -> list[dict[str, Any]]:
        """Every shard as JSON values: its row groups as [file, number, rows], its parts as [number, start, rows]."""
        return [
            {
                "row_groups": [[self.files[g.file].name, g.index, g.rows] for g in shard.row_groups],
                "parts": [[part.index, part.start, part.rows] for part in shard.parts],
            }
            for shard in self.first.shards
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
            "row_groups_read": sum(len(shard.row_groups) for shard in self.first.shards),
            "grouped": not isinstance(self.first, RowPlan),
            "shards": len(self.first.shards),
            "parts": self.parts,
            "partials": self.final.partials if isinstance(self.final, MergePlan) else 0,
            "files": len(self.files),
            "skipped_files": [{"path": file.path, "reason": file.reason} for file in self.skipped],
            "arguments": dict(self.arguments),
            "limits": {name: list(limits) for name, limits in self.limits.items()},
            "columns": {column.name: str(column.type) for column in self.schema},
            "programs": [dict(program) for program in self.programs],
            "rungs": {name: dict(rungs) for name, rungs in self.rungs.items()},
            "identity": dict(self.identity),
        }
