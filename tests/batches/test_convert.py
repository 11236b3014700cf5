"""Numbers in the type that a kernel asks for, against exact arithmetic: the nearest, or marked as not fitting."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxbatch.batches.convert import converted
from jaxbatch.columns import Column

EDGES = sorted(
    {
        sign * (2**power + step)
        for sign in (-1, 1)
        for power in (7, 8, 15, 24, 31, 32, 53, 63, 64)
        for step in (-1, 0, 1)
    }
)
NEAR_TIES = [2**60 + 2**36, 2**60 + 2**36 + 1, 2**60 + 2**36 - 1, 2**62 + 2**9 + 1, 2**24 + 1, 2**25 + 2 + 1]
"""Integers that two roundings, to float64 and then to float32, take elsewhere than one; and ties."""

WHOLE = st.sampled_from([*EDGES, *NEAR_TIES]) | st.integers(-(2**63), 2**64 - 1)
REAL = WHOLE.map(float) | st.floats(width=64)

STORED: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int8(): st.integers(-128, 127),
    pa.uint32(): st.integers(0, 2**32 - 1),
    pa.int64(): WHOLE.filter(lambda value: -(2**63) <= value < 2**63),
    pa.uint64(): WHOLE.filter(lambda value: 0 <= value < 2**64),
    pa.float16(): st.floats(width=16),
    pa.float32(): st.sampled_from([*EDGES, *NEAR_TIES]).map(lambda value: float(np.float32(value)))
    | st.floats(width=32),
    pa.float64(): REAL,
    pa.decimal128(38, 0): WHOLE.map(Decimal),
    pa.decimal128(30, 2): WHOLE.map(lambda value: Decimal(value) / 4).filter(lambda value: abs(value) < 10**27),
    pa.decimal256(76, 0): st.integers(-(10**75), 10**75).map(Decimal) | WHOLE.map(Decimal),
}


def near_half_tie(half: float, sign: int, power: int) -> Decimal:
    """A decimal at or near the middle between two neighbours of 16 bits, which two roundings take elsewhere."""
    with localcontext(prec=90):
        after = float(np.nextafter(np.float16(half), np.float16(np.inf)))
        middle = (Decimal(half) + Decimal(after)) / 2 + sign * Decimal(10) ** -power
        return middle.quantize(Decimal(10) ** -40)


STORED[pa.decimal256(76, 40)] = st.builds(
    near_half_tie, st.floats(0, 60000, width=16), st.sampled_from([-1, 0, 1]), st.integers(26, 36)
)

ASKED = ["float", "int", "int8", "uint8", "int32", "uint32", "int64", "uint64", "bool", "float16", "float32", "float64"]


def fits(value: Any, column: Column, kind: np.dtype, stored: pa.DataType) -> bool:
    if kind.kind == "f":
        if column.exact and pa.types.is_integer(stored):
            return abs(value) <= 2**53
        return column.dtype == "float" or not math.isfinite(value) or abs(Fraction(value)) < above(kind)
    if not math.isfinite(value) or value != int(value):
        return False
    low, high = (0, 1) if kind.kind == "b" else (int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    return low <= value <= high


def above(kind: np.dtype) -> Fraction:
    """The least number that is rounded to infinity."""
    bits, largest = np.finfo(kind).nmant + 1, Fraction(float(np.finfo(kind).max))
    return largest * (1 + Fraction(1, 2 * (2**bits - 1)))


def is_nearest(found: Any, value: Any, kind: np.dtype) -> bool:
    """Whether no other number of a float's type is nearer to a value, and of two as near that this is the even one."""
    if not math.isfinite(value):
        return math.isnan(found) if math.isnan(value) else float(found) == value
    exact = Fraction(value)
    if np.isinf(found):
        return (exact > 0) == (found > 0) and abs(exact) >= above(kind)
    distance = abs(Fraction(float(found)) - exact)
    for to in (-np.inf, np.inf):
        neighbour = np.nextafter(found, kind.type(to))
        other = abs(Fraction(float(neighbour)) - exact) if np.isfinite(neighbour) else math.inf
        if other < distance or (other == distance and distance and int(found.view(f"u{kind.itemsize}")) % 2):
            return False
    return True


@settings(deadline=None, max_examples=300)
@given(st.data(), st.sampled_from(list(STORED)), st.sampled_from(ASKED), st.booleans(), st.booleans())
def test_every_number_is_the_nearest_or_does_not_fit(data, stored, asked, narrow, exact):
    values = data.draw(st.lists(st.none() | STORED[stored], max_size=6))
    column = Column("x", asked, exact=exact and asked == "float")
    kind = column.numpy_type("float32" if narrow else "float64", x64=False)
    found, fitting = converted(pa.array(values, stored), column, kind)
    assert found.dtype == kind
    fitting = np.ones(len(values), bool) if fitting is None else fitting
    for value, number, fit in zip(values, found, fitting, strict=True):
        if value is None:
            assert (number, fit) == (0, True)
            continue
        assert fit == fits(value, column, kind, stored), (value, stored, asked)
        if fit:
            assert is_nearest(number, value, kind) if kind.kind == "f" else number == value, (value, stored, asked)


@pytest.mark.parametrize(
    ("asked", "precision", "x64", "kind"),
    [
        *[("int", "float64", False, "int64"), ("int", "float32", False, "int32"), ("int", "float32", True, "int64")],
        *[("float", "float32", True, "float32"), ("float64", "float32", True, "float64")],
        *[("float64", "float32", False, "float32"), ("uint64", "float32", False, "uint32")],
        *[("int64", "float64", False, "int64"), ("int8", "float32", False, "int8"), ("bool", "float32", False, "bool")],
    ],
)
def test_the_type_that_a_row_function_sees(asked, precision, x64, kind):
    assert Column("x", asked).numpy_type(precision, x64=x64) == kind
