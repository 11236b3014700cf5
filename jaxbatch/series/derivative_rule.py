"""The series of any function that JAX can differentiate once: θy = D(x)·θx with its derivative D and θ = t·d/dt.

Griewank and Walther, *Evaluating Derivatives*, 2nd ed., §13.2, has the equation for functions of one number.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.interpreters import partial_eval

from jaxbatch.series.arithmetic import Arithmetic, Series, Value, hold_constants, is_series
from jaxbatch.series.interpreter import MissingRule, NoRule, interpret

Tangent = Callable[[Callable[..., Any], Sequence[Any], Sequence[Any]], Any]
"""``tangent(function, x, v)``: the derivatives of a function's results at x along v, a list."""


def jvp_of(function: Callable[..., Any], values: Sequence[Any], directions: Sequence[Any]) -> Any:
    """A :data:`Tangent` by forward mode."""
    return jax.jvp(function, tuple(values), tuple(directions))[1]


def vjp_of(function: Callable[..., Any], values: Sequence[Any], directions: Sequence[Any]) -> Any:
    """A :data:`Tangent` by reverse mode, the transposed pull-back: for functions with a ``custom_vjp`` only."""
    results, pull_back = jax.vjp(function, *values)
    if len(results) == 1 and results[0].shape == ():
        gradients = pull_back([jnp.ones_like(results[0])])
        return [sum(jnp.sum(g * v) for g, v in zip(gradients, directions, strict=True))]
    (tangents,) = jax.linear_transpose(lambda cotangents: pull_back(cotangents), results)(tuple(directions))
    return tangents


@dataclass
class _Expansion:
    """A function that is being expanded, and its results as far as their coefficients are known.

    ``used`` says whether its derivative has called the function itself.
    """

    key: Any
    operands: Sequence[Value]
    results: list[Value]
    used: bool = False

    def has_operands(self, operands: Sequence[Value]) -> bool:
        return len(operands) == len(self.operands) and all(map(_same, operands, self.operands))


_EXPANDING: ContextVar[tuple[_Expansion, ...]] = ContextVar("expanding", default=())


def by_derivative(
    arithmetic: Arithmetic, function: Callable[..., Any], tangent: Tangent, key: Any, operands: Sequence[Value]
) -> list[Value]:
    """The results of a function, by its derivative traced to a program of its own.

    θ of each result is that program run on the series x and θx. Where the program calls the function itself on the same
    operands (tan' = 1 + tan²), it is run repeatedly in a loop: every pass makes one more coefficient right (Picard's
    iteration). That costs one more factor of the order in time, and none in the size of the program.

    Args:
        arithmetic: of the series.
        function: of arrays, to one result or a list of them.
        tangent: how its derivative is taken.
        key: what identifies the function, by equality: a call of the same key inside the derivative is one of itself.
        operands: at least one of them a series.

    Raises:
        NoRule: the derivative calls the function on other operands, or has a primitive that has no rule.
    """
    for expansion in _EXPANDING.get():
        if expansion.key == key:
            if expansion.has_operands(operands):
                expansion.used = True
                return expansion.results
            raise NoRule("its derivative calls it again with other arguments")

    series = [x for x in operands if isinstance(x, Series)]
    values = [arithmetic.value(x) for x in series]
    thetas = [arithmetic.theta(x) for x in series]

    of_series = hold_constants(function, operands)
    start = of_series(*values)
    smooth = [jnp.issubdtype(value.dtype, jnp.inexact) for value in start]

    def tangents(xs: Sequence[Any], vs: Sequence[Any]) -> list[Any]:
        return [t for t, ok in zip(tangent(of_series, xs, vs), smooth, strict=True) if ok]

    closed = jax.make_jaxpr(tangents)(values, values)
    jaxpr, used = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    inputs = [x for x, ok in zip([*series, *thetas], used, strict=True) if ok]

    def improve(results: list[Value]) -> tuple[list[Value], bool]:
        expansion = _Expansion(key, operands, results)
        token = _EXPANDING.set((*_EXPANDING.get(), expansion))
        try:
            found = iter(interpret(arithmetic, jaxpr, closed.consts, inputs))
        except MissingRule as error:
            raise NoRule(f"its derivative takes '{error.primitive}': {error.reason}") from error
        finally:
            _EXPANDING.reset(token)
        after = [
            arithmetic.integral(arithmetic.series(next(found)), value) if ok else value
            for value, ok in zip(start, smooth, strict=True)
        ]
        return after, expansion.used

    first = [arithmetic.constant(value) if ok else value for value, ok in zip(start, smooth, strict=True)]
    results, calls_itself = improve(first)
    if not calls_itself:
        return results

    def body(_: Any, results: list[Value]) -> list[Value]:
        after, _used = improve(results)
        return [arithmetic.dense(x) if isinstance(x, Series) else x for x in after]

    dense = [arithmetic.dense(x) if isinstance(x, Series) else x for x in first]
    return lax.fori_loop(0, arithmetic.order, body, dense)


def _same(a: Value, b: Value) -> bool:
    if a is b:
        return True
    if is_series(a) or is_series(b) or isinstance(a, Tracer) or isinstance(b, Tracer):
        return False
    return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
