"""Piecewise linear primitives (abs, max, min, clamp, sort, top_k, rem …) and piecewise constant ones (floor, sign …).

Every coefficient above order 0 goes through the primitive's own tangent map at the value. At a tie that is what
``jax.grad`` takes for the derivative, and all higher derivatives are 0, as for ``jax.grad`` of ``jax.grad``.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxbatch.series.arithmetic import Arithmetic, Series, Value, hold_constants
from jaxbatch.series.interpreter import register_rule
from jaxbatch.series.rules.powers import sqrt


def piecewise_linear(arithmetic: Arithmetic, function: Callable[..., Any], *operands: Value) -> list[Value]:
    """The results of a piecewise linear ``function``, each a series unless it is of integers or booleans."""
    series = [x for x in operands if isinstance(x, Series)]

    of_series = hold_constants(function, operands)
    values = tuple(arithmetic.value(x) for x in series)
    results = []
    for i, value in enumerate(of_series(*values)):
        if not jnp.issubdtype(value.dtype, jnp.inexact):
            results.append(value)
            continue
        tangent = arithmetic.map(lambda *terms, i=i: jax.jvp(lambda *v: of_series(*v)[i], values, terms)[1], *series)
        results.append(arithmetic.with_value(tangent, value))
    return results


def _rule(primitive: Any) -> Callable[..., Any]:
    def rule(arithmetic: Arithmetic, *operands: Value, **parameters: Any) -> Any:
        return piecewise_linear(arithmetic, lambda *values: primitive.bind(*values, **parameters), *operands)

    return rule


_PIECEWISE = (
    *(lax.max_p, lax.min_p, lax.clamp_p, lax.rem_p, lax.sort_p, lax.top_k_p, lax.reduce_max_p, lax.reduce_min_p),
    *(lax.cummax_p, lax.cummin_p, lax.reduce_window_max_p, lax.reduce_window_min_p),
)

for _primitive in _PIECEWISE:
    register_rule(_primitive.name)(_rule(_primitive))


@register_rule("abs")
def abs_(arithmetic: Arithmetic, x: Series) -> Series:
    """The modulus of a complex series is √(re² + im²), which is not piecewise linear."""
    if not jnp.iscomplexobj(arithmetic.value(x)):
        return piecewise_linear(arithmetic, jnp.abs, x)[0]  # pyright: ignore[reportReturnType]
    real, imaginary = arithmetic.map(jnp.real, x), arithmetic.map(jnp.imag, x)
    squared = arithmetic.add(arithmetic.product(real, real), arithmetic.product(imaginary, imaginary))
    return arithmetic.with_value(sqrt(arithmetic, squared), jnp.abs(arithmetic.value(x)))


def _constant(primitive: Any) -> Callable[..., Any]:
    def rule(arithmetic: Arithmetic, *operands: Value, **parameters: Any) -> Any:
        return primitive.bind(*(arithmetic.value(x) for x in operands), **parameters)

    return rule


_CONSTANT = (
    *(lax.floor_p, lax.ceil_p, lax.round_p, lax.sign_p, lax.is_finite_p, lax.argmax_p, lax.argmin_p),
    *(lax.eq_p, lax.ne_p, lax.lt_p, lax.le_p, lax.gt_p, lax.ge_p, lax.nextafter_p),
    *(lax.eq_to_p, lax.le_to_p, lax.lt_to_p),
)

for _primitive in _CONSTANT:
    register_rule(_primitive.name)(_constant(_primitive))


@register_rule("stop_gradient")
def stop_gradient(arithmetic: Arithmetic, x: Series, **_: Any) -> Value:
    """The value alone."""
    return arithmetic.value(x)


PRIMITIVES = frozenset({"abs", "stop_gradient", *(p.name for p in (*_PIECEWISE, *_CONSTANT))})
"""The names of those that take no product of series."""
