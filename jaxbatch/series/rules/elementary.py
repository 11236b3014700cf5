"""Products, quotients, exponentials, trigonometric and hyperbolic functions.

With θ = t·d/dt every function with a derivative y' = g(y, x) x' satisfies θy = g(y, x)·θx, and the coefficient of
order n of θy is n·y_n. The recurrences are those of Griewank and Walther, *Evaluating Derivatives*, 2nd ed., §13.2,
table 13.2, written as one formula for every order. In the formulas below Σ is over 0 < j < n.
"""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from jaxbatch.series.arithmetic import Arithmetic, Recurrence, Series, Value, is_series
from jaxbatch.series.interpreter import register_rule
from jaxbatch.series.materialized import materialized
from jaxbatch.series.rules.linear import broadcast_series
from jaxbatch.series.stable_derivatives import elementary as exact


@register_rule("mul")
def mul(arithmetic: Arithmetic, a: Value, b: Value, **_: Any) -> Series:
    """c_n = Σ_{0≤j≤n} a_j b_{n−j}."""
    if is_series(a) and is_series(b):
        a, b = broadcast_series(arithmetic, a, b)
        return arithmetic.product(a, b)  # pyright: ignore[reportArgumentType]
    series, factor = (a, b) if is_series(a) else (b, a)
    return arithmetic.times(series, factor)  # pyright: ignore[reportArgumentType]


@register_rule("square")
def square(arithmetic: Arithmetic, x: Series) -> Series:
    """x·x; products a_j a_{n−j} and a_{n−j} a_j are computed once."""
    return arithmetic.product(x, x)


def _quotient(_: Any, sums: Any, first: Any, known: Any) -> Any:
    a_n, b_n, inverse = known
    return ((a_n - first[0] * b_n - sums[0]) * inverse,)


QUOTIENT = Recurrence(((0, 2),), _quotient)
"""c = a/b: c_n = (a_n − c_0 b_n − Σ c_j b_{n−j}) / b_0."""


@register_rule("div")
def div(arithmetic: Arithmetic, a: Value, b: Value) -> Series:
    """See :data:`QUOTIENT`."""
    if not isinstance(b, Series):
        return arithmetic.map(lambda term: term / b, arithmetic.series(a))
    return quotient(arithmetic, arithmetic.series(a), b)


def quotient(arithmetic: Arithmetic, a: Series, b: Series) -> Series:
    """``a / b`` of two series, by :data:`QUOTIENT`."""
    first = arithmetic.value(a) / arithmetic.value(b)
    (c,) = arithmetic.recur(QUOTIENT, [first], [a, b], [1 / arithmetic.value(b)])
    return c


def _exponential(n: Any, sums: Any, first: Any, known: Any) -> Any:
    return ((first[0] * known[0] + sums[0]) / n,)


EXPONENTIAL = Recurrence(((0, 1),), _exponential)
"""θy = y·θx: n y_n = y_0 (θx)_n + Σ y_j (θx)_{n−j}."""


def exponential(arithmetic: Arithmetic, x: Series, value: Array) -> Series:
    """``exp(x)``, by :data:`EXPONENTIAL`; ``value`` is its coefficient of order 0."""
    (y,) = arithmetic.recur(EXPONENTIAL, [value], [arithmetic.theta(x)])
    return y


@register_rule("exp")
def exp(arithmetic: Arithmetic, x: Series, **_: Any) -> Series:
    """See :data:`EXPONENTIAL`."""
    return exponential(arithmetic, x, materialized(jnp.exp(arithmetic.value(x))))


@register_rule("exp2")
def exp2(arithmetic: Arithmetic, x: Series, **_: Any) -> Series:
    """2^x = exp(x·ln 2)."""
    return exponential(arithmetic, arithmetic.times(x, math.log(2)), materialized(jnp.exp2(arithmetic.value(x))))


@register_rule("expm1")
def expm1(arithmetic: Arithmetic, x: Series, **_: Any) -> Series:
    """exp(x) with expm1(x_0) as the coefficient of order 0."""
    value = arithmetic.value(x)
    at_order_0 = jnp.expm1 if jnp.iscomplexobj(value) else exact.expm1
    return arithmetic.with_value(exp(arithmetic, x), at_order_0(value))


@register_rule("log")
def log(arithmetic: Arithmetic, x: Series, **_: Any) -> Series:
    """θy = θx / x."""
    theta = quotient(arithmetic, arithmetic.theta(x), x)
    return arithmetic.integral(theta, jnp.log(arithmetic.value(x)))


