"""A column as something to compare: numbers, decimals, texts, times or truth values, with its nulls."""

# pyarrow.compute makes its functions at import, where no checker sees them.
# pyright: reportAttributeAccessIssue=false

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types as pat

from jaxbatch.input.arrow_arrays import is_null, to_numpy
from jaxbatch.input.where.nodes import Instant
from jaxbatch.input.where.truth import Truth

NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


@dataclass(frozen=True)
class Numbers:
    """int64, uint64 or float64 numbers; any where they are null."""

    values: np.ndarray
    null: np.ndarray | None = None

    @property
    def floats(self) -> "Numbers":
        """The same numbers in float64, each rounded to the nearest."""
        return Numbers(self.values.astype(np.float64, copy=False), self.null)


@dataclass(frozen=True)
class Decimals:
    """Decimal numbers of at least 128 bits, exact."""

    array: pa.Array

    @property
    def floats(self) -> Numbers:
        """The same numbers in float64, each rounded to the nearest: as Arrow parses texts, but does not cast."""
        return Numbers(to_numpy(self.array.cast(pa.string()).cast(pa.float64())), null_of(self.array))


@dataclass(frozen=True)
class Texts:
    """Texts."""

    array: pa.Array


@dataclass(frozen=True)
class Times:
    """Times since 1970 in units of so many nanoseconds; any where they are null."""

    values: np.ndarray
    unit: int
    null: np.ndarray | None = None


@dataclass(frozen=True)
class Null:
    """Null in every row."""


@dataclass(frozen=True)
class Opaque:
    """A column of which only its nulls are asked."""

    null: np.ndarray | None


Constant = int | float | str | bool | Instant
"""What an expression gives itself."""

Operand = Numbers | Decimals | Texts | Times | Truth | Null | Opaque | Constant


def operand(array: pa.Array) -> Operand:
    """A column as an operand."""
    kind = array.type
    if pat.is_null(kind):
        return Null()
    if pat.is_boolean(kind):
        null = null_of(array)
        values = to_numpy(array)
        return Truth(values if null is None else values & ~null, null)
    if pat.is_decimal(kind):
        narrow = pat.is_decimal32(kind) or pat.is_decimal64(kind)
        return Decimals(array.cast(pa.decimal128(kind.precision, kind.scale)) if narrow else array)
    if pat.is_integer(kind) or pat.is_floating(kind):
        values = to_numpy(array)
        wide = np.float64 if values.dtype.kind == "f" else np.uint64 if values.dtype == np.uint64 else np.int64
        return Numbers(values.astype(wide, copy=False), null_of(array))
    if pat.is_string(kind) or pat.is_large_string(kind) or pat.is_string_view(kind):
        return Texts(array.cast(pa.large_string()) if pat.is_string_view(kind) else array)
    if pat.is_date(kind) or pat.is_timestamp(kind):
        stored = to_numpy(array.view(pa.int32() if pat.is_date32(kind) else pa.int64())).astype(np.int64, copy=False)
        return Times(stored, unit_of(kind), null_of(array))
    return Opaque(null_of(array))


def unit_of(kind: pa.DataType) -> int:
    """The nanoseconds that one step of a type of dates or timestamps counts."""
    if pat.is_date32(kind):
        return 86_400 * 10**9
    return NANOSECONDS["ms"] if pat.is_date64(kind) else NANOSECONDS[kind.unit]


def null_of(array: pa.Array) -> np.ndarray | None:
    """Where an array is null; None if nowhere."""
    return is_null(array) if array.null_count else None


def as_decimal(unscaled: int, kind: pa.DataType) -> pa.Scalar:
    """``unscaled`` · 10^-scale as a scalar of a decimal type."""
    digits = tuple(map(int, str(abs(unscaled))))
    return pa.scalar(Decimal((int(unscaled < 0), digits, -kind.scale)), kind)


def truth_of(found: pa.Array) -> Truth:
    """Arrow's truth values, which may be null."""
    null = null_of(found)
    values = to_numpy(found)
    return Truth(values if null is None else values & ~null, null)


def decimals_of(numbers: "Numbers | Decimals") -> pa.Array | None:
    """Integers or decimals as an Arrow array of decimals; None for floats."""
    if isinstance(numbers, Decimals):
        return numbers.array
    if numbers.values.dtype.kind == "f":
        return None
    whole = pa.array(numbers.values, mask=numbers.null)
    return pc.cast(whole, pa.decimal128(20, 0))
