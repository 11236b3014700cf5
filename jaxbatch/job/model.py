"""The job file: a strict model of its TOML, with variables filled in and overrides applied."""

import logging
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic_core
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from jaxbatch.errors import JobError
from jaxbatch.job import validation
from jaxbatch.job.validation import JobSource
from jaxbatch.job.variables import fill, override, pattern
from jaxbatch.storage.options import StorageOptions
from jaxbatch.storage.urls import is_remote, normalised

_LOG = logging.getLogger(__name__)


def _without_null(path: str) -> str:
    if "\0" in path:
        raise PydanticCustomError("null_character", "a path cannot contain null characters")
    return path


_Path = Annotated[str, Field(min_length=1), AfterValidator(_without_null)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Lookup(_Table):
    """A small table whose columns are joined to the rows by key."""

    path: _Path
    on: Annotated[list[str], Field(min_length=1)] | Annotated[dict[str, str], Field(min_length=1)]
    columns: list[str] | None = None
    prefix: str = ""

    @property
    def key(self) -> dict[str, str]:
        """The columns of the key: name in the input → name in the table."""
        return dict(self.on) if isinstance(self.on, dict) else {name: name for name in self.on}

    @property
    def mapping(self) -> dict[str, Any]:
        """What is joined by which key, as JSON values, whatever files the table is in."""
        return {"on": self.key, "columns": self.columns, "prefix": self.prefix}


def _with_names(lookups: Any) -> Any:
    if isinstance(lookups, dict) and not all(isinstance(lookup, dict) for lookup in lookups.values()):
        raise PydanticCustomError("no_name", "a lookup needs a name")
    return lookups


class Input(_Table):
    """Where the tasks are, how their columns are named, and which rows and further columns there are."""

    path: _Path | Annotated[list[_Path], Field(min_length=1)]
    columns: dict[str, str] = {}
    constants: dict[str, JsonValue] = {}
    keep: list[str] | None = None
    on_bad_file: Literal["stop", "skip"] = "stop"
    defaults: Annotated[list[str], AfterValidator(lambda names: sorted(set(names)))] = []
    where: Annotated[str, Field(min_length=1)] | None = None
    sample: Annotated[float, Field(gt=0, le=1)] | None = None
    key_by: Annotated[list[str], Field(min_length=1)] | None = None
    lookup: Annotated[dict[str, Lookup], BeforeValidator(_with_names)] = {}

    @property
    def paths(self) -> list[str]:
        """The paths as a list, also where the job has a single one."""
        return [self.path] if isinstance(self.path, str) else self.path


_DECIDING = ("columns", "constants", "keep", "defaults", "where", "sample", "key_by", "lookup")
"""Keys of ``[input]`` beside its files: what an unfinished run began with is what it is finished with."""


class Output(_Table):
    """Where the results go, how they are cut into parts, and how these are compressed."""

    path: _Path
    mode: Literal["create", "append", "replace"] = "create"
    columns: dict[str, str] = {}
    rows_per_part: PositiveInt = 1_000_000
    compression: Literal["none", "snappy", "gzip", "brotli", "lz4", "zstd"] = "snappy"


class Compute(_Table):
    """What may change bits of a result."""

    device: Literal["cpu", "gpu", "tpu"] | None = None
    precision: Literal["float64", "float32"] = "float64"
    batch_rows: Annotated[int, Field(gt=0, lt=2**31)] | None = None  # what a dimension of XLA's may be
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None


class Cluster(_Table):
    """Where and how often work happens; never changes a result."""

    address: str | None = None
    workers: PositiveInt | None = None
    cpus_per_worker: PositiveFloat = 1.0
    gpus_per_worker: NonNegativeFloat | None = None
    attempts: PositiveInt = 3
    part_timeout_s: PositiveFloat | None = None


class Limits(_Table):
    """When a finished run counts as failed."""

    max_failed_rows: NonNegativeInt | Annotated[str, Field(pattern=r"^\d+(\.\d+)?%$")] = 0

    def allows(self, failed: int, rows: int) -> bool:
        """Whether ``failed`` of ``rows`` rows are within the limit."""
        limit = self.max_failed_rows
        if isinstance(limit, str):
            return failed * 100 <= float(limit[:-1]) * rows
        return failed <= limit


class Job(_Table):
    """One run, as a value. ``Job.load`` reads it from a TOML file; relative paths start at ``folder``."""

    kernel: str
    name: Annotated[str, Field(min_length=1)] = "job"
    params: dict[str, JsonValue] = {}
    input: Input
    output: Output
    compute: Compute = Compute()
    cluster: Cluster = Cluster()
    limits: Limits = Limits()
    storage: StorageOptions = StorageOptions()

    _folder: Path = PrivateAttr(default_factory=Path.cwd)
    _paths_from: Path | None = PrivateAttr(default=None)
    _written: JobSource = PrivateAttr(default=JobSource())
    _patterns: list[str] = PrivateAttr(default=[])
    _lookup_patterns: dict[str, str] = PrivateAttr(default={})

    @property
    def folder(self) -> Path:
        """The folder at which the job's relative paths start."""
        return self._folder

    @property
    def origin(self) -> str:
        """What messages call the job: the path of its file."""
        return self._written.origin

    @property
    def paths_from(self) -> Path:
        """Where relative paths of input and output start: in the job's folder, unless it was loaded with another."""
        return self._paths_from or self._folder

    @property
    def input_patterns(self) -> list[str]:
        """The input's paths as patterns for all values of their variables, with ``*`` in the place of each."""
        return self._patterns or self.input.paths

    @property
    def lookup_patterns(self) -> dict[str, str]:
        """The path of each lookup in the same way, by name."""
        return {name: self._lookup_patterns.get(name, lookup.path) for name, lookup in self.input.lookup.items()}

    def resolve(self, path: str) -> str:
        """``path`` made absolute from :attr:`paths_from`, without following links; a URL only normalised."""
        return normalised(path) if is_remote(path) else os.path.normpath(self.paths_from / path)

    @classmethod
    def from_record(cls, recorded: Mapping[str, Any], paths_from: str) -> "Job":
        """The job in a run's record, with its paths starting at ``paths_from``; its functions cannot be loaded.

        Raises:
            pydantic.ValidationError: the record is not that of a job.
        """
        job = cls.model_validate_json(pydantic_core.to_json(recorded))
        job._paths_from = Path(paths_from)
        return job

    def with_recorded_values(self, recorded: Mapping[str, Any]) -> "Job":
        """This job with the values of an earlier, unfinished run of it: constants, columns, how its output is cut.

        Kernel and parameters are never taken from a record: who can write to an output must not choose code.

        Raises:
            pydantic.ValidationError: the record is not that of a job.
            JobError: the record has another kernel or other parameters.
        """
        before = Job.from_record(recorded, str(self.paths_from))
        if (before.kernel, before.params) != (self.kernel, self.params):
            raise JobError("its kernel or parameters differ from the job's", "Undo that change.")
        inputs = {name: getattr(before.input, name) for name in _DECIDING}
        written = before.output.model_copy(update={"path": self.output.path, "mode": self.output.mode})
        compute = before.compute.model_copy(update={"device": self.compute.device})
        recorded_tables = {"input": self.input.model_copy(update=inputs), "output": written, "compute": compute}
        return self.model_copy(update=recorded_tables)

    def at(self, folder: Path) -> "Job":
        """This job with its functions in another folder; the paths of input and output stay the same."""
        moved = self.model_copy()
        moved._paths_from, moved._folder = self.paths_from, folder
        return moved

    def error(self, keys: Sequence[str], what: str, remedy: str = "") -> JobError:
        """A :class:`JobError` that begins with the file, line and key that it is about."""
        return JobError(f"{self._written.locate(keys)}: {what}", remedy)

    def invalid_params(self, error: ValidationError, known: Sequence[str]) -> JobError:
        """A kernel's validation error about ``[params]`` as a :class:`JobError`; ``known`` are its parameters."""
        return validation.explain(
            error,
            written=self._written,
            data={"params": self.params},
            prefix=("params",),
            known={"params": known},
        )

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        variables: Mapping[str, str] | None = None,
        overrides: Sequence[str] = (),
        paths_from: str | os.PathLike[str] | None = None,
    ) -> "Job":
        """Read a job file.

        Args:
            path: the TOML file.
            variables: values for each ``{name}`` in strings of the file.
            overrides: ``a.b=VALUE`` with a TOML value, applied before the variables.
            paths_from: the folder at which relative paths of input and output start; None for the file's own.

        Raises:
            JobError: the file is missing, not TOML, or does not fit the model.
            UsageError: an override is not ``key=VALUE`` in TOML.
        """
        file = Path(path)
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise JobError(f"{file}: cannot be read ({error.strerror}).", "Give the path of a job file.") from None
        except UnicodeDecodeError:
            raise JobError(f"{file}: is not UTF-8 text.", "Give the path of a TOML job file.") from None
        try:
            raw = tomllib.loads(text)
        except (ValueError, RecursionError) as error:  # a number of too many digits is a plain ValueError
            raise JobError(
                f"{file}: is not valid TOML: {error}.", "Correct that line: write texts and dates in quotes."
            ) from None
        for each in overrides:
            override(raw, each)
        raw.setdefault("name", file.stem)
        written = JobSource(str(file), text, tuple(overrides))
        filled, unused = fill(raw, dict(variables or {}), written)
        for name in sorted(unused):
            _LOG.warning("--var %s is not used in any string of %s.", name, file)
        try:
            encoded = pydantic_core.to_json(filled)
        except ValueError as error:  # too many brackets, or bytes of the command line that are no text
            raise JobError(
                f"{file}: has a value that cannot be written as JSON: {error}.", "Correct the value."
            ) from None
        try:
            job = cls.model_validate_json(encoded)
        except ValidationError as error:
            raise validation.explain(error, written=written, data=filled, known=validation.known_keys(cls)) from None
        job._folder = file.resolve().parent
        job._paths_from = None if paths_from is None else Path(paths_from).absolute()
        job._written = written
        written_paths = raw["input"]["path"]
        written_paths = [written_paths] if isinstance(written_paths, str) else written_paths
        job._patterns = [pattern(*each) for each in zip(written_paths, job.input.paths, strict=True)]
        tables = job.input.lookup.items()
        job._lookup_patterns = {name: pattern(raw["input"]["lookup"][name]["path"], its.path) for name, its in tables}
        return job
