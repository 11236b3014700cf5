"""Conditions made of any pieces are refused with a message, or choose rows: never a traceback."""

import random
import time

import numpy as np
import pyarrow as pa
import pytest

from jaxbatch.input.where import WhereError, parse

SECONDS = 60
PIECES = [
    "x",
    "i",
    "s",
    "d",
    "t",
    "z",
    "flag",
    "c",
    "n",
    "nothing",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    ":",
    ";",
    "=",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "+",
    "-",
    "*",
    "/",
    "**",
    "//",
    "%",
    "&",
    "|",
    "^",
    "~",
    "@",
    "and",
    "or",
    "not",
    "in",
    "is",
    "None",
    "True",
    "False",
    "if",
    "else",
    "lambda",
    "for",
    "0",
    "1",
    "-1",
    "1.5",
    "1e400",
    "1j",
    "0x1F",
    "1_000",
    "10**400",
    "99999999999999999999",
    "nan",
    "'a'",
    '"b"',
    "'ä'",
    "'\\x00'",
    "'\\'",
    "b'a'",
    "f'{x}'",
    "date(",
    "datetime(",
    "col(",
    "date('2026-01-01')",
    "datetime(2026,1,1)",
    "datetime('2026-01-01T00:00Z')",
    "col('x')",
    "col('no",
    "such')",
    "__import__('os')",
    "x.y",
    "x[0]",
    "(1,)",
    "(1,2,3,4,5,6,7,8,9)",
    "('a',2,3,4,5,6,7,8,9)",
    "datetime('0001-01-01T00:00+05:00')",
    "\n",
    "\t",
    "#",
    "\\",
    "\x00",
    "…",
    "𝕏",
    "'unended",
]
TABLE = pa.table(
    {
        "x": pa.array([1.0, np.nan, None]),
        "i": pa.array([1, 2**63 - 1, None]),
        "s": pa.array(["a", "", None]),
        "d": pa.array([0, 1, None], pa.date32()),
        "t": pa.array([0, 1, None], pa.timestamp("ns")),
        "z": pa.array([0, 1, None], pa.timestamp("s", "UTC")),
        "flag": pa.array([True, False, None]),
        "c": pa.array([1, 2, None], pa.decimal128(38, 10)),
        "n": pa.nulls(3),
        "list": pa.array([[1], [], None]),
    }
)


@pytest.mark.faults
def test_any_text_is_refused_or_right():
    rng = random.Random(25)
    started, refused, chosen = time.monotonic(), 0, 0
    while time.monotonic() - started < SECONDS:
        text = rng.choice((" ", "")).join(rng.choices(PIECES, k=rng.randint(1, 9)))
        try:
            condition = parse(text)
            assert str(condition)
            condition.excludes({"i": 1, "s": "a", "x": None})  # as listing asks, before kinds are checked
            condition.check(TABLE.schema)
        except WhereError:
            refused += 1
            continue
        mask = condition.mask(TABLE)
        assert mask.shape == (3,)
        assert mask.dtype == bool
        chosen += 1
    assert refused > 1000
    assert chosen > 50
