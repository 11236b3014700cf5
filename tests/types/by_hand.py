"""Parquet files byte by byte: physical and logical types that no writer at hand writes, and values that none would."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12
_PLAIN, _RLE = 0, 3
_PHYSICAL = ("BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
_CONVERTED = {"ENUM": 4, "DECIMAL": 5, "INT_8": 15, "JSON": 19, "BSON": 20, "INTERVAL": 21}
_LOGICAL = {"STRING": 1, "ENUM": 4, "DECIMAL": 5, "DATE": 6, "UNKNOWN": 11, "JSON": 12, "BSON": 13, "UUID": 14}
_LOGICAL |= {"FLOAT16": 15, "VARIANT": 16, "GEOMETRY": 17, "GEOGRAPHY": 18}

Thrift = tuple[int, Any]


@dataclass(frozen=True)
class Leaf:
    """A column: the bytes of each value as Parquet stores them, or None for a null."""

    name: str
    physical: str
    values: Sequence[bytes | None]
    length: int = 0
    logical: str = ""
    converted: str = ""
    decimal: tuple[int, int] = (0, 0)
    """Precision and scale."""


def parquet(leaves: Sequence[Leaf]) -> bytes:
    """A file of one row group, uncompressed, with plain values."""
    rows = len(leaves[0].values)
    data, chunks = b"PAR1", []
    for leaf in leaves:
        page = _page(leaf)
        kind = _PHYSICAL.index(leaf.physical)
        described = {
            1: (_I32, kind),
            2: (_LIST, (_I32, [_PLAIN, _RLE])),
            3: (_LIST, (_BINARY, [leaf.name.encode()])),
            4: (_I32, 0),
            5: (_I64, rows),
            6: (_I64, len(page)),
            7: (_I64, len(page)),
            9: (_I64, len(data)),
        }
        chunks.append({2: (_I64, len(data)), 3: (_STRUCT, described)})
        data += page
    group = {1: (_LIST, (_STRUCT, chunks)), 2: (_I64, len(data)), 3: (_I64, rows)}
    root = {4: (_BINARY, b"schema"), 5: (_I32, len(leaves))}
    metadata = {
        1: (_I32, 2),
        2: (_LIST, (_STRUCT, [root, *map(_element, leaves)])),
        3: (_I64, rows),
        4: (_LIST, (_STRUCT, [group])),
    }
    footer = _thrift(_STRUCT, metadata)
    return data + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def int96(days: int, nanoseconds: int) -> bytes:
    """A timestamp of 96 bits: days since 1970, and nanoseconds within the day."""
    return nanoseconds.to_bytes(8, "little", signed=True) + (days + 2_440_588).to_bytes(4, "little")


def _element(leaf: Leaf) -> dict[int, Thrift]:
    element: dict[int, Thrift] = {1: (_I32, _PHYSICAL.index(leaf.physical))}
    if leaf.length:
        element[2] = (_I32, leaf.length)
    element |= {3: (_I32, 1), 4: (_BINARY, leaf.name.encode())}
    if leaf.converted:
        element[6] = (_I32, _CONVERTED[leaf.converted])
    precision, scale = leaf.decimal
    if precision:
        element |= {7: (_I32, scale), 8: (_I32, precision)}
    if leaf.logical:
        inside = {1: (_I32, scale), 2: (_I32, precision)} if leaf.logical == "DECIMAL" else {}
        element[10] = (_STRUCT, {_LOGICAL[leaf.logical]: (_STRUCT, inside)})
    return element


def _page(leaf: Leaf) -> bytes:
    present = [value is not None for value in leaf.values]
    bits = sum(bit << place for place, bit in enumerate(present)).to_bytes(-(-len(present) // 8), "little")
    levels = _varint(len(bits) << 1 | 1) + bits
    body = len(levels).to_bytes(4, "little") + levels
    for value in leaf.values:
        if value is not None:
            body += (len(value).to_bytes(4, "little") if leaf.physical == "BYTE_ARRAY" else b"") + value
    head = {1: (_I32, len(present)), 2: (_I32, _PLAIN), 3: (_I32, _RLE), 4: (_I32, _RLE)}
    return _thrift(_STRUCT, {1: (_I32, 0), 2: (_I32, len(body)), 3: (_I32, len(body)), 5: (_STRUCT, head)}) + body


def _thrift(kind: int, value: Any) -> bytes:
    """A value in Thrift's compact protocol; a struct is a dict of its fields by number, in order."""
    if kind in (_I32, _I64):
        return _varint(value << 1 if value >= 0 else (-value << 1) - 1)
    if kind == _BINARY:
        return _varint(len(value)) + value
    if kind == _LIST:
        inner, items = value
        head = bytes([len(items) << 4 | inner]) if len(items) < 15 else bytes([0xF0 | inner]) + _varint(len(items))
        return head + b"".join(_thrift(inner, item) for item in items)
    data, before = b"", 0
    for number, (inner, item) in value.items():
        step = number - before
        data += (bytes([step << 4 | inner]) if step < 16 else bytes([inner]) + _thrift(_I32, number)) + _thrift(
            inner, item
        )
        before = number
    return data + b"\0"


def _varint(value: int) -> bytes:
    data = b""
    while value > 127:
        data, value = data + bytes([value & 127 | 128]), value >> 7
    return data + bytes([value])
