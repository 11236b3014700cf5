"""Gamma, zeta, Bessel and sinc functions of real floats, with derivative rules that lose no digits, to any order.

Values are JAX's where JAX has the function. The formulas are those of the NIST Digital Library of Mathematical
Functions (DLMF), at the numbers named.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike

from jaxbatch.series.stable_derivatives.bessel import scaled_bessel


@jax.custom_jvp
def lgamma(x: Array) -> Array:
    """ln |Γ(x)|, whose derivative is ψ(x) (DLMF 5.2.2)."""
    return lax.lgamma(x)


lgamma.defjvps(lambda v, _, x: v * digamma(x))


@jax.custom_jvp
def digamma(x: Array) -> Array:
    """ψ(x), whose derivative is ζ(2, x) (DLMF 25.11.12)."""
    return lax.digamma(x)


digamma.defjvps(lambda v, _, x: v * zeta(jnp.full_like(x, 2.0), x))


@jax.custom_jvp
def zeta(s: ArrayLike, q: ArrayLike) -> Array:
    """Hurwitz' ζ(s, q), whose derivative in q is −s·ζ(s + 1, q) (DLMF 25.11.17)."""
    return lax.zeta(s, q)


@jax.custom_jvp
def polygamma(m: ArrayLike, x: ArrayLike) -> Array:
    """ψ⁽ᵐ⁾(x), whose derivative in x is ψ⁽ᵐ⁺¹⁾(x) (DLMF 5.15)."""
    return lax.polygamma(m, x)


def _define_slope(function: Any, slope: Callable[[Array, Array], Array], parameter_name: str) -> None:
    """Gives a function of a parameter and x its derivative in x; one in the parameter raises NotImplementedError."""

    @partial(function.defjvp, symbolic_zeros=True)
    def _(primals: Any, tangents: Any) -> Any:
        (parameter, x), (along_parameter, along_x) = primals, tangents
        if not isinstance(along_parameter, SymbolicZero):
            raise NotImplementedError(f"there is no derivative in the {parameter_name}")
        direction = jnp.zeros_like(x) if isinstance(along_x, SymbolicZero) else along_x
        return function(parameter, x), direction * slope(parameter, x)


_define_slope(zeta, lambda s, q: -s * zeta(s + 1, q), "exponent of a zeta function")
_define_slope(polygamma, lambda m, x: polygamma(m + 1, x), "order of a polygamma function")


@jax.custom_jvp
def undifferentiated(s: ArrayLike) -> Array:
    """0 with a derivative of NaN along any direction but 0.

    It is added to results that depend on ``s`` with no derivative in it here: they must not pass for constants in it.
    """
    return jnp.zeros_like(s)


undifferentiated.defjvps(lambda v, _, s: jnp.where(v == 0, 0.0, jnp.nan).astype(s.dtype))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def bessel(order: int, x: Array) -> Array:
    """exp(−|x|)·I_order(x), whose derivative, at 0 from the right, follows from 2Iᵥ' = Iᵥ₋₁ + Iᵥ₊₁ (DLMF 10.29.1)."""
    return scaled_bessel(order, x)


@bessel.defjvp
def _bessel(order: int, primals: Any, tangents: Any) -> Any:
    (x,), (v,) = primals, tangents
    plain = (bessel(abs(order - 1), x) + bessel(order + 1, x)) / 2
    return bessel(order, x), v * (plain - jnp.where(x < 0, -1.0, 1.0) * bessel(order, x))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def unscaled_bessel(order: int, x: Array) -> Array:
    """I_order(x), whose derivative follows from 2Iᵥ' = Iᵥ₋₁ + Iᵥ₊₁ (DLMF 10.29.1)."""
    return jnp.exp(jnp.abs(x)) * scaled_bessel(order, x)


@unscaled_bessel.defjvp
def _unscaled_bessel(order: int, primals: Any, tangents: Any) -> Any:
    (x,), (v,) = primals, tangents
    return unscaled_bessel(order, x), v * ((unscaled_bessel(abs(order - 1), x) + unscaled_bessel(order + 1, x)) / 2)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def sinc(order: int, x: Array) -> Array:
    """The derivative of order n of sin(πx)/(πx).

    With u = πx it is πⁿ·f⁽ⁿ⁾(u) for f = sin(u)/u. Near 0, f⁽ⁿ⁾ = Σ_k (−1)ᵏ u²ᵏ⁻ⁿ/((2k + 1)(2k − n)!), the derivative of
    the Maclaurin series; elsewhere it follows from u·f⁽ⁿ⁾ + n·f⁽ⁿ⁻¹⁾ = sin⁽ⁿ⁾(u).
    """
    if order == 0:
        return jnp.sinc(x)
    small = jnp.abs(x) < 2 / math.pi
    near = _near_zero(order, math.pi * jnp.where(small, x, 0.0))
    far = _far_from_zero(order, jnp.where(small, 1.0, x))
    return math.pi**order * jnp.where(small, near, far)


@sinc.defjvp
def _sinc(order: int, primals: Any, tangents: Any) -> Any:
    (x,), (v,) = primals, tangents
    return sinc(order, x), v * sinc(order + 1, x)


SINC_TERMS = 16
"""Terms of the Maclaurin series: |u| < 2 there, and 2³⁰/30! is below the precision of float64."""


def _near_zero(order: int, u: Array) -> Array:
    first = (order + 1) // 2
    total = jnp.zeros_like(u)
    for k in reversed(range(first, first + SINC_TERMS)):
        total = total * (u * u) + (-1) ** k / ((2 * k + 1) * math.factorial(2 * k - order))
    return total * u if order % 2 else total


def _far_from_zero(order: int, x: Array) -> Array:
    sine, cosine = half_turns(x)
    u = math.pi * x
    result = sine / u
    for n in range(1, order + 1):
        result = ((sine, cosine, -sine, -cosine)[n % 4] - n * result) / u
    return result


def half_turns(x: Array) -> tuple[Array, Array]:
    """sin πx and cos πx; whole half turns are subtracted from x, exactly, before the rest is multiplied by π."""
    whole = jnp.round(x)
    sign = 1 - 2 * jnp.mod(whole, 2)
    part = math.pi * (x - whole)
    return sign * jnp.sin(part), sign * jnp.cos(part)
