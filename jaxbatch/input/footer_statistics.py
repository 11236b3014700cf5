"""Column chunks as a Parquet footer describes them, read without pyarrow.

Some damaged footers make pyarrow (26.0) end the process: ``RowGroupMetaData.column`` and its statistics throw a C++
exception that nothing catches. Reading data is safe, and so is the rest of the metadata; but ``FileMetaData.schema``
and the metadata refer to each other, which keeps a footer in memory until cycles are collected.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

_PLAIN_DICTIONARY, _DELTA_BYTE_ARRAY, _RLE_DICTIONARY = 2, 7, 8

_PHYSICAL = ("BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
"""The names of Type in parquet.thrift, in the order of its numbers."""

_DECIMAL = 5
"""The number of DECIMAL in ConvertedType, and of the field for it in LogicalType."""

_REPEATED = 2
"""The number of REPEATED in FieldRepetitionType."""

_MOST_DIGITS = 76
"""Of a decimal in Arrow."""

_ONE_DICTIONARY = re.compile(rb"parquet-cpp(-arrow)? version ([0-9]+)\.")
"""Writers whose statistics of texts cover only the first of several dictionaries, in versions before 12 (apache/arrow
issue 15042)."""

_VALUE_BYTES = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 8, "FLOAT": 4, "DOUBLE": 8}
"""Of a value once it is decoded; INT96 is decoded to 64 bits."""


@dataclass(frozen=True)
class Logical:
    """What a column's stored values stand for, as far as its statistics need it."""

    kind: Literal["decimal", "text", "date", "time", ""] = ""
    """A time is a timestamp; "" is anything else, such as numbers and bytes."""
    scale: int = 0
    """Of decimals: the digits after the point."""
    unit: int = 0
    """Of dates and times: the nanoseconds that a stored 1 counts."""
    in_utc: bool = False
    """Of times: whether they are moments that are known everywhere."""
    signed: bool = True


@dataclass(frozen=True)
class Chunk:
    """One column of one row group."""

    names: tuple[str, ...]
    """The column's name, then those of the fields nested in it, down to the values."""
    physical_type: str
    length: int
    """Bytes of a FIXED_LEN_BYTE_ARRAY value, else 0."""
    logical: "Logical"
    values: int
    stored: int
    """Bytes of its pages before compression."""
    encodings: frozenset[int]
    nulls: int | None
    minimum: bytes | None
    maximum: bytes | None
    repeated: bool = False
    """Whether a row may have any number of values."""
    covers_all: bool = True
    """Whether its writer is known for statistics that cover all values."""

    @property
    def is_flat(self) -> bool:
        """Whether it is a column of its own, with one value in each row."""
        return len(self.names) == 1 and not self.repeated

    @property
    def is_decimal(self) -> bool:
        """Whether values are decimals."""
        return self.logical.kind == "decimal"

    @property
    def path(self) -> str:
        """The names joined as pyarrow expects them."""
        return ".".join(self.names)

    @property
    def value_bytes(self) -> int:
        """Bytes of a value once it is decoded; 0 for values of any length."""
        return _VALUE_BYTES.get(self.physical_type, self.length)

    @property
    def is_int96(self) -> bool:
        """Whether values are INT96 timestamps."""
        return self.physical_type == "INT96"

    @property
    def has_dictionary(self) -> bool:
        """Whether values are stored as indices into a dictionary."""
        return bool(self.encodings & {_PLAIN_DICTIONARY, _RLE_DICTIONARY})

    @property
    def is_incremental(self) -> bool:
        """Whether each text is stored without the prefix that it shares with the one before."""
        return _DELTA_BYTE_ARRAY in self.encodings

    def range(self, signed: bool = True) -> "tuple[Any, Any] | None":
        """The least and the largest value, as integers or bytes, or None where statistics do not give them.

        A least value above the largest counts as none: some writers compare unsigned numbers as signed ones.

        Args:
            signed: whether stored integers are signed.
        """
        if self.minimum is None or self.maximum is None:
            return None
        if self.physical_type == "BYTE_ARRAY":
            return (self.minimum, self.maximum) if self.minimum <= self.maximum else None
        if self.physical_type not in ("INT32", "INT64"):
            return None
        if {len(self.minimum), len(self.maximum)} != {self.value_bytes}:
            return None
        least, most = (int.from_bytes(value, "little", signed=signed) for value in (self.minimum, self.maximum))
        return (least, most) if least <= most else None


