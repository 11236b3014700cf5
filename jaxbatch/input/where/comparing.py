"""Two operands compared, each pair of kinds in its own exact way."""

import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

from jaxbatch.input import arrow_compute as pc
from jaxbatch.input.arrow_arrays import to_texts
from jaxbatch.input.where.nodes import Comparison, Instant
from jaxbatch.input.where.operands import (
    Constant,
    Decimals,
    Null,
    Numbers,
    Operand,
    Texts,
    Times,
    as_decimal,
    decimals_of,
    null_of,
    truth_of,
)
from jaxbatch.input.where.ordering import (
    COMPARE,
    MIRRORED,
    compare_in_units,
    compare_integers_with_floats,
    compare_with_floor,
    floor_in_floats,
    floor_in_integers,
)
from jaxbatch.input.where.truth import Truth, unless_null

_ARROW: Mapping[Comparison, str] = {
    "==": "equal",
    "!=": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}

_PYTHON: Mapping[Comparison, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

NULL = Truth(np.False_, np.True_)  # type: ignore[arg-type]
"""Null in every row."""


def compare(comparison: Comparison, left: Operand, right: Operand) -> Truth:
    """``left`` compared with ``right``, whose kinds can be compared; null where one of them is."""
    if isinstance(left, Null) or isinstance(right, Null):
        return NULL
    if isinstance(left, Constant) and isinstance(right, Constant):
        return Truth(np.bool_(compare_constants(comparison, left, right)))  # type: ignore[arg-type]
    if isinstance(left, Constant):
        return compare(MIRRORED[comparison], right, left)
    if isinstance(right, Constant):
        return _with_constant(comparison, left, right)
    if isinstance(left, Truth) and isinstance(right, Truth):
        same = left.equals(right)
        return same if comparison == "==" else ~same
    if isinstance(left, Texts) and isinstance(right, Texts):
        return _arrow(comparison, *_alike(left.array, right.array))
    if isinstance(left, Times) and isinstance(right, Times):
        found = compare_in_units(comparison, left.values, left.unit, right.values, right.unit)
        return unless_null(found, left.null, right.null)
    assert isinstance(left, Numbers | Decimals)
    assert isinstance(right, Numbers | Decimals)
    return _numbers(comparison, left, right)


def compare_constants(comparison: Comparison, left: Any, right: Any) -> bool:
    """Two values that the expression gives, compared."""
    if isinstance(left, Instant) and isinstance(right, Instant):
        left, right = left.nanoseconds, right.nanoseconds
    return _PYTHON[comparison](left, right)


def exact_decimal(value: int | float) -> Fraction:
    """A finite literal as it is written, for comparison with decimals: 0.1 is a tenth."""
    return Fraction(value) if isinstance(value, int) else Fraction(repr(value))


def _with_constant(comparison: Comparison, column: Operand, value: Constant) -> Truth:
    if isinstance(column, Truth):
        return (column if value else ~column) if comparison == "==" else (~column if value else column)
    if isinstance(column, Texts):
        return _arrow(comparison, *_alike(column.array, to_texts([value])[0]))  # type: ignore[list-item]
    if isinstance(column, Times):
        assert isinstance(value, Instant)
        floor = floor_in_integers(value.nanoseconds, column.unit, *_ends(column.values.dtype))
        return unless_null(compare_with_floor(comparison, column.values, floor), column.null)
    assert isinstance(value, int | float)
    if isinstance(column, Decimals):
        return _decimals_with(comparison, column.array, value)
    assert isinstance(column, Numbers)
    if np.isnan(value) if isinstance(value, float) else False:
        return unless_null(np.full(np.shape(column.values), comparison == "!="), column.null)
    kind = column.values.dtype
    floor = floor_in_floats(value) if kind.kind == "f" else floor_in_integers(value, 1, *_ends(kind))
    return unless_null(compare_with_floor(comparison, column.values, floor), column.null)


def _ends(kind: np.dtype) -> tuple[int, int]:
    return int(np.iinfo(kind).min), int(np.iinfo(kind).max)


def _decimals_with(comparison: Comparison, array: pa.Array, value: int | float) -> Truth:
    most = 10**array.type.precision - 1
    if isinstance(value, float) and not np.isfinite(value):
        above = value > 0
        holds = comparison == "!=" or comparison in (("<", "<=") if above else (">", ">=") if value < 0 else ())
        return unless_null(np.full(len(array), holds), null_of(array))
    scaled = exact_decimal(value) * Fraction(10) ** array.type.scale
    floor, exact = scaled.numerator // scaled.denominator, scaled.denominator == 1
    if not -most <= floor <= most:
        holds = comparison == "!=" or comparison in (("<", "<=") if floor > 0 else (">", ">="))
        return unless_null(np.full(len(array), holds), null_of(array))
    if exact:
        return _arrow(comparison, array, as_decimal(floor, array.type))
    if comparison in ("==", "!="):
        return unless_null(np.full(len(array), comparison == "!="), null_of(array))
    return _arrow("<=" if comparison in ("<", "<=") else ">", array, as_decimal(floor, array.type))


def _numbers(comparison: Comparison, left: "Numbers | Decimals", right: "Numbers | Decimals") -> Truth:
    if isinstance(left, Decimals) or isinstance(right, Decimals):
        one, other = decimals_of(left), decimals_of(right)
        if one is not None and other is not None:
            return _decimals(comparison, one, other)
        left, right = left.floats, right.floats
    kinds = left.values.dtype.kind == "f", right.values.dtype.kind == "f"
    if kinds == (False, True):
        found = compare_integers_with_floats(comparison, left.values, right.values)
    elif kinds == (True, False):
        found = compare_integers_with_floats(MIRRORED[comparison], right.values, left.values)
    else:
        found = COMPARE[comparison](left.values, right.values)
    return unless_null(found, left.null, right.null)


def _decimals(comparison: Comparison, left: pa.Array, right: pa.Array) -> Truth:
    """Decimals compared in the narrowest type that holds both columns' digits; one by one where none does."""
    scale = max(left.type.scale, right.type.scale)
    digits = scale + max(left.type.precision - left.type.scale, right.type.precision - right.type.scale)
    if digits <= 76:
        wide = pa.decimal128(digits, scale) if digits <= 38 else pa.decimal256(digits, scale)
        return _arrow(comparison, left.cast(wide), right.cast(wide))
    pairs = zip(left.to_pylist(), right.to_pylist(), strict=True)
    found = [None if None in pair else _PYTHON[comparison](*pair) for pair in pairs]
    return truth_of(pa.array(found, pa.bool_()))


def _alike(left: pa.Array, right: Any) -> tuple[pa.Array, Any]:
    if left.type == right.type:
        return left, right
    return left.cast(pa.large_string()), right.cast(pa.large_string())


def _arrow(comparison: Comparison, left: pa.Array, right: Any) -> Truth:
    return truth_of(getattr(pc, _ARROW[comparison])(left, right))