@register_rule("log1p")
def log1p(arithmetic: Arithmetic, x: Series, **_: Any) -> Series:
    """θy = θx / (1 + x)."""
    theta = quotient(arithmetic, arithmetic.theta(x), arithmetic.shift(x, 1))
    return arithmetic.integral(theta, jnp.log1p(arithmetic.value(x)))


def _oscillation(sign: int) -> Recurrence:
    def step(n: Any, sums: Any, first: Any, known: Any) -> Any:
        s = (first[1] * known[0] + sums[1]) / n
        c = (first[0] * known[0] + sums[0]) / n
        return s, sign * c

    return Recurrence(((0, 2), (1, 2)), step)


OSCILLATION = {-1: _oscillation(-1), 1: _oscillation(1)}
"""θs = c·θx, θc = ±s·θx: sine and cosine for the sign −1, the hyperbolic ones for 1."""


def _one_of_pair(sign: int, sine: Callable, cosine: Callable, which: int) -> Callable[..., Series]:
    def rule(arithmetic: Arithmetic, x: Series, **_: Any) -> Series:
        value = arithmetic.value(x)
        first = [materialized(sine(value)), materialized(cosine(value))]
        return arithmetic.recur(OSCILLATION[sign], first, [arithmetic.theta(x)])[which]

    return rule


register_rule("sin")(_one_of_pair(-1, jnp.sin, jnp.cos, 0))
register_rule("cos")(_one_of_pair(-1, jnp.sin, jnp.cos, 1))
register_rule("sinh")(_one_of_pair(1, jnp.sinh, jnp.cosh, 0))
register_rule("cosh")(_one_of_pair(1, jnp.sinh, jnp.cosh, 1))


def _tangent(sign: int) -> Recurrence:
    def step(n: Any, sums: Any, first: Any, known: Any) -> Any:
        y = (first[1] * known[0] + sums[0]) / n
        return y, sign * (2 * first[0] * y + sums[1])

    return Recurrence(((1, 2), (0, 0)), step)


TANGENT, HYPERBOLIC_TANGENT = _tangent(1), _tangent(-1)
"""θy = w·θx with w = 1 + y² or 1 − y²: w_n = ±(2 y_0 y_n + Σ y_j y_{n−j})."""


def _logistic(n: Any, sums: Any, first: Any, known: Any) -> Any:
    y = (first[1] * known[0] + sums[0]) / n
    return y, known[1] * y - sums[1]


LOGISTIC = Recurrence(((1, 2), (0, 0)), _logistic)
"""θy = w·θx with w = y − y²: w_n = (1 − 2 y_0) y_n − Σ y_j y_{n−j}. The constant 1 − 2 y_0 is −tanh(x_0/2)."""


@register_rule("tan")
def tan(arithmetic: Arithmetic, x: Series, **_: Any) -> Series:
    """See :data:`TANGENT`."""
    y = materialized(jnp.tan(arithmetic.value(x)))
    return arithmetic.recur(TANGENT, [y, 1 + y * y], [arithmetic.theta(x)])[0]


@register_rule("tanh")
def tanh(arithmetic: Arithmetic, x: Series, **_: Any) -> Series:
    """See :data:`HYPERBOLIC_TANGENT`."""
    value = arithmetic.value(x)
    if jnp.iscomplexobj(value):
        y = materialized(jnp.tanh(value))
        slope = 1 - y * y
    else:
        y, slope = materialized(exact.tanh(value)), materialized(exact.sech_squared(value))
    return arithmetic.recur(HYPERBOLIC_TANGENT, [y, slope], [arithmetic.theta(x)])[0]


@register_rule("logistic")
def logistic(arithmetic: Arithmetic, x: Series, **_: Any) -> Series:
    """See :data:`LOGISTIC`; the slope is σ(x)σ(−x)."""
    value = arithmetic.value(x)
    if jnp.iscomplexobj(value):
        y = materialized(lax.logistic(value))
        first, constant = [y, y * materialized(lax.logistic(-value))], 1 - 2 * y
    else:
        first = [materialized(exact.logistic(value)), materialized(exact.logistic_slope(value))]
        constant = -exact.tanh(value / 2)
    return arithmetic.recur(LOGISTIC, first, [arithmetic.theta(x)], [constant])[0]
