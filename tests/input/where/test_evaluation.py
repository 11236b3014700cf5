"""Where the rules of Python, SQL and IEEE decide, and comparisons that rounding would get wrong."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxbatch.input.where import parse
from jaxbatch.input.where.nodes import Comparison
from jaxbatch.input.where.ordering import COMPARE

BIG = 2**53 + 1


def passing(condition: str, values: Sequence[object], kind: pa.DataType) -> list[int]:
    """The numbers of the rows in which ``x`` passes."""
    table = pa.table({"x": pa.array(values, kind)})
    found = parse(condition)
    found.check(table.schema)
    return np.flatnonzero(found.mask(table)).tolist()


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("x == x", [0, 2]),
        ("x != x", [1]),
        ("x > 0", [0]),
        ("not x > 0", [1, 2]),
        ("x in (1, -1)", [0, 2]),
        ("x not in (1, 2)", [1, 2]),
        ("x is None", [3]),
        ("x + 1 is None", [3]),
        ("not (x > 0 or x is None)", [1, 2]),
        ("x > 0 or True", [0, 1, 2, 3]),
        ("x > 0 and False", []),
        ("x not in ()", [0, 1, 2, 3]),
        ("x not in (5, None)", []),
        ("x / 0 > 1e308", [0]),
    ],
)
def test_nan_compares_as_in_ieee_and_null_as_in_sql(condition, rows):
    assert passing(condition, [1.0, np.nan, -1.0, None], pa.float64()) == rows


@pytest.mark.parametrize(
    ("condition", "values", "kind", "rows"),
    [
        (f"x == {BIG}", [BIG - 1, BIG, BIG + 1], pa.int64(), [1]),
        (f"x == {float(BIG)}", [BIG - 1, BIG, BIG + 1], pa.int64(), [0]),
        (f"x < {2**64}", [0, 2**64 - 1], pa.uint64(), [0, 1]),
        (f"x > {-(2**70)}", [-(2**63), 0], pa.int64(), [0, 1]),
        ("x > 2.5", [2, 3], pa.int8(), [1]),
        ("x >= -2.5", [-3, -2], pa.int8(), [1]),
        ("x != 2.5", [2, None], pa.int8(), [0]),
        (f"x < {BIG}", [2.0**53, 2.0**53 + 2], pa.float64(), [0]),
        (f"x == {BIG}", [2.0**53, 2.0**53 + 2], pa.float64(), []),
        (f"x > {10**400}", [np.inf, 1e308], pa.float64(), [0]),
        ("x == 0.1", [0.1], pa.float32(), []),
        ("x == 0.25", [0.25], pa.float16(), [0]),
        ("x == 0.1", [Decimal("0.10"), Decimal("0.11")], pa.decimal128(5, 2), [0]),
        ("x > 0.105", [Decimal("0.10"), Decimal("0.11")], pa.decimal32(5, 2), [1]),
        ("x == 12345678901234567.89", [Decimal("12345678901234567.89")], pa.decimal128(20, 2), []),
        ("x < 1e9", [Decimal("9.99"), None], pa.decimal64(3, 2), [0]),
        ("x in (1, 2, 3, 4, 5, 6, 7, 0.0, -0.0)", [0.0, -0.0, 3.0, 9.0, None], pa.float64(), [0, 1, 2]),
        ("x not in (1, 2, 3, 4, 5, 6, 7, 8.5)", [8, 3, None], pa.int16(), [0]),
    ],
)
def test_numbers_compare_exactly(condition, values, kind, rows):
    assert passing(condition, values, kind) == rows


@pytest.mark.parametrize(
    ("condition", "kind", "rows"),
    [
        ("x == datetime(2026, 3, 1, 12)", pa.timestamp("s"), [1]),
        ("x > datetime('2026-03-01T11:59:59.999999999')", pa.timestamp("ms"), [1, 2]),
        ("x < datetime('2026-03-01T12:00:00.000000001')", pa.timestamp("ns"), [0, 1]),
        ("x >= date(2026, 3, 2)", pa.timestamp("us"), [2]),
        ("x in (date(2026, 3, 2), datetime(2026, 3, 1, 12))", pa.timestamp("us"), [1, 2]),
    ],
)
def test_times_compare_in_any_unit(condition, kind, rows):
    times = [dt.datetime(2026, 2, 28), dt.datetime(2026, 3, 1, 12), dt.datetime(2026, 3, 2), None]
    assert passing(condition, times, kind) == rows


def test_dates_compare_with_times_as_their_midnights():
    days = [dt.date(2026, 2, 28), dt.date(2026, 3, 1), dt.date(1969, 12, 31)]
    for kind in (pa.date32(), pa.date64()):
        assert passing("x > datetime(2026, 2, 28, 0, 0, 0, 1)", days, kind) == [1]
        assert passing("x < date(1970, 1, 1)", days, kind) == [2]


def test_times_with_a_zone_are_moments():
    noon = dt.datetime(2026, 3, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    kind = pa.timestamp("ms", "Europe/Vienna")
    assert passing("x == datetime('2026-03-01T11:00:00+00:00')", [noon], kind) == [0]
    assert passing("x == datetime('2026-03-01T06:00:00-05:00')", [noon], kind) == [0]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_texts_compare_by_code_points_whatever_their_storage(kind):
    texts = ["", "Z", "a", "ä", "\U0001f600", None]
    assert passing("x > 'Z'", texts, kind) == [2, 3, 4]
    assert passing("x in ('a', 'ä', '1', '2', '3', '4', '5', '6')", texts, kind) == [2, 3]
    assert passing("x != '' and x < 'a'", texts, kind) == [1]


NUMBERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=True) | NUMBERS.map(float)


@settings(max_examples=200, deadline=None)
@given(left=st.lists(NUMBERS, min_size=1, max_size=5), right=FLOATS, sign=st.sampled_from(list(COMPARE)))
def test_integers_and_floats_compare_as_python_compares_them(left: list[int], right: float, sign: Comparison):
    table = pa.table({"i": pa.array(left, pa.int64()), "x": pa.array([right] * len(left), pa.float64())})
    python = [bool(COMPARE[sign](Fraction(each) if np.isfinite(right) else each, _exact(right))) for each in left]
    assert parse(f"i {sign} x").mask(table).tolist() == python
    turned = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(sign, sign)
    assert parse(f"x {turned} i").mask(table).tolist() == python


def _exact(number: float) -> object:
    return Fraction(number) if np.isfinite(number) else number


@settings(max_examples=100, deadline=None)
@given(
    left=st.lists(st.decimals(-99, 99, places=2), min_size=1, max_size=5),
    right=st.decimals(-99, 99, places=3) | st.integers(-99, 99),
    sign=st.sampled_from(list(COMPARE)),
)
def test_decimals_compare_with_what_is_written(left, right, sign):
    table = pa.table({"d": pa.array(left, pa.decimal128(4, 2))})
    assert parse(f"d {sign} {right}").mask(table).tolist() == [bool(COMPARE[sign](each, right)) for each in left]
