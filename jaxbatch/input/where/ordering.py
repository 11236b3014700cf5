"""Comparisons that are exact: of integers with floats, of times in different units, of a column with any literal.

A column has a domain: the numbers that its type can hold. A literal outside the domain lies between two of them; so it
is replaced by the largest of the domain that is not above it, and whether that is the literal itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxbatch.input.where.nodes import Comparison

COMPARE: dict[Comparison, Callable[[Any, Any], Any]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}

MIRRORED: dict[Comparison, Comparison] = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
"""The comparison that holds with its two sides exchanged."""


@dataclass(frozen=True)
class Floor:
    """The largest number of a domain that is not above a literal, and whether it equals it.

    ``value`` is None for a literal below the whole domain.
    """

    value: int | float | None
    exact: bool


def floor_in_integers(value: int | float, scale: int, least: int, most: int) -> Floor:
    """The floor of ``value`` / ``scale`` among the integers from ``least`` to ``most``.

    Args:
        value: any number but NaN.
        scale: what an integer of the domain counts: 1 for integers, nanoseconds for times.
        least, most: the ends of the domain.
    """
    if value in (float("inf"), float("-inf")):
        return Floor(most if value > 0 else None, False)
    whole = int(value // 1) if isinstance(value, float) else value
    floor, rest = divmod(whole, scale)
    exact = rest == 0 and whole == value
    if floor < least:
        return Floor(None, False)
    return Floor(min(floor, most), exact and floor <= most)


def floor_in_floats(value: int | float) -> Floor:
    """The floor of ``value``, which is not NaN, among the float64 numbers."""
    try:
        near = float(value)
    except OverflowError:
        return Floor(float(np.finfo(np.float64).max) if value > 0 else float("-inf"), False)
    if near == value:  # Python compares integers and floats exactly
        return Floor(near, True)
    return Floor(near if near < value else float(np.nextafter(near, -np.inf)), False)


def compare_with_floor(comparison: Comparison, values: np.ndarray, floor: Floor) -> np.ndarray:
    """``values`` compared with the literal that has this floor in their domain."""
    if floor.value is None:
        return np.full(np.shape(values), comparison in ("!=", ">", ">="))
    if floor.exact:
        return COMPARE[comparison](values, floor.value)
    if comparison in ("==", "!="):
        return np.full(np.shape(values), comparison == "!=")
    return COMPARE["<=" if comparison in ("<", "<=") else ">"](values, floor.value)


def compare_integers_with_floats(comparison: Comparison, integers: np.ndarray, floats: np.ndarray) -> np.ndarray:
    """Integers of 64 bits compared with float64 numbers, as if neither were rounded."""
    rounded = integers.astype(np.float64)
    found = COMPARE[comparison](rounded, floats)
    unsure = (rounded == floats) & (np.abs(rounded) > 2.0**53)
    if unsure.any():
        found = np.array(np.broadcast_to(found, unsure.shape))
        left, right = (each[unsure] for each in np.broadcast_arrays(integers, floats))
        above = right >= 2.0 ** (64 - (left.dtype.kind == "i"))  # the power of two to which large integers are rounded
        whole = np.where(above, 0, right).astype(left.dtype)
        found[unsure] = np.where(above, COMPARE[comparison](0, 1), COMPARE[comparison](left, whole))
    return found


def compare_in_units(
    comparison: Comparison, left: np.ndarray, left_unit: int, right: np.ndarray, right_unit: int
) -> np.ndarray:
    """Times compared that count different units, of which one is a multiple of the other."""
    if left_unit == right_unit:
        return COMPARE[comparison](left, right)
    if left_unit < right_unit:
        return compare_in_units(MIRRORED[comparison], right, right_unit, left, left_unit)
    whole, rest = np.divmod(right, left_unit // right_unit)
    exact = rest == 0
    if comparison in ("==", "!="):
        same = (left == whole) & exact
        return same if comparison == "==" else ~same
    if comparison in ("<", "<="):
        return np.where(exact, COMPARE[comparison](left, whole), left <= whole)
    return np.where(exact, COMPARE[comparison](left, whole), left > whole)
