"""How large a program would become if its recurrences were written out."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from jaxbatch.series.rules import linear, piecewise

_CHEAP = linear.PRIMITIVES | piecewise.PRIMITIVES
_BILINEAR = frozenset({"mul", "dot_general", "conv_general_dilated"})
_COUPLED = {"sin": 2, "cos": 2, "sinh": 2, "cosh": 2, "tan": 2, "tanh": 2, "logistic": 2, "pow": 2, "erf_inv": 3}


def products(jaxpr: Any, depends: Sequence[bool]) -> int:
    """How many products of two series a program takes, if its operands are series where ``depends`` says so."""
    return _count(jaxpr, depends)[0]


def _count(jaxpr: Any, depends: Sequence[bool]) -> tuple[int, list[bool]]:
    on_t = dict(zip(jaxpr.invars, depends, strict=True))

    def moves(variable: Any) -> bool:
        return not isinstance(variable, core.Literal) and on_t.get(variable, False)

    total = 0
    for equation in jaxpr.eqns:
        inputs = [moves(x) for x in equation.invars]
        outputs = [any(inputs) and jnp.issubdtype(v.aval.dtype, jnp.inexact) for v in equation.outvars]
        inner = [p for p in jax.tree.leaves(list(equation.params.values()), is_leaf=is_program) if is_program(p)]
        name = equation.primitive.name
        if inner and any(inputs):
            for program in inner:
                opened = getattr(program, "jaxpr", program)
                same = len(opened.invars) == len(inputs)
                total += _count(opened, inputs if same else [True] * len(opened.invars))[0]
        elif any(outputs) and name not in _CHEAP:
            total += _COUPLED.get(name, 1) if sum(inputs) > 1 or name not in _BILINEAR else 0
        on_t.update(zip(equation.outvars, outputs, strict=True))
    return total, [moves(v) for v in jaxpr.outvars]


def is_program(x: Any) -> bool:
    """Whether an equation's parameter is a program of its own."""
    return hasattr(x, "eqns")
