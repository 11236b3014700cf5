"""What types are supported: one row a type, with values at its ends, and what becomes of them.

The tests of this folder are made of these rows, and so is docs/types.md (``python -m tests.types.page``).
"""

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from tests.types.by_hand import Leaf, int96

EXACT = "exact"
ROUNDED = "rounded"
"""To the nearest number of the run's precision, once."""

NO_NUMBER = "is {type}, but numbers are needed"
NO_KEY = "is {type}, which cannot be a group key"
EXTENSION = "has an extension type, which is refused"

AS_BOOL = "exact"
INVALID_BEYOND = "beyond ±2⁵³ invalid_input, unless [params] integers names the argument"


@dataclass(frozen=True)
class Row:
    """A type, and for each use ``EXACT``, ``ROUNDED``, or the message with which it is refused."""

    name: str
    values: pa.Array
    shown: str
    """The values, for people."""
    kept: str = EXACT
    key: str = EXACT
    argument: str = NO_NUMBER
    apply: str = ""
    """As an argument of ``apply``, where it differs."""
    read_as: pa.DataType | None = None
    """The type that comes back, where it is another."""

    @property
    def kind(self) -> pa.DataType:
        """The type as it is written."""
        return self.values.type


def row(name: str, kind: pa.DataType, values: Sequence[Any], shown: str, **cells: Any) -> Row:
    """A row of values as Python has them, and a null."""
    return Row(name, pa.array([*values, None], kind), shown, **cells)


def counted(name: str, kind: pa.DataType, values: Sequence[int], shown: str, **cells: Any) -> Row:
    """A row of values as whole numbers of the type's unit, and a null: beyond what Python's own types hold."""
    storage = pa.int32() if kind.bit_width == 32 else pa.int64()
    return Row(name, pa.array([*values, None], storage).cast(kind), shown, **cells)


def bits(name: str, kind: type[np.floating], values: Sequence[int], shown: str, **cells: Any) -> Row:
    """A row of floats by their bits, and a null."""
    width = f"u{np.dtype(kind).itemsize}"
    floats = np.array([*values, 0], width).view(kind)
    return Row(name, pa.array(floats, mask=np.arange(len(floats)) == len(values)), shown, **cells)


NUMBERS = {"argument": EXACT}
FLOATS = {"argument": EXACT, "key": NO_KEY}
DECIMALS = {"argument": ROUNDED}
WIDE = {"argument": ROUNDED, "apply": INVALID_BEYOND}
BOTH = (-(2**63), 2**63 - 1, 0)
ODD = 2**54 + 2**30 + 1
"""Which float32 rounds up, but down if it is rounded to float64 first."""
TEXTS = ["", "a\0b", "ü🎈\U0010ffff", "x" * 300]
BYTES = [b"", b"\0\xff\xfe", b"x" * 300]
NINES = "9" * 76

