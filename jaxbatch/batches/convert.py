"""Numbers in the type that a kernel asks for: each becomes the nearest one, or is marked as not fitting."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa

from jaxbatch.columns import EXACT, Column
from jaxbatch.input import arrow_compute as pc
from jaxbatch.input.arrow_arrays import to_numpy

_WHOLE = pa.decimal256(76, 0)
"""Holds every integer that a decimal or 64 bits can hold."""

Fitted = tuple[np.ndarray, "np.ndarray | None"]
"""Values, and booleans of which fit, None if all do. A value that does not fit is replaced by any number."""


def converted(array: pa.Array, column: Column, kind: np.dtype) -> Fitted:
    """Arrow numbers or booleans as NumPy values of a column, each rounded only once.

    Args:
        array: of integers, floats, decimals or booleans; a null becomes 0, which fits.
        column: the kernel's input.
        kind: the type of the result.
    """
    if not pa.types.is_decimal(array.type):
        return fitted(to_numpy(array), column, kind)
    if kind.kind != "f":
        return _from_decimals(array, column, kind)
    # Arrow parses a text to the nearest float, but does not cast a decimal to it; 16 bits it does not parse so either.
    values = (
        _halves(array) if kind == np.float16 else to_numpy(pc.cast(array.cast(pa.string()), pa.from_numpy_dtype(kind)))
    )
    return values, None if column.dtype == "float" else _which(np.isfinite(values))


def fitted(values: np.ndarray, column: Column, kind: np.dtype) -> Fitted:
    """NumPy numbers or booleans as values of a column, each rounded only once.

    Args:
        values: integers, floats or booleans of any shape.
        column: the kernel's input.
        kind: the type of the result.
    """
    integers, bounds = values.dtype.kind in "iu", limits(column, kind)
    if values.dtype.kind == "f" and kind.kind != "f":
        values = values.astype(np.float64)  # the bounds below are exact in float64
    exact = column.exact and integers and values.itemsize == 8
    if bounds and (exact or (kind.kind != "f" and not np.can_cast(values.dtype, kind))):
        low, high = bounds
        # The largest integer, as a float, would round up to the power of two after it: compare with that instead.
        below = values <= high if integers else (values < high + 1) & (np.trunc(values) == values)
        fits = _which((values >= low) & below)
        return (values if fits is None else np.where(fits, values, values.dtype.type(0))).astype(kind), fits
    with np.errstate(over="ignore"):
        rounded = values.astype(kind, copy=False)
    if column.dtype == "float" or np.can_cast(values.dtype, kind):
        return rounded, None
    return rounded, _which(np.isfinite(rounded) | ~np.isfinite(values))


def limits(column: Column, kind: np.dtype) -> tuple[float, float] | None:
    """The least and the largest number that fits a column of type ``kind``, integers unless it is a float type; None
    if all fit."""
    if kind.kind == "b":
        return 0, 1
    if kind.kind in "iu":
        return int(np.iinfo(kind).min), int(np.iinfo(kind).max)
    if column.exact:
        return -EXACT, EXACT
    if column.dtype == "float":
        return None
    largest = float(np.finfo(kind).max)
    return -largest, largest


def _from_decimals(array: pa.Array, column: Column, kind: np.dtype) -> Fitted:
    given = array.cast(pa.decimal256(76, array.type.scale))
    whole = pc.trunc(given)
    bounds = limits(column, kind)
    assert bounds is not None
    low, high = (pa.scalar(Decimal(bound), _WHOLE) for bound in bounds)
    integers = whole.cast(_WHOLE)
    inside = pc.and_(pc.and_(pc.greater_equal(integers, low), pc.less_equal(integers, high)), pc.equal(whole, given))
    fitting = pc.if_else(inside, integers, pa.scalar(None, _WHOLE))
    values = to_numpy(fitting.cast(pa.uint64() if kind.kind == "u" else pa.int64())).astype(kind)
    return values, _which(to_numpy(pc.fill_null(inside, True)))


def _parsed(array: pa.Array, kind: np.dtype) -> np.ndarray:
    return to_numpy(pc.cast(pc.cast(array, pa.string()), pa.from_numpy_dtype(kind)))


def _halves(array: pa.Array) -> np.ndarray:
    """Decimals as the nearest float16, by way of float64 rounded to odd.

    Rounding to odd keeps on which side of a tie a value lies (Boldo and Melquiond, Emulation of FMA and correctly
    rounded sums, IEEE Transactions on Computers, 2008).
    """
    doubles = _parsed(array, np.dtype(np.float64))
    exact = [None if value is None else Fraction(value) for value in array.to_pylist()]
    odd = [value if it is None else _to_odd(float(value), it) for value, it in zip(doubles, exact, strict=True)]
    with np.errstate(over="ignore"):
        return np.array(odd, np.float64).astype(np.float16)


def _to_odd(nearest: float, exact: Fraction) -> float:
    """An exact value rounded to odd: itself if it is a double, else its neighbour with an odd last bit."""
    difference = exact - Fraction(nearest)
    if not difference or np.float64(nearest).view(np.int64) & 1:
        return nearest
    return math.nextafter(nearest, math.inf if difference > 0 else -math.inf)


def _which(fits: np.ndarray) -> np.ndarray | None:
    return None if fits.all() else fits
