"""Finds while loops whose number of passes depends on the data.

Forward mode stops with such a loop, before its derivatives have converged: at the fixed point of an iteration the value
is right one pass or more before each of its derivatives.
"""

from collections.abc import Sequence
from typing import Any

from jax.extend import core
from jax.interpreters import partial_eval

from jaxbatch import jaxpr_walk


def has_data_dependent_loop(jaxpr: Any, depends: Sequence[bool]) -> bool:
    """Whether a while loop of a program, or of a jaxpr inside it, ends on a marked operand or what follows from one.

    Integers and booleans count as well, since a loop may carry the outcome of its test. In doubt the answer is yes:
    everything that a scan around such a loop carries counts as marked.

    Args:
        jaxpr: an open jaxpr.
        depends: for each operand whether it is marked.
    """
    return _propagate(jaxpr, depends)[0]


def is_data_dependent_while(
    operands: Sequence[bool], cond_jaxpr: Any, cond_nconsts: int, body_jaxpr: Any, body_nconsts: int
) -> bool:
    """Whether the condition of one while loop reads, in some pass, a marked operand or what follows from one.

    Args:
        operands: for each operand of the while equation whether it is marked.
        cond_jaxpr: like all others, a parameter of that equation.
        cond_nconsts: how many of the first operands only the condition reads.
        body_jaxpr: the closed jaxpr of one pass.
        body_nconsts: how many of the operands after those only the body reads.
    """
    body_consts = operands[cond_nconsts : cond_nconsts + body_nconsts]
    _, carry = _carried(body_jaxpr, body_consts, operands[cond_nconsts + body_nconsts :])
    return _reads_marked(cond_jaxpr, [*operands[:cond_nconsts], *carry])


def _reads_marked(condition: Any, operands: Sequence[bool]) -> bool:
    _, used = partial_eval.dce_jaxpr(condition.jaxpr, [True])
    return any(read and marked for read, marked in zip(used, operands, strict=True))


def _carried(body: Any, consts: Sequence[bool], carry: Sequence[bool]) -> tuple[bool, list[bool]]:
    """Whether the body of a while loop has a data-dependent loop, and which carried values are marked in some pass."""
    while True:
        found, after = _propagate(body.jaxpr, [*consts, *carry])
        union = [a or b for a, b in zip(carry, after, strict=True)]
        if union == list(carry):
            return found, union
        carry = union


def _propagate(jaxpr: Any, depends: Sequence[bool]) -> tuple[bool, list[bool]]:
    """Whether a jaxpr has a data-dependent loop, and which of its results follow from marked operands."""
    marks = dict(zip(jaxpr.invars, depends, strict=True))
    found = False

    def is_marked(variable: Any) -> bool:
        return not isinstance(variable, core.Literal) and marks.get(variable, False)

    for equation in jaxpr.eqns:
        inputs = [is_marked(x) for x in equation.invars]
        if equation.primitive.name == "while":
            found_here, outputs = _propagate_while(inputs, **equation.params)
        else:
            found_here = any(inputs) and any(
                _propagate(_open(inner), _marks_inside(inner, inputs, _scan_carry(equation)))[0]
                for inner in jaxpr_walk.nested(equation.params.values())
            )
            outputs = [any(inputs)] * len(equation.outvars)
        found = found or found_here
        marks.update(zip(equation.outvars, outputs, strict=True))
    return found, [is_marked(v) for v in jaxpr.outvars]


def _propagate_while(
    inputs: list[bool], cond_jaxpr: Any, cond_nconsts: int, body_jaxpr: Any, body_nconsts: int
) -> tuple[bool, list[bool]]:
    cond_consts, rest = inputs[:cond_nconsts], inputs[cond_nconsts:]
    found, carry = _carried(body_jaxpr, rest[:body_nconsts], rest[body_nconsts:])
    return found or _reads_marked(cond_jaxpr, [*cond_consts, *carry]), carry


def _open(jaxpr: Any) -> Any:
    return getattr(jaxpr, "jaxpr", jaxpr)


def _marks_inside(inner: Any, inputs: list[bool], carry: slice) -> list[bool]:
    """The marks of an inner jaxpr's operands: those of the equation's last ones; all are marked if it has more."""
    count = len(_open(inner).invars)
    if count > len(inputs):
        return [True] * count
    marked = inputs.copy()
    marked[carry] = [True] * len(marked[carry])
    return marked[len(marked) - count :]


def _scan_carry(equation: Any) -> slice:
    """Which operands a scan carries from pass to pass; none for other equations."""
    if equation.primitive.name != "scan":
        return slice(0, 0)
    first = equation.params["num_consts"]
    return slice(first, first + equation.params["num_carry"])
