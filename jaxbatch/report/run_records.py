"""The records of an output, read for a report: its latest run, and the counts of all its runs."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jaxbatch.errors import InputError
from jaxbatch.output import failed_rows
from jaxbatch.output.failed_rows import Example
from jaxbatch.output.paths import SINGLE_RUN, SUCCESS, RunPaths, numbered
from jaxbatch.output.receipt import Receipt
from jaxbatch.output.records import ClaimRecord, Manifest
from jaxbatch.report.sample import Sample, draw_sample
from jaxbatch.storage import StorageOptions, Store, open_store

_NUMBERS = ("double", "float", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8")


@dataclass(frozen=True)
class RunRecords:
    """The latest run of an output that has ended, and the receipts of all its runs.

    ``plan`` and ``report`` are the latest run's plan.json and report.json, ``errors`` the lines of its errors.jsonl.
    """

    store: Store
    paths: RunPaths
    plan: ClaimRecord
    report: Mapping[str, Any]
    errors: Sequence[Mapping[str, Any]]
    receipts: Sequence[Receipt]
    runs: int
    sealed: bool

    @classmethod
    def read(cls, path: str, storage: StorageOptions) -> "RunRecords":
        """The records of the output at a path or URL.

        Raises:
            InputError: there is no output, or no run of it has ended.
        """
        store = open_store(path, storage)
        names = dict(store.list())
        runs = [paths for paths in (SINGLE_RUN, *numbered(names)) if paths.plan in names]
        runs = [paths for paths in runs if not ClaimRecord.is_forgotten(store, paths)]
        if not runs:
            raise InputError(f"{path} is not an output of jaxbatch.", "Give the folder named in [output] path.")
        ended = [paths for paths in runs if paths.report in names]
        if not ended:
            raise InputError(f"{path}: the run has not ended yet.", "Run the job again to finish it.")
        latest = ended[-1]
        manifests = [Manifest.read(store, paths) for paths in runs if paths.manifest in names]
        receipts = [receipt for manifest in manifests for receipt in manifest.parts]
        lines = store.read(latest.errors).splitlines() if latest.errors in names else []
        errors = [json.loads(line) for line in lines]
        report = json.loads(store.read(latest.report))
        return cls(
            store, latest, ClaimRecord.read(store, latest), report, errors, receipts, len(runs), SUCCESS in names
        )

    @cached_property
    def examples(self) -> list[Example]:
        """A few rows of the latest run with a status other than ok."""
        return failed_rows.in_run(self.store, self.paths)

    @property
    def statuses(self) -> dict[str, int]:
        """Rows by status: of all sealed runs, or of the last attempt if no run is sealed."""
        counted = sum((Counter(receipt.statuses) for receipt in self.receipts), Counter[str]())
        return dict(counted) if self.receipts else dict(self.report["statuses"])

    @property
    def rows(self) -> int:
        """The number of rows in the output."""
        return sum(receipt.rows for receipt in self.receipts) if self.receipts else self.report["rows"]

    @property
    def grouped(self) -> bool:
        """Whether one row of the output stands for several of the input, judged by the latest run."""
        if self.plan.grouped is not None:
            return bool(self.plan.grouped)
        return sum(receipt.rows for receipt in self._latest_receipts) != self.plan.rows

    def column_of(self, result: str) -> str:
        """The name of the column that holds a kernel's result."""
        return self.plan.job["output"]["columns"].get(result, result)

    @cached_property
    def inputs(self) -> list[str]:
        """The numeric input columns of the kernel that the output keeps, in the kernel's order."""
        names = self.plan.identity["input"]["columns"].values()
        return [name for name in names if name in self.columns and self.columns[name] in _NUMBERS]

    @property
    def columns(self) -> dict[str, str]:
        """The output's columns with their Arrow types."""
        return self.plan.columns

    @cached_property
    def results(self) -> list[str]:
        """The columns of single numbers that the kernel computed, in the output's order."""
        kept = set(self.plan.identity["input"]["keep"])
        return [name for name, kind in self.columns.items() if name not in kept and kind in _NUMBERS]

    @cached_property
    def sample(self) -> Sample:
        """A bounded sample of the latest run's rows."""
        return draw_sample(self.store, self._latest_receipts)

    @property
    def _latest_receipts(self) -> list[Receipt]:
        return [receipt for receipt in self.receipts if receipt.fingerprint == self.plan.fingerprint]