FLAT = [
    row("bool", pa.bool_(), [True, False], "true, false", apply=AS_BOOL),
    row("int8", pa.int8(), [-128, 127], "−2⁷, 2⁷−1", **NUMBERS),
    row("int16", pa.int16(), [-(2**15), 2**15 - 1], "−2¹⁵, 2¹⁵−1", **NUMBERS),
    row("int32", pa.int32(), [-(2**31), 2**31 - 1, 2**24 + 1], "−2³¹, 2³¹−1, 2²⁴+1", **NUMBERS),
    row("int64", pa.int64(), [*BOTH, 2**53 + 1, ODD], "−2⁶³, 2⁶³−1, 2⁵³+1", **WIDE),
    row("uint8", pa.uint8(), [0, 255], "0, 2⁸−1", **NUMBERS),
    row("uint16", pa.uint16(), [0, 2**16 - 1], "0, 2¹⁶−1", **NUMBERS),
    row("uint32", pa.uint32(), [0, 2**32 - 1, 2**31 + 129], "0, 2³²−1", **NUMBERS),
    row("uint64", pa.uint64(), [0, 2**64 - 1, 2**63 + 1025, ODD], "0, 2⁶⁴−1", **WIDE),
    bits("float16", np.float16, [1, 0x8000, 0xFBFF, 0x7E01, 0xFC00], "the least, −0, the largest, NaN, −∞", **FLOATS),
    bits(
        "float32",
        np.float32,
        [1, 1 << 31, 0x7F7FFFFF, 0x7FC00001, 0xFFC12345, 0x7F800000],
        "the least (subnormal), −0, the largest, NaNs with a payload, ∞",
        **FLOATS,
    ),
    bits(
        "float64",
        np.float64,
        [1, 1 << 63, 0x7FEFFFFFFFFFFFFF, 0x7FF8000000000001, 0xFFF0000000000000, 0x3FF0000010000001],
        "the least (subnormal), −0, the largest, NaN with a payload, −∞",
        **FLOATS,
    ),
    row("decimal32", pa.decimal32(9, 2), [Decimal("9999999.99"), Decimal("-0.01")], "9 nines, −0.01", **DECIMALS),
    row("decimal64", pa.decimal64(18, 0), [Decimal(10**18 - 1), Decimal(ODD)], "18 nines", **DECIMALS),
    row(
        "decimal128",
        pa.decimal128(38, 20),
        [Decimal(f"-{NINES[:18]}.{NINES[:20]}"), Decimal("9007199254740993.00000000000000000001")],
        "38 nines, 2⁵³+1+10⁻²⁰",
        **DECIMALS,
    ),
    row(
        "decimal256", pa.decimal256(76, 0), [Decimal(NINES), Decimal(f"-{NINES}"), Decimal(ODD)], "76 nines", **DECIMALS
    ),
    row("string", pa.string(), TEXTS, "empty, with NUL, beyond 16 bits"),
    row("large_string", pa.large_string(), TEXTS, "the same"),
    row("string_view", pa.string_view(), TEXTS, "the same", key=NO_KEY),
    row("binary", pa.binary(), BYTES, "empty, no UTF-8"),
    row("large_binary", pa.large_binary(), BYTES, "the same"),
    row("binary_view", pa.binary_view(), BYTES, "the same", key=NO_KEY),
    row("fixed_size_binary", pa.binary(3), [b"\0\xff\x80", b"abc"], "no UTF-8"),
    counted("date32", pa.date32(), [-(2**31), 2**31 - 1], "days −2³¹, 2³¹−1"),
    counted(
        "date64",
        pa.date64(),
        [-719_162 * 86_400_000, 2_932_896 * 86_400_000],
        "0001-01-01, 9999-12-31",
        read_as=pa.date32(),
    ),
    counted("time32[s]", pa.time32("s"), [0, 86_399], "00:00:00, 23:59:59", read_as=pa.time32("ms")),
    counted("time32[ms]", pa.time32("ms"), [0, 86_399_999], "to 23:59:59.999"),
    counted("time64[us]", pa.time64("us"), [0, 86_399_999_999], "to 23:59:59.999999"),
    counted("time64[ns]", pa.time64("ns"), [0, 86_399_999_999_999], "to 23:59:59.999999999"),
    counted("timestamp[s]", pa.timestamp("s"), [-(2**53), 2**53], "±2⁵³", read_as=pa.timestamp("ms")),
    counted("timestamp[ms]", pa.timestamp("ms"), BOTH, "−2⁶³, 2⁶³−1"),
    counted("timestamp[us]", pa.timestamp("us"), BOTH, "−2⁶³, 2⁶³−1"),
    counted("timestamp[ns]", pa.timestamp("ns"), BOTH, "−2⁶³, 2⁶³−1"),
    counted("timestamp with a zone", pa.timestamp("us", "Asia/Kathmandu"), BOTH, "−2⁶³, 2⁶³−1 in Asia/Kathmandu"),
    counted("timestamp with an offset", pa.timestamp("ns", "-03:30"), BOTH, "−2⁶³, 2⁶³−1 at −03:30"),
    counted("duration[s]", pa.duration("s"), BOTH, "−2⁶³, 2⁶³−1"),
    counted("duration[ms]", pa.duration("ms"), BOTH, "−2⁶³, 2⁶³−1"),
    counted("duration[us]", pa.duration("us"), BOTH, "−2⁶³, 2⁶³−1"),
    counted("duration[ns]", pa.duration("ns"), BOTH, "−2⁶³, 2⁶³−1"),
    row("null", pa.null(), [], "null", key=NO_KEY),
]
"""What is not nested; the last value of each is null."""

