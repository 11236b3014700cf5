"""What a run is, as a value: all that a worker needs, and that can be sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from jaxbatch import __version__
from jaxbatch.compilation.devices import KEYS
from jaxbatch.input.input_file import InputFile
from jaxbatch.input.schemas import BadFile
from jaxbatch.input.shards import Part, Shard
from jaxbatch.job.model import Job
from jaxbatch.kernels.bind_context import BindContext
from jaxbatch.output.catalog import Expected
from jaxbatch.output.paths import DATA, PARTIALS, SINGLE_RUN, RunPaths, part_name

Stage = Literal["rows", "groups", "partials", "merge"]
"""What a plan's parts hold: a row for every row; a row for every group of rows, each whole in its shard; or, in two
stages, the groups' statistics as far as each shard knows them, and what comes of merging them."""


@dataclass(frozen=True)
class Plan:
    """What a run is: everything a worker needs, as a value that can be sent.

    ``names`` maps the kernel's input columns to those of the files, ``written`` its outputs to those written.
    ``arguments`` says of every argument and input what it takes, ``limits`` of a file's columns between which two
    their numbers must be.
    """

    job: Job
    source: BindContext
    files: tuple[InputFile, ...]
    skipped: tuple[BadFile, ...]
    shards: tuple[Shard, ...]
    read: pa.Schema
    keep: tuple[str, ...]
    names: Mapping[str, str]
    written: Mapping[str, str]
    arguments: Mapping[str, str]
    limits: Mapping[str, tuple[float, float]]
    schema: pa.Schema
    width_limit: int
    chunk_rows: int
    identity: Mapping[str, Any]
    fingerprint: str
    programs: tuple[Mapping[str, Any], ...]
    compilations: str
    """How many programs the run compiles at most, in words."""
    platform: str
    """Of the devices that compute, as JAX calls it."""
    rungs: Mapping[str, Mapping[str, Any]]
    """For each named dimension the first sizes to which lists are padded, and how much that lengthens them at most."""
    stage: Stage = "rows"
    partial_schema: pa.Schema = field(default_factory=lambda: pa.schema([]))
    apart: str | None = None
    """The column by whose ranges, as footers have them, each group is whole in its shard."""
    buckets: int = 1
    """The parts of the second stage, where there is one."""
    partials: int = 0
    """The parts that the first stage leaves to it."""
    records: RunPaths = SINGLE_RUN
    """Where the output says that it is this run's."""

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
        """Rows of the input, and so of the output."""
        return sum(shard.rows for shard in self.shards)

    @cached_property
    def parts(self) -> int:
        """Parts of this stage."""
        return sum(len(shard.parts) for shard in self.shards)

    @property
    def expected(self) -> list[Expected]:
        """Every part of this stage, with its rows where they are known."""
        known = self.stage == "rows"
        return [Expected(part.index, part.rows if known else None) for shard in self.shards for part in shard.parts]

    @property
    def folder(self) -> str:
        """Where this stage's parts are put in the output."""
        return PARTIALS if self.stage == "partials" else DATA

    @property
    def partial_names(self) -> list[str]:
        """What the first stage leaves to the second, in the order of merging."""
        return [part_name(index, self.fingerprint, PARTIALS) for index in range(self.partials)]

    def stages(self) -> "tuple[Plan, ...]":
        """This plan, and that of the second stage if there is one: a shard and a part for every bucket."""
        if self.stage != "partials":
            return (self,)
        shards = tuple(Shard(bucket, (), (Part(bucket, 0, 0),)) for bucket in range(self.buckets))
        return (self, replace(self, stage="merge", shards=shards))

    def for_workers(self) -> "Plan":
        """What workers need, which are given their shards one at a time: as small for a million parts as for one."""
        checked = {name: self.identity[name] for name in ("code", *KEYS) if name in self.identity}
        return replace(self, shards=(), identity=checked)

    def here(self) -> "Plan":
        """This plan on a node where the job's folder is not, but a copy of it, in which Ray starts processes."""
        if self.job.folder.is_dir():
            return self
        return replace(self, job=self.job.at(Path.cwd()), source=replace(self.source, folder=Path.cwd()))

    def layout(self) -> list[dict[str, Any]]:
        """Every shard as JSON values: its row groups by file, number and rows; its parts by number, start and rows."""
        return [
            {
                "row_groups": [[self.files[g.file].name, g.index, g.rows] for g in shard.row_groups],
                "parts": [[part.index, part.start, part.rows] for part in shard.parts],
            }
            for shard in self.shards
        ]

    def describe(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {
            "jaxbatch": __version__,
            "fingerprint": self.fingerprint,
            "job": self.job.model_dump(mode="json"),
            "output": self.output,
            "paths_from": str(self.job.paths_from),
            "rows": self.rows,
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
