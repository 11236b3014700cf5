"""What an expression can come to when only the range of each column is known.

An abstract interpretation: every value stands for a range, every condition for the outcomes that it may have. An
outcome is left out only where no row within the ranges can have it.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache, reduce
from typing import Any

import numpy as np

from jaxbatch.input.where.comparing import exact_decimal
from jaxbatch.input.where.kinds import Kind, comparable, kind_of_value
from jaxbatch.input.where.nodes import (
    Arithmetic,
    Both,
    Compare,
    Comparison,
    Either,
    In,
    Instant,
    IsNull,
    Literal,
    Name,
    Negation,
    Node,
)


class Outcomes:
    """Sets of outcomes, as the bits of an integer."""

    NONE = 0
    TRUE = 1
    FALSE = 2
    NULL = 4
    ANY = 7


@dataclass(frozen=True)
class Range:
    """What is known of a value: bounds that hold where it is neither null nor NaN."""

    kind: Kind | None = None
    """None where not even that is known."""
    low: Any = None
    high: Any = None
    """Inclusive; None for no bound. Numbers are integers, floats or fractions; texts UTF-8; times nanoseconds."""
    may_be_null: bool = True
    may_be_value: bool = True
    may_be_nan: bool = False
    is_literal: bool = False

    @property
    def is_point(self) -> bool:
        """Whether it has a single value, where it is not null."""
        return not self.may_be_nan and self.low is not None and self.low == self.high


UNKNOWN = Range(may_be_nan=True)


def possible(node: Node, ranges: Mapping[str, Range]) -> int:
    """The outcomes that a condition may have for rows within some ranges; any column without one may hold anything."""
    match node:
        case Compare():
            return _compare(node.comparison, _range(node.left, ranges), _range(node.right, ranges))
        case In():
            item = _range(node.item, ranges)
            found = [_compare("==", item, _range(each, ranges)) for each in node.others]
            return reduce(_either, found, _among(item, node.constants))
        case IsNull():
            item = _range(node.item, ranges)
            return (Outcomes.TRUE if item.may_be_null else Outcomes.NONE) | (
                Outcomes.FALSE if item.may_be_value else Outcomes.NONE
            )
        case Both():
            return _both(possible(node.left, ranges), possible(node.right, ranges))
        case Either():
            return _either(possible(node.left, ranges), possible(node.right, ranges))
        case Negation():
            return _negated(possible(node.part, ranges))
        case Literal(value=bool()):
            return Outcomes.TRUE if node.value else Outcomes.FALSE
        case Literal(value=None):
            return Outcomes.NULL
        case _:
            return Outcomes.ANY


def _among(item: Range, constants: tuple[Any, ...]) -> int:
    """Whether a value may be one of some constants."""
    alike = item.kind is not None and all(comparable(item.kind, kind) for kind in _kinds(constants))
    if len(constants) < _MANY or item.low is None or item.high is None or not alike:
        found = (_compare("==", item, of_literal(each)) for each in constants)
        return reduce(_either, found, Outcomes.FALSE)
    found = Outcomes.NULL if item.may_be_null else Outcomes.NONE
    if not item.may_be_value:
        return found
    values = _sorted(constants, _has(item, Fraction))
    place = bisect_left(values, item.low)
    within = place < len(values) and values[place] <= item.high
    return found | (Outcomes.TRUE if within else 0) | (0 if within and item.is_point else Outcomes.FALSE)


_MANY = 8
"""From so many constants on they are sorted once, and searched for each range."""


@lru_cache(16)
def _kinds(constants: tuple[Any, ...]) -> frozenset[Kind]:
    return frozenset({kind_of_value(each) for each in constants})


@lru_cache(16)
def _sorted(constants: tuple[Any, ...], as_decimals: bool) -> list[Any]:
    ranges = (of_literal(each) for each in constants)
    return sorted(exact_decimal(each.low) if as_decimals and np.isfinite(each.low) else each.low for each in ranges)


def _negated(found: int) -> int:
    turned = found & Outcomes.NULL
    turned |= Outcomes.FALSE if found & Outcomes.TRUE else Outcomes.NONE
    return turned | (Outcomes.TRUE if found & Outcomes.FALSE else Outcomes.NONE)


def _both(left: int, right: int) -> int:
    found = left & right & Outcomes.TRUE
    found |= (left | right) & Outcomes.FALSE
    not_false = left & ~Outcomes.FALSE and right & ~Outcomes.FALSE
    return found | ((left | right) & Outcomes.NULL if not_false else Outcomes.NONE)


def _either(left: int, right: int) -> int:
    return _negated(_both(_negated(left), _negated(right)))


def _range(node: Node, ranges: Mapping[str, Range]) -> Range:
    if isinstance(node, Literal):
        return of_literal(node.value)
    if isinstance(node, Name):
        return ranges.get(node.column, UNKNOWN)
    if isinstance(node, Arithmetic):
        return _arithmetic(node, ranges)
    return Range("truth")


def of_literal(value: Any) -> Range:
    """The range of a value that an expression gives."""
    if value is None:
        return Range("null", may_be_value=False)
    kind = kind_of_value(value)
    if isinstance(value, Instant):
        value = value.nanoseconds
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogatepass")
    return Range(kind, value, value, may_be_null=False, is_literal=True)


def _arithmetic(node: Arithmetic, ranges: Mapping[str, Range]) -> Range:
    """Of single numbers their result; of anything else no more than whether it may be null."""
    left, right = (_range(each, ranges) for each in (node.left, node.right))
    null = left.may_be_null or right.may_be_null
    value = left.may_be_value and right.may_be_value
    points = left.is_point and right.is_point and {left.kind, right.kind} == {"number"}
    if not points:
        return Range("number", None, None, null, value, may_be_nan=True)
    operations = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}
    try:
        with np.errstate(all="ignore"):
            found = float(operations[node.operation](float(left.low), float(right.low)))
    except OverflowError:
        return Range("number", None, None, null, value, may_be_nan=True)
    if np.isnan(found):
        return Range("number", None, None, null, value, may_be_nan=True)
    return Range("number", found, found, null, value)


def _compare(comparison: Comparison, left: Range, right: Range) -> int:
    if left.kind is None or right.kind is None or not comparable(left.kind, right.kind):
        return Outcomes.ANY
    found = Outcomes.NULL if left.may_be_null or right.may_be_null else Outcomes.NONE
    if not (left.may_be_value and right.may_be_value) or "null" in (left.kind, right.kind):
        return found or Outcomes.NULL
    if "truth" in (left.kind, right.kind):
        return found | Outcomes.TRUE | Outcomes.FALSE
    if left.may_be_nan or right.may_be_nan:
        found |= Outcomes.TRUE if comparison == "!=" else Outcomes.FALSE
    left, right = _in_one_domain(left, right), _in_one_domain(right, left)
    if comparison in (">", ">="):
        left, right, comparison = right, left, "<" if comparison == ">" else "<="
    if comparison == "<":
        true, false = _may_be_less(left, right), _may_be_at_most(right, left)
    elif comparison == "<=":
        true, false = _may_be_at_most(left, right), _may_be_less(right, left)
    else:
        true = _may_be_at_most(left, right) and _may_be_at_most(right, left)
        false = not (left.is_point and right.is_point and left.low == right.low)
        if comparison == "!=":
            true, false = false, true
    return found | (Outcomes.TRUE if true else Outcomes.NONE) | (Outcomes.FALSE if false else Outcomes.NONE)


def _in_one_domain(own: Range, other: Range) -> Range:
    """The range as evaluation compares it: a literal as the decimal that is written, beside decimals; decimals rounded
    to the nearest float, beside other floats."""
    if own.is_literal and isinstance(own.low, float) and np.isfinite(own.low) and _has(other, Fraction):
        exact = exact_decimal(own.low)
        return replace(own, low=exact, high=exact)
    if _has(own, Fraction) and _has(other, float) and not other.is_literal:
        return replace(own, **{end: None if (v := getattr(own, end)) is None else float(v) for end in ("low", "high")})
    return own


def _has(given: Range, kind: type) -> bool:
    return isinstance(given.low, kind) or isinstance(given.high, kind)


def _may_be_less(left: Range, right: Range) -> bool:
    return left.low is None or right.high is None or left.low < right.high


def _may_be_at_most(left: Range, right: Range) -> bool:
    return left.low is None or right.high is None or left.low <= right.high
