"""An expression evaluated for the rows of a table."""

from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache, reduce
from operator import or_
from typing import Any

import numpy as np
import pyarrow as pa

from jaxbatch.input import arrow_compute as pc
from jaxbatch.input.arrow_arrays import one_chunk, to_arrow, to_numpy, to_texts
from jaxbatch.input.where.comparing import NULL, compare, exact_decimal
from jaxbatch.input.where.nodes import (
    Arithmetic,
    Both,
    Compare,
    Either,
    In,
    Instant,
    IsNull,
    Literal,
    Name,
    Negation,
    Node,
    Operation,
)
from jaxbatch.input.where.operands import (
    Constant,
    Decimals,
    Null,
    Numbers,
    Opaque,
    Operand,
    Texts,
    Times,
    as_decimal,
    null_of,
    operand,
)
from jaxbatch.input.where.ordering import floor_in_floats, floor_in_integers
from jaxbatch.input.where.truth import Truth, unless_null

_OPERATIONS = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}

_MANY = 8
"""From so many options on, a set finds a value among them; fewer are compared one by one."""


class Evaluation:
    """Evaluates parts of an expression for one table, whose columns it converts once.

    Args:
        table: the rows.
    """

    def __init__(self, table: pa.Table):
        self._table = table
        self._columns: dict[str, Operand] = {}

    def truth(self, node: Node) -> Truth:
        """Whether a condition holds for each row."""
        found = self._operand(node)
        if isinstance(found, Truth):
            return found
        return NULL if isinstance(found, Null) else Truth(np.bool_(found))  # type: ignore[arg-type]

    def _operand(self, node: Node) -> Operand:
        match node:
            case Literal():
                return Null() if node.value is None else node.value
            case Name():
                if node.column not in self._columns:
                    self._columns[node.column] = operand(one_chunk(self._table.column(node.column)))
                return self._columns[node.column]
            case Arithmetic():
                return _arithmetic(node.operation, self._operand(node.left), self._operand(node.right))
            case Compare():
                return compare(node.comparison, self._operand(node.left), self._operand(node.right))
            case In():
                return _in(self._operand(node.item), node.constants, map(self._operand, node.others))
            case IsNull():
                return Truth(self._null(self._operand(node.item)))
            case Both():
                return self.truth(node.left) & self.truth(node.right)
            case Either():
                return self.truth(node.left) | self.truth(node.right)
            case Negation():
                return ~self.truth(node.part)

    def _null(self, found: Operand) -> np.ndarray:
        if isinstance(found, Null):
            return np.True_  # type: ignore[return-value]
        if isinstance(found, Decimals | Texts):
            null = null_of(found.array)
        elif isinstance(found, Numbers | Times | Truth | Opaque):
            null = found.null
        else:
            null = None
        return np.False_ if null is None else null  # type: ignore[return-value]


def _arithmetic(operation: Operation, left: Operand, right: Operand) -> Operand:
    if isinstance(left, Null) or isinstance(right, Null):
        return Null()
    one, other = _floats(left), _floats(right)
    with np.errstate(all="ignore"):
        found = _OPERATIONS[operation](one.values, other.values)
    nulls = [each.null for each in (one, other) if each.null is not None]
    return Numbers(found, reduce(or_, nulls) if nulls else None)


def _floats(found: Operand) -> Numbers:
    if isinstance(found, Numbers | Decimals):
        return found.floats
    assert isinstance(found, int | float)
    try:
        return Numbers(np.float64(found))  # type: ignore[arg-type]
    except OverflowError:
        return Numbers(np.float64(np.inf if found > 0 else -np.inf))  # type: ignore[arg-type]


def _in(item: Operand, constants: tuple[Constant, ...], others: Iterable[Operand]) -> Truth:
    """Whether ``item`` equals one of the options: of many constants by a set, else by comparing one after the other."""
    found = [compare("==", item, each) for each in others]
    in_rows = isinstance(item, Decimals | Texts) or (isinstance(item, Numbers | Times) and item.values.ndim == 1)
    if len(constants) >= _MANY and in_rows:
        found.append(_in_set(item, constants))  # type: ignore[arg-type]
    else:
        found += [compare("==", item, each) for each in constants]
    return reduce(or_, found, Truth(np.False_))  # type: ignore[arg-type]


def _in_set(item: "Numbers | Decimals | Texts | Times", constants: tuple[Constant, ...]) -> Truth:
    if isinstance(item, Decimals | Texts):
        found = pc.is_in(item.array, value_set=_set_of(constants, item.array.type, 1))
        return unless_null(to_numpy(found), null_of(item.array))
    kind = item.values.dtype
    values = item.values + kind.type(0) if kind.kind == "f" else item.values  # -0.0 becomes 0.0
    unit = item.unit if isinstance(item, Times) else 1
    found = pc.is_in(to_arrow(values), value_set=_set_of(constants, pa.from_numpy_dtype(kind), unit))
    return unless_null(to_numpy(found), item.null)


@lru_cache(16)
def _set_of(constants: tuple[Any, ...], kind: pa.DataType, unit: int) -> pa.Array:
    """Those constants that a column's type can hold, as an array of that type."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return to_texts(constants).cast(kind)
    if pa.types.is_decimal(kind):
        scaled = [exact_decimal(each) * Fraction(10) ** kind.scale for each in constants if np.isfinite(each)]
        held = [int(each) for each in scaled if each.denominator == 1 and abs(each) < 10**kind.precision]
        return pa.array([as_decimal(each, kind).as_py() for each in held], kind)
    if pa.types.is_floating(kind):
        floors = [floor_in_floats(each) for each in constants]
        return to_arrow(np.array([floor.value for floor in floors if floor.exact], np.float64) + 0.0)
    ends = np.iinfo(kind.to_pandas_dtype())
    numbers = [each.nanoseconds if isinstance(each, Instant) else each for each in constants]
    floors = [floor_in_integers(each, unit, int(ends.min), int(ends.max)) for each in numbers]
    return to_arrow(np.array([floor.value for floor in floors if floor.exact], kind.to_pandas_dtype()))