def chunks(footer: bytes) -> list[list[Chunk]]:
    """The column chunks of each row group, in the order of the schema's leaf columns.

    Raises:
        pyarrow.ArrowInvalid: the footer is damaged.
    """
    try:
        metadata = _Struct(footer).fields
        leaves = [element for element in metadata[2] if 1 in element and not element.get(5)]
        covers_all = _covers_all(metadata.get(6, b""))
        found = [[_chunk(*each, covers_all) for each in zip(group[1], leaves, strict=True)] for group in metadata[4]]
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, RecursionError, StopIteration) as error:
        raise pa.ArrowInvalid(f"its footer is damaged: {error}") from error
    return found


def _covers_all(created_by: bytes) -> bool:
    found = _ONE_DICTIONARY.match(created_by)
    return found is None or int(found[2]) >= 12


def _chunk(column: dict[int, Any], leaf: dict[int, Any], covers_all: bool) -> Chunk:
    described = column[3]
    statistics = described.get(12, {})
    found = Chunk(
        names=tuple(name.decode() for name in described[3]),
        physical_type=_PHYSICAL[described[1]],
        length=leaf.get(2, 0),
        logical=_logical(leaf),
        values=described[5],
        stored=described[6],
        encodings=frozenset(described[2]),
        nulls=statistics.get(3),
        minimum=statistics.get(6),
        maximum=statistics.get(5),
        repeated=leaf.get(3) == _REPEATED,
        covers_all=covers_all,
    )
    counts = (found.values, found.stored, 0 if found.nulls is None else found.nulls)
    bounds = (found.minimum or b"", found.maximum or b"")
    if not all(type(each) is int for each in counts) or not all(type(each) is bytes for each in bounds):
        raise TypeError("a field of another type")
    return found


_DAY = 86_400 * 10**9
_UNITS = {1: 10**6, 2: 10**3, 3: 1}
"""Nanoseconds by the numbers of TimeUnit in parquet.thrift."""


def _logical(leaf: dict[int, Any]) -> Logical:
    """By the fields LogicalType (10) and ConvertedType (6) of a column; numbers are those of parquet.thrift."""
    logical, converted = leaf.get(10, {}), leaf.get(6)
    if converted == _DECIMAL or _DECIMAL in logical:
        scale = logical.get(_DECIMAL, {}).get(1, leaf.get(7, 0))
        return Logical("decimal", scale=scale) if 0 <= scale <= _MOST_DIGITS else Logical()
    if 1 in logical or converted == 0:
        return Logical("text")
    if 6 in logical or converted == 6:
        return Logical("date", unit=_DAY)
    if 8 in logical:
        return Logical("time", unit=_UNITS[next(iter(logical[8][2]))], in_utc=logical[8][1])
    if converted in (9, 10):
        return Logical("time", unit=_UNITS[converted - 8])  # Arrow gives them no zone
    unsigned = converted in (11, 12, 13, 14) or (10 in logical and not logical[10][2])
    return Logical(signed=not unsigned)


class _Struct:
    """A struct in Thrift's compact protocol; ``fields`` maps a field's number to its value."""

    def __init__(self, data: bytes):
        self._data = data
        self._at = 0
        self.fields = self._struct()

    def _struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._number()
            kind = head & 15
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind)
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (4, 5, 6):
            return self._number()
        if kind == 8:
            return self._bytes(self._varint())
        if kind == 12:
            return self._struct()
        if kind == 9:
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            return [self._value(head & 15) for _ in range(count)]
        if kind in (1, 2, 3):
            return self._byte()
        if kind == 7:
            return self._bytes(8)
        raise ValueError(f"a value of type {kind}")

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _bytes(self, count: int) -> bytes:
        start, self._at = self._at, self._at + count
        if self._at > len(self._data):
            raise IndexError("it ends too early")
        return self._data[start : self._at]

    def _number(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift
