"""What an output's records say of its runs, and a bounded sample of its rows."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxbatch.errors import InputError
from jaxbatch.output import failed_rows
from jaxbatch.output.failed_rows import Example
from jaxbatch.output.paths import SINGLE_RUN, SUCCESS, RunPaths, numbered
from jaxbatch.output.receipt import Receipt
from jaxbatch.output.records import ClaimRecord, ForgottenRun, Manifest
from jaxbatch.storage import StorageOptions, Store, open_store

PARTS = 40
ROWS = 20_000
BYTES = 1 << 26
"""A sample is of at most so many parts, rows and bytes …"""

LOOKED_AT = 4_000_000
"""… and drawn from so many rows: of the first of each part, where there are more."""


@dataclass(frozen=True)
class Sample:
    """Rows from parts that are spread evenly over a run, and where they are: from all over each part, or over its
    ``first`` rows."""

    table: pa.Table
    part: np.ndarray
    row: np.ndarray
    parts: int
    first: int | None = None

    def numbers(self, name: str) -> np.ndarray:
        """A column as float64, NaN where it is null."""
        column = self.table.column(name)
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)

    def select(self, chosen: np.ndarray) -> "Sample":
        """The rows that are chosen, by a mask or by number."""
        numbers = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return replace(self, table=self.table.take(numbers), part=self.part[numbers], row=self.row[numbers])


@dataclass(frozen=True)
class RunRecords:
    """The latest run of an output, with the counts of all of them."""

    store: Store
    records: RunPaths
    plan: ClaimRecord
    report: Mapping[str, Any]
    errors: Sequence[Mapping[str, Any]]
    receipts: Sequence[Receipt]
    runs: int
    sealed: bool

    @classmethod
    def read(cls, path: str, storage: StorageOptions) -> "RunRecords":
        """The records of an output.

        Raises:
            InputError: there are none, or no report yet.
        """
        store = open_store(path, storage)
        names = dict(store.list())
        runs = [records for records in (SINGLE_RUN, *numbered(names)) if records.plan in names]
        claims = {records: claim for records in runs if (claim := _claim(store, records)) is not None}
        runs = list(claims)
        if not runs:
            raise InputError(f"{path} holds no output of jaxbatch.", "Give the folder named in [output] path.")
        ended = [records for records in runs if records.report in names]
        if not ended:
            raise InputError(f"{path}: its run has not come to an end yet.", "Run it again to finish it.")
        latest = ended[-1]
        manifests = [Manifest.read(store, records) for records in runs if records.manifest in names]
        receipts = [receipt for manifest in manifests for receipt in manifest.parts]
        lines = store.read(latest.errors).splitlines() if latest.errors in names else []
        errors = [json.loads(line) for line in lines]
        report = json.loads(store.read(latest.report))
        return cls(store, latest, claims[latest], report, errors, receipts, len(runs), SUCCESS in names)

    @cached_property
    def examples(self) -> list[Example]:
        """A few rows of the latest run that did not end well."""
        return failed_rows.in_run(self.store, self.records)

    @property
    def statuses(self) -> dict[str, int]:
        """Rows by status, of all sealed runs; of the last attempt where none is sealed."""
        counted = sum((Counter(receipt.statuses) for receipt in self.receipts), Counter[str]())
        return dict(counted) if self.receipts else dict(self.report["statuses"])

    @property
    def rows(self) -> int:
        """Rows of the output."""
        return sum(receipt.rows for receipt in self.receipts) if self.receipts else self.report["rows"]

    @property
    def grouped(self) -> bool:
        """Whether a row stands for several of the input, as far as the latest run tells."""
        latest = [receipt for receipt in self.receipts if receipt.fingerprint == self.plan.fingerprint]
        return sum(receipt.rows for receipt in latest) != self.plan.rows

    def written(self, result: str) -> str:
        """The column under which a kernel's result is written."""
        return self.plan.job["output"]["columns"].get(result, result)

    @cached_property
    def inputs(self) -> list[str]:
        """The kernel's input columns that were kept in the output, numbers alone, in the kernel's order."""
        names = self.plan.identity["input"]["columns"].values()
        return [name for name in names if name in self.columns and self.columns[name] in _NUMBERS]

    @property
    def columns(self) -> dict[str, str]:
        """The columns written, with their types."""
        return self.plan.columns

    @cached_property
    def results(self) -> list[str]:
        """The columns of single numbers that the kernel made, in the order they are written in."""
        kept = set(self.plan.identity["input"]["keep"])
        return [name for name, kind in self.columns.items() if name not in kept and kind in _NUMBERS]

    @cached_property
    def sample(self) -> Sample:
        """A bounded sample of the latest run's rows."""
        latest = [receipt for receipt in self.receipts if receipt.fingerprint == self.plan.fingerprint]
        latest = sorted((receipt for receipt in latest if receipt.rows), key=lambda receipt: receipt.part)
        chosen = (
            [latest[i] for i in sorted({round(i) for i in np.linspace(0, len(latest) - 1, PARTS)})] if latest else []
        )
        tables, parts, rows = [], [], []
        for receipt in chosen:
            taken = _drawn(receipt, len(chosen))
            tables.append(_rows(self.store, receipt, taken))
            parts.append(np.full(len(taken), receipt.part))
            rows.append(taken)
        if not tables:
            return Sample(pa.table({}), np.zeros(0, int), np.zeros(0, int), 0)
        among = LOOKED_AT // len(chosen)
        first = among if any(receipt.rows > among for receipt in chosen) else None
        return Sample(pa.concat_tables(tables), np.concatenate(parts), np.concatenate(rows), len(chosen), first)


_NUMBERS = ("double", "float", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8")


def _claim(store: Store, paths: RunPaths) -> ClaimRecord | None:
    """What a run says that it is; None where it was given up."""
    try:
        return ClaimRecord.read(store, paths)
    except ForgottenRun:
        return None


def _drawn(receipt: Receipt, parts: int) -> np.ndarray:
    """Numbers of rows of one of so many parts, ascending; the same each time."""
    fitting = BYTES * receipt.rows // max(receipt.bytes, 1)
    among = min(receipt.rows, LOOKED_AT // parts)
    count = min(among, max(1, min(ROWS, fitting) // parts))
    return np.sort(np.random.default_rng(receipt.part).choice(among, count, replace=False))


def _rows(store: Store, receipt: Receipt, wanted: np.ndarray) -> pa.Table:
    """Some rows of a part, which is read as far as the last of them, a little at a time."""
    step = int(np.clip(BYTES * receipt.rows // max(receipt.bytes, 1) // 16, 1, 65_536))
    found, start = [], 0
    with store.open(receipt.name) as file, pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=step):
            here = wanted[(wanted >= start) & (wanted < start + batch.num_rows)] - start
            found.append(pa.Table.from_batches([batch]).take(here))
            start += batch.num_rows
            if start > wanted[-1]:
                break
    return pa.concat_tables(found)
