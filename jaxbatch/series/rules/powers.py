"""Powers and roots, by the recurrences of Griewank and Walther, *Evaluating Derivatives*, 2nd ed., §13.2, table 13.2.

θ is t·d/dt, and Σ is over 0 < j < n. Integer powers are repeated squarings, so that a base of 0 is like any other.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import Tracer

from jaxbatch.series.arithmetic import Arithmetic, Recurrence, Series, Value
from jaxbatch.series.interpreter import register_rule
from jaxbatch.series.materialized import materialized
from jaxbatch.series.order_loops import SHORT
from jaxbatch.series.rules.elementary import exponential, log, quotient
from jaxbatch.series.rules.linear import broadcast_series

LARGEST_WRITTEN_OUT = 64
"""Constant integer exponents up to this size are written as products; larger ones take :data:`POWER`."""


def _power(n: Any, sums: Any, first: Any, known: Any) -> Any:
    _, theta_n, inverse, r = known
    return ((r * first[0] * theta_n + (r + 1) * sums[1] - n * sums[0]) * inverse / n,)


POWER = Recurrence(((0, 1), (0, 2)), _power)
"""x·θy = r·y·θx: n x_0 y_n = r y_0 (θx)_n + (r + 1) Σ y_j (θx)_{n−j} − n Σ y_j x_{n−j}."""


def _power_of_line(n: Any, sums: Any, first: Any, known: Any) -> Any:
    x_n, inverse, r = known
    return ((r * first[0] * x_n + (r + 1 - n) * sums[0]) * (inverse / n),)


POWER_OF_LINE = Recurrence(((0, 1),), _power_of_line)
""":data:`POWER` for x = x_0 + t·x_1, of which θx is t·x_1: n x_0 y_n = r y_0 x_n + (r + 1 − n) Σ y_j x_{n−j}."""


def _square_root(_: Any, sums: Any, __: Any, known: Any) -> Any:
    return ((known[0] - sums[0]) * known[1],)


SQUARE_ROOT = Recurrence(((0, 0),), _square_root)
"""y² = x: 2 y_0 y_n = x_n − Σ y_j y_{n−j}."""


def real_power(arithmetic: Arithmetic, x: Series, exponent: Any, value: Array) -> Series:
    """``x^exponent`` where x_0 is not 0, by :data:`POWER`; ``value`` is the coefficient of order 0."""
    start = arithmetic.value(x)
    exponent = jnp.broadcast_to(jnp.asarray(exponent, value.dtype), value.shape)
    if arithmetic.degree(x) <= 1:
        (y,) = arithmetic.recur(POWER_OF_LINE, [value], [x], [1 / start, exponent])
        return y
    (y,) = arithmetic.recur(POWER, [value], [x, arithmetic.theta(x)], [1 / start, exponent])
    return y


@register_rule("sqrt")
def sqrt(arithmetic: Arithmetic, x: Series, **_: Any) -> Series:
    """See :data:`SQUARE_ROOT`, and :data:`POWER` for a series of few terms, which takes fewer products."""
    value = jnp.sqrt(arithmetic.value(x))
    if arithmetic.degree(x) < SHORT:
        return real_power(arithmetic, x, 0.5, value)
    (y,) = arithmetic.recur(SQUARE_ROOT, [value], [x], [0.5 / value])
    return y


@register_rule("rsqrt")
def rsqrt(arithmetic: Arithmetic, x: Series, **_: Any) -> Series:
    """x^(−1/2)."""
    return real_power(arithmetic, x, -0.5, materialized(lax.rsqrt(arithmetic.value(x))))


@register_rule("cbrt")
def cbrt(arithmetic: Arithmetic, x: Series, **_: Any) -> Series:
    """x^(1/3), of negative numbers too."""
    return real_power(arithmetic, x, 1 / 3, materialized(jnp.cbrt(arithmetic.value(x))))


@register_rule("integer_pow")
def integer_pow(arithmetic: Arithmetic, x: Series, *, y: int) -> Series:
    """x^y by repeated squaring; the quotient 1/x^(−y) for negative y."""
    if y < 0:
        return quotient(
            arithmetic, arithmetic.constant(jnp.ones_like(arithmetic.value(x))), _positive(arithmetic, x, -y)
        )
    return _positive(arithmetic, x, y)


def _positive(arithmetic: Arithmetic, x: Series, exponent: int) -> Series:
    result = None
    while exponent:
        if exponent & 1:
            result = x if result is None else arithmetic.product(result, x)
        exponent >>= 1
        if exponent:
            x = arithmetic.product(x, x)
    return arithmetic.constant(jnp.ones_like(arithmetic.value(x))) if result is None else result


@register_rule("pow")
def pow_(arithmetic: Arithmetic, x: Value, y: Value) -> Series:
    """x^y, where either or both are series; exp(y·ln x) where y is one."""
    x, y = broadcast_series(arithmetic, x, y)
    if isinstance(y, Series):
        product = (
            arithmetic.product(y, log(arithmetic, x)) if isinstance(x, Series) else arithmetic.times(y, jnp.log(x))
        )
        return exponential(arithmetic, product, materialized(jnp.power(arithmetic.value(x), arithmetic.value(y))))
    assert isinstance(x, Series)
    if jnp.issubdtype(jnp.result_type(y), jnp.integer):
        y = jnp.asarray(y, jnp.finfo(arithmetic.value(x).dtype).dtype)
    constant = _constant(y)
    if constant is not None and constant == int(constant) and abs(constant) <= LARGEST_WRITTEN_OUT:
        return integer_pow(arithmetic, x, y=int(constant))
    start = arithmetic.value(x)
    regular = real_power(arithmetic, x, y, materialized(jnp.power(start, y)))
    if jnp.iscomplexobj(start) or jnp.iscomplexobj(y):
        return regular
    at_zero = _power_at_zero(arithmetic, x, jnp.broadcast_to(jnp.asarray(y), start.shape))
    return arithmetic.unstack(
        jnp.where(start == 0, arithmetic.stack(at_zero).astype(start.dtype), arithmetic.stack(regular))
    )


def _constant(y: Any) -> float | None:
    """The value of an exponent that is one real, finite number while the program is traced; else None."""
    if isinstance(y, Tracer):
        return None
    values = np.unique(np.asarray(y))
    real = values.size == 1 and not np.imag(values[0]) and np.isfinite(values[0])
    return float(np.real(values[0])) if real else None


def _power_at_zero(arithmetic: Arithmetic, x: Series, exponent: Array) -> Series:
    """x^exponent where x_0 = 0.

    For an integer from 0 on, (t·x_1 + …)^exponent by squaring with the bits of the exponent. For any other, what
    repeated ``jax.grad`` gives: zero derivatives at orders below the exponent, infinite or undefined ones above.
    """
    top = arithmetic.order + 1
    whole = (exponent == jnp.floor(exponent)) & (exponent >= 0)
    bits = jnp.clip(jnp.where(whole, exponent, 0), 0, top).astype(jnp.int32)
    base = arithmetic.tail(x)
    result = arithmetic.dense(arithmetic.constant(jnp.ones_like(arithmetic.value(x))))
    for bit in range(top.bit_length()):
        multiplied = arithmetic.stack(arithmetic.product(result, base))
        result = arithmetic.unstack(jnp.where((bits >> bit) & 1, multiplied, arithmetic.stack(result)))
        base = arithmetic.product(base, base)
    value = jnp.power(jnp.zeros_like(exponent), exponent)
    order = arithmetic.ramp(exponent.dtype).reshape(-1, *(1,) * exponent.ndim)
    broken = jnp.where((order < exponent) & (exponent > 0), jnp.where(order == 0, value, 0.0), jnp.nan)
    broken = jnp.where((order == 0) & (exponent < 0), value, broken)
    terms = jnp.where(whole, arithmetic.stack(result), broken.astype(arithmetic.value(x).dtype))
    return arithmetic.unstack(terms)
