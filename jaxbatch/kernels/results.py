"""What a batch of rows gives: its outputs as arrays, which of them are present, and each row's status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from jaxbatch.columns import STATUS, Column, Maybe, Status


@dataclass(frozen=True)
class Results:
    """One batch of outputs."""

    values: dict[str, np.ndarray]
    """By column, of shape [rows, …]."""
    present: dict[str, np.ndarray]
    """For columns that are :class:`~jaxbatch.columns.Maybe`: which rows have a value, of shape [rows]."""
    lengths: dict[str, np.ndarray]
    """By named dimension: each row's own length, of shape [rows]."""
    status: np.ndarray
    """int8, of shape [rows]."""

    def replaced(self, rows: np.ndarray, others: "Results") -> "Results":
        """These results with ``rows`` replaced by those of ``others``, in that order."""

        def replace(mine: np.ndarray, new: np.ndarray) -> np.ndarray:
            found = mine.copy()
            found[rows] = new
            return found

        def replace_each(mine: dict[str, np.ndarray], new: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: replace(array, new[name]) for name, array in mine.items()}

        named = {
            field.name: replace_each(getattr(self, field.name), getattr(others, field.name))
            for field in fields(self)
            if field.name != STATUS
        }
        return Results(**named, status=replace(self.status, others.status))


def results_of(columns: Sequence[Column], outputs: Mapping[str, Any], precision: str) -> Results:
    """A batch of a kernel's outputs, given as NumPy arrays, with the checks that every kernel shares.

    A float that is NaN or infinite makes its row ``nonfinite``, if its column says so and it lies within the row's own
    lengths.

    Args:
        columns: those outputs.
        outputs: by name, of shape [rows, …], or :class:`~jaxbatch.columns.Maybe` of such arrays; by named dimension
            each row's own length; and the status so far.
        precision: the dtype of ``"float"`` columns, ``"float64"`` or ``"float32"``.
    """
    status = np.asarray(outputs[STATUS]).astype(np.int8)
    rows = len(status)
    lengths = {name: np.asarray(outputs[name]) for column in columns for name in column.dimensions}
    values, present = {}, {}
    for column in columns:
        found = outputs[column.name]
        if isinstance(found, Maybe):
            found, has_value = found
            present[column.name] = np.broadcast_to(has_value, rows)
        kind = {"float": precision, "int": "int64", "string": "int64"}.get(column.dtype, column.dtype)
        with np.errstate(over="ignore"):  # in a narrower type it may be infinite, which makes the row nonfinite
            values[column.name] = array = np.asarray(found).astype(kind, copy=False)
        if column.check_finite and array.dtype.kind == "f":
            bad = ~np.isfinite(array)
            for axis, size in enumerate(column.shape, 1):
                if isinstance(size, str):
                    index = np.arange(array.shape[axis]).reshape(-1, *[1] * (array.ndim - axis - 1))
                    bad &= index < lengths[size].reshape(-1, *[1] * (array.ndim - 1))
            bad = bad.any(axis=tuple(range(1, bad.ndim))) & present.get(column.name, True)
            status = np.where(bad, np.maximum(status, np.int8(Status.nonfinite)), status)
    return Results(values, present, lengths, status)
