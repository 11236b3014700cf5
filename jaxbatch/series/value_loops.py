"""Loops that end on a value: forward mode stops with them, before its derivatives have converged."""

from collections.abc import Sequence
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import partial_eval

from jaxbatch.series.cost import is_program


def ends_on_a_value(jaxpr: Any, depends: Sequence[bool]) -> bool:
    """Whether a while loop of a program ends on something that depends on the operands that ``depends`` marks.

    Whole numbers and truth values count as well, since a loop may carry the outcome of its test. In doubt the answer
    is yes: whatever a scan around such a loop carries counts as depending on them.
    """
    return _follow(jaxpr, depends)[0]


def while_ends_on_a_value(
    operands: Sequence[bool], cond_jaxpr: Any, cond_nconsts: int, body_jaxpr: Any, body_nconsts: int
) -> bool:
    """Whether the condition of one while loop reads, in some pass, what depends on the operands that are marked."""
    body_consts = operands[cond_nconsts : cond_nconsts + body_nconsts]
    _, carry = _settled(body_jaxpr, body_consts, operands[cond_nconsts + body_nconsts :])
    return _reads(cond_jaxpr, [*operands[:cond_nconsts], *carry])


def _reads(condition: Any, operands: Sequence[bool]) -> bool:
    _, used = partial_eval.dce_jaxpr(condition.jaxpr, [True])
    return any(read and marked for read, marked in zip(used, operands, strict=True))


def _settled(body: Any, consts: Sequence[bool], carry: Sequence[bool]) -> tuple[bool, list[bool]]:
    """Whether a loop within the body ends on a value, and what a while loop carries that depends on marked operands."""
    while True:
        met, after = _follow(body.jaxpr, [*consts, *carry])
        union = [a or b for a, b in zip(carry, after, strict=True)]
        if union == list(carry):
            return met, union
        carry = union


def _follow(jaxpr: Any, depends: Sequence[bool]) -> tuple[bool, list[bool]]:
    """Whether such a loop was met, and which results depend on the marked operands."""
    on_t = dict(zip(jaxpr.invars, depends, strict=True))
    found = False

    def moves(variable: Any) -> bool:
        return not isinstance(variable, core.Literal) and on_t.get(variable, False)

    for equation in jaxpr.eqns:
        inputs = [moves(x) for x in equation.invars]
        if equation.primitive.name == "while":
            met, outputs = _follow_while(inputs, **equation.params)
        else:
            inner = [p for p in jax.tree.leaves(list(equation.params.values()), is_leaf=is_program) if is_program(p)]
            met = any(_follow(_opened(p), _entering(p, inputs, _carried(equation)))[0] for p in inner if any(inputs))
            outputs = [any(inputs)] * len(equation.outvars)
        found = found or met
        on_t.update(zip(equation.outvars, outputs, strict=True))
    return found, [moves(v) for v in jaxpr.outvars]


def _follow_while(
    inputs: list[bool], cond_jaxpr: Any, cond_nconsts: int, body_jaxpr: Any, body_nconsts: int
) -> tuple[bool, list[bool]]:
    cond_consts, rest = inputs[:cond_nconsts], inputs[cond_nconsts:]
    met, carry = _settled(body_jaxpr, rest[:body_nconsts], rest[body_nconsts:])
    return met or _reads(cond_jaxpr, [*cond_consts, *carry]), carry


def _opened(program: Any) -> Any:
    return getattr(program, "jaxpr", program)


def _entering(program: Any, inputs: list[bool], carried: slice) -> list[bool]:
    """The operands of an inner program: the equation's own, all of them or the last; everything where they differ."""
    count = len(_opened(program).invars)
    if count > len(inputs):
        return [True] * count
    marked = inputs.copy()
    marked[carried] = [True] * len(marked[carried])
    return marked[len(marked) - count :]


def _carried(equation: Any) -> slice:
    """Which operands a scan carries from pass to pass."""
    if equation.primitive.name != "scan":
        return slice(0, 0)
    first = equation.params["num_consts"]
    return slice(first, first + equation.params["num_carry"])
