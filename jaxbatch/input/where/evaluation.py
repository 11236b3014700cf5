"""An expression evaluated for the rows of a table."""

# pyarrow.compute makes its functions at import, where no checker sees them.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Sequence
from functools import reduce
from operator import or_

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jaxbatch.input.arrow_arrays import one_chunk, to_arrow, to_numpy, to_texts
from jaxbatch.input.where.comparing import NULL, compare
from jaxbatch.input.where.nodes import (
    Arithmetic,
    Both,
    Compare,
    Either,
    In,
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
                return _in(self._operand(node.item), [self._operand(each) for each in node.options])
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


def _in(item: Operand, options: Sequence[Operand]) -> Truth:
    """Whether ``item`` equals one of ``options``: of many constants by a set, else by comparing one after the other."""
    constants = [each for each in options if isinstance(each, Constant)]
    others = [compare("==", item, each) for each in options if not isinstance(each, Constant)]
    if len(constants) >= _MANY and isinstance(item, Numbers | Texts | Times) and np.ndim(_first(item)) == 1:
        others.append(_in_set(item, constants))
    else:
        others += [compare("==", item, each) for each in constants]
    return reduce(or_, others, Truth(np.False_))  # type: ignore[arg-type]


def _first(item: "Numbers | Texts | Times") -> "np.ndarray | pa.Array":
    return item.array if isinstance(item, Texts) else item.values


def _in_set(item: "Numbers | Texts | Times", constants: Sequence[Constant]) -> Truth:
    if isinstance(item, Texts):
        found = pc.is_in(item.array, value_set=to_texts(constants).cast(item.array.type))  # type: ignore[arg-type]
        return unless_null(to_numpy(found), null_of(item.array))
    kind = item.values.dtype
    ends = (0, 0) if kind.kind == "f" else (int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    floors = [
        floor_in_integers(each.nanoseconds, item.unit, *ends)  # type: ignore[union-attr]
        if isinstance(item, Times)
        else floor_in_floats(each)  # type: ignore[arg-type]
        if kind.kind == "f"
        else floor_in_integers(each, 1, *ends)  # type: ignore[arg-type]
        for each in constants
    ]
    within = np.array([floor.value for floor in floors if floor.exact], kind) + kind.type(0)  # -0.0 becomes 0.0
    values = item.values + kind.type(0) if kind.kind == "f" else item.values
    found = pc.is_in(to_arrow(values), value_set=to_arrow(within))
    return unless_null(to_numpy(found), item.null)