FAR = datetime.datetime(9999, 12, 31)
PAIR = pa.struct([("a", pa.int64()), ("b", pa.string())])
_NESTED: list[tuple[str, pa.DataType, list[Any], str]] = [
    ("list", pa.list_(pa.uint64()), [[2**64 - 1, None], []], "[2⁶⁴−1, null], []"),
    ("large_list", pa.large_list(pa.string()), [["ü", None], []], "[ü, null], []"),
    ("fixed_size_list", pa.list_(pa.float64(), 2), [[-0.0, None], [1.0, 5e-324]], "[−0, null], [1, 2⁻¹⁰⁷⁴]"),
    ("list_view", pa.list_view(pa.int64()), [[-(2**63), None], []], "[−2⁶³, null], []"),
    ("list of lists", pa.list_(pa.list_(pa.float32(), 2)), [[[1.0, None], None], []], "[[1, null], null], []"),
    ("struct", PAIR, [{"a": 2**63 - 1, "b": ""}, {"a": None, "b": None}], "{2⁶³−1, empty}, {null, null}"),
    ("map", pa.map_(pa.string(), pa.int64()), [[("a", -(2**63)), ("b", None)], []], "{a: −2⁶³, b: null}, {}"),
    ("list of struct of map", pa.list_(pa.struct([("m", pa.map_(pa.timestamp("us"), PAIR))])),
     [[{"m": [(FAR, {"a": 1, "b": "x"})]}, None]], "[{{9999-12-31: {1, x}}}, null]"),
]  # fmt: skip
NESTED = [row(*each, key=NO_KEY) for each in _NESTED]
"""What is kept where [input] keep names it; lists of numbers are arguments too, as their numbers are."""

LISTS = {"list": pa.list_, "large_list": pa.large_list, "fixed_size_list": lambda kind: pa.list_(kind, 1)}
"""The lists that can be arguments, of one length."""

NO_LIST = {"list_view": pa.list_view(pa.float64()), "struct": PAIR, "map": pa.map_(pa.string(), pa.float64())}
"""The nested types that cannot: NO_NUMBER."""


def _extension(kind: Any, values: list[Any]) -> pa.Array:
    return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))


REFUSED = {
    "arrow.uuid": _extension(pa.uuid(), [uuid.UUID(int=1).bytes, None]),
    "arrow.json": _extension(pa.json_(), ['{"a": 1}', None]),
    "arrow.bool8": _extension(pa.bool8(), [1, None]),
    "arrow.fixed_shape_tensor": _extension(pa.fixed_shape_tensor(pa.int32(), [2]), [[1, 2], [3, 4]]),
    "list of arrow.uuid": pa.ListArray.from_arrays([0, 2], _extension(pa.uuid(), [uuid.UUID(int=1).bytes, None])),
}
"""Extension types: the whole file is, whether the column is used or not (EXTENSION)."""

UNSTORABLE = {
    "interval (month_day_nano)": pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
    "run_end_encoded": pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array([1])),
    "union": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
}
"""What Parquet files do not hold, by pyarrow's word."""

