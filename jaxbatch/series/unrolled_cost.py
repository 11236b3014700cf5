"""How large a program becomes when its recurrences are written out, by which unrolled or looped code is chosen."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax.extend import core

from jaxbatch import jaxpr_walk
from jaxbatch.series.rules import linear, piecewise

_NO_PRODUCT = linear.PRIMITIVES | piecewise.PRIMITIVES
_BILINEAR = frozenset({"mul", "dot_general", "conv_general_dilated"})
_COUPLED = {"sin": 2, "cos": 2, "sinh": 2, "cosh": 2, "tan": 2, "tanh": 2, "logistic": 2, "pow": 2, "erf_inv": 3}
"""The products of series in each step, for primitives whose recurrence couples several series; others take one."""


def count_products(jaxpr: Any, depends: Sequence[bool]) -> int:
    """The products of two series that a program takes.

    Args:
        jaxpr: the program; the jaxprs inside its equations are counted once each, whatever a loop's number of passes.
        depends: for each operand whether it depends on t, that is, is a series.
    """
    return _count(jaxpr, depends)[0]


def _count(jaxpr: Any, depends: Sequence[bool]) -> tuple[int, list[bool]]:
    """The products, and which results depend on t."""
    dependent = dict(zip(jaxpr.invars, depends, strict=True))

    def is_dependent(variable: Any) -> bool:
        return not isinstance(variable, core.Literal) and dependent.get(variable, False)

    total = 0
    for equation in jaxpr.eqns:
        inputs = [is_dependent(x) for x in equation.invars]
        outputs = [any(inputs) and jnp.issubdtype(v.aval.dtype, jnp.inexact) for v in equation.outvars]
        inner = list(jaxpr_walk.nested(equation.params.values()))
        name = equation.primitive.name
        if inner and any(inputs):
            for program in inner:
                opened = getattr(program, "jaxpr", program)
                same = len(opened.invars) == len(inputs)
                total += _count(opened, inputs if same else [True] * len(opened.invars))[0]
        elif any(outputs) and name not in _NO_PRODUCT:
            total += _COUPLED.get(name, 1) if sum(inputs) > 1 or name not in _BILINEAR else 0
        dependent.update(zip(equation.outvars, outputs, strict=True))
    return total, [is_dependent(v) for v in jaxpr.outvars]
