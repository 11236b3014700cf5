"""Exponential, hyperbolic and inverse functions of real floats, with derivative rules that lose no digits.

Values are JAX's. Every derivative here is again a function of this file, or plain arithmetic that subtracts nothing
nearly equal, so that derivatives of derivatives are right too. docs/taylor-mode.md sets each beside JAX's own rule.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike


@jax.custom_jvp
def tanh(x: Array) -> Array:
    """The hyperbolic tangent."""
    return lax.tanh(x)


tanh.defjvps(lambda v, _, x: v * sech_squared(x))


@jax.custom_jvp
def sech_squared(x: Array) -> Array:
    """1 − tanh²x = 4u/(1 + u)² with u = exp(−2|x|)."""
    u = jnp.exp(-2 * jnp.abs(x))
    return 4 * u / ((1 + u) * (1 + u))


sech_squared.defjvps(lambda v, y, x: v * (-2 * tanh(x) * y))


@jax.custom_jvp
def logistic(x: Array) -> Array:
    """1/(1 + exp(−x))."""
    return lax.logistic(x)


logistic.defjvps(lambda v, _, x: v * logistic_slope(x))


@jax.custom_jvp
def logistic_slope(x: Array) -> Array:
    """σ'(x) = σ(x)σ(−x)."""
    return lax.logistic(x) * lax.logistic(-x)


logistic_slope.defjvps(lambda v, y, x: v * (-tanh(x / 2) * y))


@jax.custom_jvp
def expm1(x: Array) -> Array:
    """exp(x) − 1."""
    return lax.expm1(x)


expm1.defjvps(lambda v, _, x: v * jnp.exp(x))


@jax.custom_jvp
def logaddexp(a: ArrayLike, b: ArrayLike) -> Array:
    """ln(exp(a) + exp(b))."""
    return jnp.logaddexp(a, b)


logaddexp.defjvps(lambda v, _, a, b: v * logistic(_gap(a, b)), lambda v, _, a, b: v * logistic(_gap(b, a)))


@jax.custom_jvp
def logaddexp2(a: ArrayLike, b: ArrayLike) -> Array:
    """log2(2^a + 2^b)."""
    return jnp.logaddexp2(a, b)


logaddexp2.defjvps(
    lambda v, _, a, b: v * logistic(math.log(2) * _gap(a, b)), lambda v, _, a, b: v * logistic(math.log(2) * _gap(b, a))
)


def _gap(a: Any, b: Any) -> Array:
    return jnp.where(jnp.isinf(a) & (a == b), 0.0, a - b)


@jax.custom_jvp
def one_minus_square(x: Array) -> Array:
    """1 − x², accurate near ±1, with a derivative that is accurate near 0."""
    return (1 - x) * (1 + x)


one_minus_square.defjvps(lambda v, _, x: v * (-2 * x))


@jax.custom_jvp
def asin(x: Array) -> Array:
    """The inverse sine."""
    return lax.asin(x)


asin.defjvps(lambda v, _, x: v * lax.rsqrt(one_minus_square(x)))


@jax.custom_jvp
def acos(x: Array) -> Array:
    """The inverse cosine."""
    return lax.acos(x)


acos.defjvps(lambda v, _, x: v * -lax.rsqrt(one_minus_square(x)))


@jax.custom_jvp
def atanh(x: Array) -> Array:
    """The inverse hyperbolic tangent."""
    return lax.atanh(x)


atanh.defjvps(lambda v, _, x: v / one_minus_square(x))


@jax.custom_jvp
def asinh(x: Array) -> Array:
    """The inverse hyperbolic sine."""
    return lax.asinh(x)


@asinh.defjvp
def _asinh(primals: Any, tangents: Any) -> Any:
    """The derivative 1/√(1 + x²), scaled so that the square does not overflow."""
    (x,), (v,) = primals, tangents
    scale = 1 / scale_of(jnp.ones_like(x), x)
    return asinh(x), v * (scale * lax.rsqrt(scale * scale + (x * scale) ** 2))


@jax.custom_jvp
def acosh(x: Array) -> Array:
    """The inverse hyperbolic cosine."""
    return lax.acosh(x)


acosh.defjvps(lambda v, _, x: v * (lax.rsqrt(x - 1) * lax.rsqrt(x + 1)))


@jax.custom_jvp
def atan2(a: ArrayLike, b: ArrayLike) -> Array:
    """The angle of the point (b, a)."""
    return lax.atan2(a, b)


@atan2.defjvp
def _atan2(primals: Any, tangents: Any) -> Any:
    """The derivative (b·da − a·db)/(a² + b²), scaled so that no square over- or underflows."""
    (a, b), (da, db) = primals, tangents
    size = scale_of(a, b)
    p, q = a / size, b / size
    return atan2(a, b), (q * (da / size) - p * (db / size)) / (p * p + q * q)


@jax.custom_jvp
def hypot(a: ArrayLike, b: ArrayLike) -> Array:
    """√(a² + b²)."""
    return jnp.hypot(a, b)


hypot.defjvps(lambda v, _, a, b: v * cosine(a, b), lambda v, _, a, b: v * cosine(b, a))


@jax.custom_jvp
def cosine(a: Any, b: Any) -> Array:
    """a/√(a² + b²)."""
    return a / jnp.hypot(a, b)


@cosine.defjvp
def _cosine(primals: Any, tangents: Any) -> Any:
    """The derivative sin·(sin·da − cos·db)/√(a² + b²)."""
    (a, b), (da, db) = primals, tangents
    cos, sin = cosine(a, b), cosine(b, a)
    return cos, sin * (sin * da - cos * db) / hypot(a, b)


def scale_of(a: ArrayLike, b: ArrayLike) -> Array:
    """max(|a|, |b|) with its derivative stopped: for scaling where the scale cancels from the result."""
    return lax.stop_gradient(jnp.maximum(jnp.abs(a), jnp.abs(b)))
