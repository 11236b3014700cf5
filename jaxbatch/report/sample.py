"""A sample of a run's rows for the pictures: bounded in memory and time, and the same each time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxbatch.output.part_file import Receipt
from jaxbatch.storage import Store

MAX_PARTS = 40
MAX_ROWS = 20_000
MAX_BYTES = 1 << 26
"""The most parts, rows and bytes of a sample."""

MAX_SCANNED_ROWS = 4_000_000
"""The most rows that a sample is drawn from, evenly over the parts: the first ones of each part, if there are more."""


@dataclass(frozen=True)
class Sample:
    """Rows of parts spread evenly over a run.

    ``part`` and ``row`` say where each row of ``table`` is: in which part, and where in it. The rows come from
    ``parts`` parts, from all over each part or, if ``first`` is set, from its first that many rows.
    """

    table: pa.Table
    part: np.ndarray
    row: np.ndarray
    parts: int
    first: int | None = None

    def numbers(self, name: str) -> np.ndarray:
        """[rows]: a column as float64, NaN where it is null."""
        column = self.table.column(name)
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)

    def select(self, chosen: np.ndarray) -> "Sample":
        """The chosen rows, by a boolean mask or by their numbers."""
        numbers = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return replace(self, table=self.table.take(numbers), part=self.part[numbers], row=self.row[numbers])


def draw_sample(store: Store, receipts: Sequence[Receipt]) -> Sample:
    """Draw a sample from a run's parts."""
    filled = sorted((receipt for receipt in receipts if receipt.rows), key=lambda receipt: receipt.part)
    if not filled:
        return Sample(pa.table({}), np.zeros(0, int), np.zeros(0, int), 0)
    chosen = [filled[i] for i in sorted({round(i) for i in np.linspace(0, len(filled) - 1, MAX_PARTS)})]
    rows = [_row_numbers(receipt, len(chosen)) for receipt in chosen]
    tables = [_read_rows(store, receipt, wanted) for receipt, wanted in zip(chosen, rows, strict=True)]
    parts = np.repeat([receipt.part for receipt in chosen], [len(wanted) for wanted in rows])
    scanned = MAX_SCANNED_ROWS // len(chosen)
    first = scanned if any(receipt.rows > scanned for receipt in chosen) else None
    return Sample(pa.concat_tables(tables), parts, np.concatenate(rows), len(chosen), first)


def _row_numbers(receipt: Receipt, parts: int) -> np.ndarray:
    """The numbers of the rows to read of a part, one of ``parts`` parts: ascending, and the same each time."""
    fitting = MAX_BYTES * receipt.rows // max(receipt.bytes, 1)
    scanned = min(receipt.rows, MAX_SCANNED_ROWS // parts)
    count = min(scanned, max(1, min(MAX_ROWS, fitting) // parts))
    return np.sort(np.random.default_rng(receipt.part).choice(scanned, count, replace=False))


def _read_rows(store: Store, receipt: Receipt, wanted: np.ndarray) -> pa.Table:
    """The wanted rows of a part, read in small batches up to the last of them."""
    step = int(np.clip(MAX_BYTES * receipt.rows // max(receipt.bytes, 1) // 16, 1, 65_536))
    found, start = [], 0
    with store.open(receipt.name) as file, pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=step):
            in_batch = wanted[(wanted >= start) & (wanted < start + batch.num_rows)] - start
            found.append(pa.Table.from_batches([batch]).take(in_batch))
            start += batch.num_rows
            if start > wanted[-1]:
                break
    return pa.concat_tables(found)
