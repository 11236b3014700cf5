"""A few failed or flagged rows of an output, each with the column to blame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxbatch.columns import STATUS, Status
from jaxbatch.input import arrow_compute as pc
from jaxbatch.input.arrow_arrays import one_chunk, to_numpy, to_texts
from jaxbatch.output.paths import SINGLE_RUN, RunPaths
from jaxbatch.output.receipt import Receipt
from jaxbatch.output.records import ClaimRecord, Manifest
from jaxbatch.storage import StorageOptions, Store, open_store

EXAMPLES = 3
"""At most this many rows are shown of each status."""

SHOWN = 4
"""At most this many inputs are shown of a row."""

_EXPLAINED_BY = {Status.rank_deficient: "rank", Status.not_converged: "steps"}
"""The result that explains a status."""


@dataclass(frozen=True)
class Example:
    """One row: its part and its place there, its inputs by column, and the column to blame with its value."""

    status: str
    part: str
    row: int
    inputs: Mapping[str, Any]
    blamed: tuple[str, Any] | None

    def __str__(self) -> str:
        given = ", ".join(f"{name} = {_short(value)}" for name, value in self.inputs.items())
        blame = f"{self.blamed[0]} is {_short(self.blamed[1])}" if self.blamed else ""
        what = ": ".join(text for text in (given, blame) if text)
        return f"row {self.row} of {self.part}" + (f", {what}" if what else "")


def find_examples(path: str, records: str = SINGLE_RUN.folder, storage: StorageOptions | None = None) -> list[Example]:
    """Examples of every status but ``ok`` in a sealed run; none if it is not sealed.

    Args:
        path: the output folder.
        records: the folder of the run's records in it.
        storage: how the output is reached, if its path is a URL.

    Raises:
        OutputError: a record of the run is damaged.
    """
    number = records.rpartition("/")[2]
    paths = RunPaths(int(number)) if number.isdigit() else SINGLE_RUN
    return in_run(open_store(path, storage or StorageOptions()), paths)


def in_run(store: Store, paths: RunPaths) -> list[Example]:
    """Examples of every status but ``ok`` in the sealed run of the records at ``paths``; none if it is not sealed."""
    try:
        claim, manifest = ClaimRecord.read(store, paths), Manifest.read(store, paths)
    except FileNotFoundError:
        return []
    found: list[Example] = []
    for status in Status:
        if status is not Status.ok:
            found += _with_status(store, claim, manifest.parts, status)
    return found


def _with_status(store: Store, claim: ClaimRecord, parts: Sequence[Receipt], status: Status) -> list[Example]:
    column = claim.job["output"]["columns"].get(STATUS, STATUS)
    found: list[Example] = []
    for part in parts:
        if len(found) < EXAMPLES and part.statuses.get(status.name):
            with store.open(part.name) as file, pq.ParquetFile(file) as parquet:
                statuses = one_chunk(parquet.read(columns=[column]).column(column))
                of_status = to_numpy(pc.is_in(statuses, value_set=to_texts([status.name])))
                rows = np.flatnonzero(of_status)[: EXAMPLES - len(found)]
                for row in rows:
                    found.append(_example(claim, part.name, int(row), _row(parquet, int(row)), status))
    return found


def _row(parquet: pq.ParquetFile, row: int) -> Mapping[str, Any]:
    """One row of a part, by column. A part is one row group, so it is read up to that row."""
    start = 0
    for batch in parquet.iter_batches(batch_size=4096):
        if row < start + batch.num_rows:
            one = batch.slice(row - start, 1)
            return {name: _value(column) for name, column in zip(one.schema.names, one.columns, strict=True)}
        start += batch.num_rows
    raise IndexError(row)


def _value(column: pa.Array) -> Any:
    """A column's only value: Python's, or what Arrow prints if Python has no such value, as for nanoseconds."""
    try:
        return column[0].as_py()
    except (ValueError, OverflowError):
        return column.to_string(skip_new_lines=True).removeprefix("[").removesuffix("]")


def _example(claim: ClaimRecord, part: str, row: int, values: Mapping[str, Any], status: Status) -> Example:
    kept = claim.identity["input"]["keep"]
    used = [*claim.identity["input"]["columns"].values(), *claim.identity["input"].get("key_by", ())]
    inputs = [name for name in dict.fromkeys(used) if name in kept]
    results = [name for name in values if name not in kept]
    shown = {name: values[name] for name in (inputs or kept)[:SHOWN]}
    blamed: tuple[str, Any] | None = None
    if status is Status.null_input:
        blamed = next(((name, None) for name in inputs if _has_null(values[name])), None)
        blamed = blamed or ("an input that is not kept", None)
    elif status is Status.invalid_input:
        limits = claim.limits
        beyond = ((name, _beyond(values[name], *limits[name])) for name in inputs if name in limits)
        blamed = next((each for each in beyond if each[1] is not None), None)
    elif status is Status.nonfinite:
        blamed = next(((name, values[name]) for name in results if not _is_finite(values[name])), None)
    elif status in _EXPLAINED_BY:
        name = claim.job["output"]["columns"].get(_EXPLAINED_BY[status], _EXPLAINED_BY[status])
        blamed = (name, values[name]) if name in values else None
    if blamed:
        shown.pop(blamed[0], None)
    return Example(status.name, part, row, shown, blamed)


def _beyond(value: Any, low: float, high: float) -> Any:
    """The value, or a list's first value, outside ``low`` … ``high``; None if none is. A float may be infinite."""
    if isinstance(value, list):
        return next((found for each in value if (found := _beyond(each, low, high)) is not None), None)
    fits = value is None or low <= value <= high or (isinstance(high, float) and not _is_finite(value))
    return None if fits else value


def _has_null(value: Any) -> bool:
    return value is None or (isinstance(value, list) and any(map(_has_null, value)))


def _is_finite(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or bool(np.isfinite(value))


def _short(value: Any) -> str:
    if value is None:
        return "null"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