_WORDS = [b"\1\0\0\0", None, b"\0\0\0\x80"]
_NINES = [(10**9 - 1).to_bytes(4, "little"), None, b"\xff" * 4]
_DOCUMENT = b"\5\0\0\0\0"
PARQUET: list[tuple[Leaf, pa.Array | str, str]] = [
    (Leaf("ENUM", "BYTE_ARRAY", [b"A", None, b""], logical="ENUM"), pa.array([b"A", None, b""]), "binary"),
    (Leaf("BSON", "BYTE_ARRAY", [_DOCUMENT, None, b""], logical="BSON"), pa.array([_DOCUMENT, None, b""]), "binary"),
    (Leaf("JSON", "BYTE_ARRAY", [b"{}", None, b"1"], logical="JSON"), EXTENSION, ""),
    (Leaf("UUID", "FIXED_LEN_BYTE_ARRAY", [b"u" * 16, None, b"v" * 16], 16, "UUID"), EXTENSION, ""),
    (Leaf("FLOAT16", "FIXED_LEN_BYTE_ARRAY", [b"\1\0", None, b"\0\xfc"], 2, "FLOAT16"),
     pa.array(np.array([1, 0, 0xFC00], np.uint16).view(np.float16), mask=np.arange(3) == 1), "float16"),
    (Leaf("INTERVAL", "FIXED_LEN_BYTE_ARRAY", [b"\xff" * 12, None, b"\0" * 12], 12, converted="INTERVAL"),
     pa.array([b"\xff" * 12, None, b"\0" * 12], pa.binary(12)), "fixed_size_binary"),
    (Leaf("UNKNOWN", "INT32", [None] * 3, logical="UNKNOWN"), pa.nulls(3), "null"),
    (Leaf("GEOMETRY", "BYTE_ARRAY", [b"\1", None, b""], logical="GEOMETRY"), pa.array([b"\1", None, b""]), "binary"),
    (Leaf("STRING that is no UTF-8", "BYTE_ARRAY", [b"\xff", None, b"a"], logical="STRING"),
     pa.array([b"\xff", None, b"a"]).view(pa.string()), "string"),
    (Leaf("DATE", "INT32", _WORDS, logical="DATE"), pa.array([1, None, -(2**31)], pa.int32()).cast(pa.date32()),
     "date32"),
    (Leaf("DECIMAL in INT32", "INT32", _NINES, 0, "DECIMAL", "DECIMAL", (9, 2)),
     pa.array([Decimal("9999999.99"), None, Decimal("-0.01")], pa.decimal128(9, 2)), "decimal128"),
    (Leaf("DECIMAL in BYTE_ARRAY", "BYTE_ARRAY", [b"\x7f\xff", None, b"\xff" * 9], 0, "DECIMAL", "DECIMAL", (30, 2)),
     pa.array([Decimal("327.67"), None, Decimal("-0.01")], pa.decimal128(30, 2)), "decimal128"),
    (Leaf("INT96", "INT96", [int96(2_932_896, 0), None, int96(-719_162, 1_000)]),
     pa.array([FAR, None, datetime.datetime(1, 1, 1, 0, 0, 0, 1)], pa.timestamp("us")), "timestamp[us]"),
    (Leaf("INT96 of a nanosecond", "INT96", [int96(0, 0), None, int96(0, 1)]),
     "holds the INT96 timestamp 1970-01-01T00:00:00.000000001, which timestamp[us] cannot hold", ""),
]  # fmt: skip
"""Columns as other writers store them: what is kept of each, or the message; and the type that it has with us."""

HIVE: list[tuple[str, str | int | None]] = [
    ("7", 7),
    ("-1", -1),
    ("0", 0),
    ("999999999999999999", 10**18 - 1),
    ("-999999999999999999", 1 - 10**18),
    ("1000000000000000000", 10**18),
    ("-9223372036854775808", -(2**63)),
    ("9223372036854775808", "9223372036854775808"),
    ("007", "007"),
    ("-0", "-0"),
    ("+5", "+5"),
    ("1e5", "1e5"),
    ("1.0", "1.0"),
    ("1_000", "1_000"),
    ("1\N{ARABIC-INDIC DIGIT THREE}", "1\N{ARABIC-INDIC DIGIT THREE}"),
    ("true", "true"),
    ("2026-11-28", "2026-11-28"),
    ("", ""),
    ("ü🎈", "ü🎈"),
    ("a=b", "a=b"),
    ("a+b", "a+b"),
    ("a%20b%2Fc%3D%C3%BC", "a b/c=ü"),
    ("100%", "100%"),
    ("__HIVE_DEFAULT_PARTITION__", None),
]
"""Folders k=… and the value of the column: an integer where all values of a key are whole numbers, else text."""

HIVE_REFUSED = {"%FF": "key=value folder whose %XX are not UTF-8"}

RESULTS = ["bool", *(f"{sign}int{width}" for sign in ("", "u") for width in (8, 16, 32, 64))]
RESULTS += ["float16", "float32", "float64"]
"""The types of JAX that a result may have: each is written as it is, lists of them too."""

RESULTS_REFUSED = ["bfloat16", "complex64", "complex128", "int4", "uint4", "float8_e5m2", "float8_e4m3fn"]
"""Those that Parquet has no type for."""
