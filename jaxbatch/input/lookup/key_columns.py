"""Two columns of keys that are compared: which types can be equal, and both columns in one type."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import types as pat

from jaxbatch.input import arrow_compute as pc
from jaxbatch.input.arrow_arrays import is_null, to_arrow, to_numpy

_PER_DAY = {unit: 86_400 * per_second for unit, per_second in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9))}
"""How many of each unit of time a day has."""

_DIGITS = 76
"""The most digits of a decimal in Arrow."""

_BINARY: tuple[Callable[[pa.DataType], bool], ...] = (
    pat.is_binary,
    pat.is_large_binary,
    pat.is_binary_view,
    pat.is_fixed_size_binary,
)


def kind_of(kind: pa.DataType) -> str | None:
    """The kind of a type of keys: values of one kind can be equal. None of what can be no key, such as floats."""
    if pat.is_timestamp(kind):
        return "timestamp" if kind.tz is None else "timestamp with time zone"
    named = {
        "integer": pat.is_integer,
        "boolean": pat.is_boolean,
        "text": _is_text,
        "bytes": lambda its: any(test(its) for test in _BINARY),
        "decimal": pat.is_decimal,
        "date": pat.is_date,
        "time": pat.is_time,
        "duration": pat.is_duration,
    }
    return next((name for name, test in named.items() if test(kind)), None)


def _is_text(kind: pa.DataType) -> bool:
    return pat.is_string(kind) or pat.is_large_string(kind) or pat.is_string_view(kind)


@dataclass(frozen=True)
class KeyColumns:
    """A column of the rows and one of the table, of types of one kind: equal where their values are.

    Integers of all widths and signs, texts and bytes however stored, times in all units and decimals of all scales
    compare by value. A column of Arrow's type null has nothing but nulls, and is given the type of the other.
    """

    rows: pa.DataType
    table: pa.DataType

    @property
    def fit(self) -> bool:
        """Whether values of the two types can be equal."""
        kind = kind_of(self.rows)
        return kind is not None and kind == kind_of(self.table) and (kind != "decimal" or self._digits <= _DIGITS)

    def of_rows(self, array: pa.Array) -> pa.Array:
        """The rows' column in the type of comparison: of integers, texts, bytes or decimals."""
        array = _of_type(array, self.rows)
        if self._is_number:
            return _integers(array)
        return array if array.type == self._compared else array.cast(self._compared)

    def of_table(self, array: pa.Array) -> pa.Array:
        """The table's column in the same type; null where no value of the rows' type can be equal."""
        array = _of_type(array, self.table)
        if not self._is_number:
            return array if array.type == self._compared else array.cast(self._compared)
        if self.rows == self.table:
            return _integers(array)
        stored, given = to_numpy(_integers(array)), ~is_null(array)
        values = stored.astype(np.uint64 if stored.dtype.kind == "u" else np.int64)
        wanted = np.dtype(_integer_type(self.rows).to_pandas_dtype())
        ours, theirs = _ticks(self.rows), _ticks(self.table)
        factor, divisor = (ours // theirs, 1) if ours >= theirs else (1, theirs // ours)
        least, most = int(np.iinfo(wanted).min) * divisor, int(np.iinfo(wanted).max) * divisor
        given &= (values >= -(-least // factor)) & (values <= most // factor) & (values % divisor == 0)
        scaled = np.where(given, values, 0) // divisor * factor
        return to_arrow(scaled.astype(wanted), given)

    @property
    def _is_number(self) -> bool:
        return not (_is_text(self.rows) or pat.is_decimal(self.rows) or any(test(self.rows) for test in _BINARY))

    @property
    def _compared(self) -> pa.DataType:
        if pat.is_decimal(self.rows):
            scale = max(self.rows.scale, self.table.scale)
            return pa.decimal128(self._digits, scale) if self._digits <= 38 else pa.decimal256(self._digits, scale)
        if _is_text(self.rows):
            return pa.string() if pat.is_string(self.rows) else pa.large_string()
        return pa.large_binary()

    @property
    def _digits(self) -> int:
        """Digits of a decimal that holds every value of both types."""
        types = (self.rows, self.table)
        return max(kind.scale for kind in types) + max(kind.precision - kind.scale for kind in types)


def _of_type(array: pa.Array, kind: pa.DataType) -> pa.Array:
    return pa.nulls(len(array), kind) if pat.is_null(array.type) else array


def _integer_type(kind: pa.DataType) -> pa.DataType:
    if pat.is_boolean(kind):
        return pa.uint8()
    if pat.is_integer(kind):
        return kind
    return pa.int32() if kind.bit_width == 32 else pa.int64()


def _integers(array: pa.Array) -> pa.Array:
    """Integers, booleans, dates, times and durations as the integers that they are stored as; of booleans, 0 and 1."""
    kind = _integer_type(array.type)
    return pc.cast(array, kind) if pat.is_boolean(array.type) else array.view(kind)


def _ticks(kind: pa.DataType) -> int:
    """How many units of a type of times a day has; of integers and booleans 1."""
    if pat.is_date(kind):
        return 1 if pat.is_date32(kind) else _PER_DAY["ms"]
    return _PER_DAY[kind.unit] if pat.is_temporal(kind) else 1
