"""plan.json and manifest.json: what a run says of itself when it begins, and of its parts when all are there.

Both are read leniently: keys of newer versions are passed over, and only what decides something must have its type, so
that no output is refused for what a version wrote that people read.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pydantic import BaseModel, ConfigDict

from jaxbatch.errors import ClaimedByAnother, OutputError
from jaxbatch.output.paths import RunPaths
from jaxbatch.output.receipt import Receipt
from jaxbatch.storage import Store

TOMBSTONE = {"forgotten": True}
"""What plan.json holds in place of the claim of a run that was given up."""


class DamagedRecord(OutputError):
    """A record of a run that cannot be read."""


class ForgottenRun(ClaimedByAnother):
    """A run that was given up: a tombstone is all that is left of it."""


class ClaimRecord(BaseModel):
    """plan.json: what a run is, written before its first part. The fields are in the order of the file.

    Only what is given is written. A run that adds to an output that grows also gives ``types``, ``ledger`` and
    ``seen_again``.
    """

    model_config = ConfigDict(frozen=True)

    jaxbatch: Any = ""
    """The version that wrote it."""
    fingerprint: str
    job: dict[str, Any] = {}
    output: Any = ""
    paths_from: Any = ""
    """The folder from which the job's relative paths lead."""
    rows: Any = 0
    rows_are_chosen: Any = False
    """Whether ``rows`` are those that are read, among which the job chooses."""
    row_groups: Any = 0
    row_groups_read: Any = 0
    grouped: Any = None
    """Whether a row of the output stands for a group of rows; None in records of earlier versions."""
    shards: Any = 0
    parts: Any = 0
    partials: Any = 0
    files: Any = 0
    skipped_files: list[dict[str, str]] = []
    """``path`` and ``reason`` of each input file that was left out."""
    arguments: Any = {}
    limits: Any = {}
    columns: Any = {}
    programs: Any = []
    rungs: Any = {}
    identity: dict[str, Any]
    """All that the fingerprint is the digest of."""
    types: dict[str, str] = {}
    """The Arrow types of the columns that were read."""
    ledger: list[tuple[str, str]] = []
    """Path and version of each input file, in the order of ``identity``'s files."""
    seen_again: dict[str, str] = {}
    """Other versions of input files of earlier runs that proved to be the same, by path."""
    layout: Any = []
    """The row groups and parts of each shard."""

    @classmethod
    def read(cls, store: Store, paths: RunPaths) -> "ClaimRecord":
        """The claim of a run.

        Raises:
            FileNotFoundError: there is none.
            DamagedRecord: it cannot be read.
            ForgottenRun: the run was given up.
        """
        data = store.read(paths.plan)
        try:
            values = json.loads(data)
            if values == TOMBSTONE:
                raise ForgottenRun(f"{store.url}: run {paths.number} was dropped by a --restart.", "Run again.")
            return cls.model_validate(values)
        except ValueError:
            raise DamagedRecord(f"{store.url}/{paths.plan} is damaged.", "Start over with --restart.") from None

    @staticmethod
    def is_forgotten(store: Store, paths: RunPaths) -> bool:
        """Whether a tombstone is all that is left of a run.

        Raises:
            FileNotFoundError: there is no record.
        """
        data = store.read(paths.plan)
        try:
            return json.loads(data) == TOMBSTONE
        except ValueError:
            return False

    def to_json(self) -> bytes:
        """The bytes of plan.json."""
        return as_json({name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set})


class Manifest(BaseModel):
    """manifest.json: the parts of a run, in order, written when all are there."""

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    rows: int
    skipped_files: Any = []
    """``path`` and ``reason`` of each input file that was left out."""
    parts: list[Receipt]

    @classmethod
    def read(cls, store: Store, paths: RunPaths) -> "Manifest":
        """The manifest of a run.

        Raises:
            FileNotFoundError: there is none.
            DamagedRecord: it cannot be read.
        """
        values = cls._load(store, paths)
        try:
            parts = [Receipt(**part, fingerprint=values["fingerprint"]) for part in values["parts"]]
            return cls.model_validate({**values, "parts": parts})
        except (ValueError, KeyError, TypeError):
            raise cls._damaged(store, paths) from None

    @classmethod
    def read_names(cls, store: Store, paths: RunPaths) -> set[str]:
        """The names of the parts of a run, without a receipt made of each: of 100,000 parts that takes seconds.

        Raises:
            FileNotFoundError: there is no manifest.
            DamagedRecord: it cannot be read.
        """
        values = cls._load(store, paths)
        try:
            return {str(part["name"]) for part in values["parts"]}
        except (KeyError, TypeError):
            raise cls._damaged(store, paths) from None

    @classmethod
    def _load(cls, store: Store, paths: RunPaths) -> Any:
        data = store.read(paths.manifest)
        try:
            return json.loads(data)
        except ValueError:
            raise cls._damaged(store, paths) from None

    @staticmethod
    def _damaged(store: Store, paths: RunPaths) -> DamagedRecord:
        return DamagedRecord(f"{store.url}/{paths.manifest} is damaged.", "Run again to rewrite it.")

    def to_json(self) -> bytes:
        """The bytes of manifest.json. Parts are written without the fingerprint, which is the same for all."""
        parts = [{name: getattr(part, name) for name in _PART_KEYS} for part in self.parts]
        return as_json({**dict(self), "parts": parts})


_PART_KEYS = [field.name for field in fields(Receipt) if field.name != "fingerprint"]


def as_json(values: Mapping[str, Any]) -> bytes:
    """A record as it is written."""
    return (json.dumps(values, indent=1, default=str) + "\n").encode()
