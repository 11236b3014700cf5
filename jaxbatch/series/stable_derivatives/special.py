"""Gamma, zeta, Bessel and cardinal sine functions, of real numbers."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero

from jaxbatch.series.stable_derivatives.bessel import scaled_bessel


@jax.custom_jvp
def lgamma(x: Array) -> Array:
    """ln |Γ(x)|."""
    return lax.lgamma(x)


lgamma.defjvps(lambda v, _, x: v * digamma(x))


@jax.custom_jvp
def digamma(x: Array) -> Array:
    """ψ(x), whose derivative is ζ(2, x)."""
    return lax.digamma(x)


digamma.defjvps(lambda v, _, x: v * zeta(jnp.full_like(x, 2.0), x))


@jax.custom_jvp
def zeta(s: Array, q: Array) -> Array:
    """Hurwitz' ζ(s, q), whose derivative in q is −s·ζ(s + 1, q) (DLMF 25.11.17)."""
    return lax.zeta(s, q)


@partial(zeta.defjvp, symbolic_zeros=True)
def _zeta(primals: Any, tangents: Any) -> Any:
    (s, q), (ds, dq) = primals, tangents
    _refuse(ds, "exponent of a zeta function")
    return zeta(s, q), _along(dq, q) * (-s * zeta(s + 1, q))


@jax.custom_jvp
def polygamma(m: Array, x: Array) -> Array:
    """ψ⁽ᵐ⁾(x), whose derivative is ψ⁽ᵐ⁺¹⁾(x)."""
    return lax.polygamma(m, x)


@partial(polygamma.defjvp, symbolic_zeros=True)
def _polygamma(primals: Any, tangents: Any) -> Any:
    (m, x), (dm, dx) = primals, tangents
    _refuse(dm, "order of a polygamma function")
    return polygamma(m, x), _along(dx, x) * polygamma(m + 1, x)


def _refuse(tangent: Any, what: str) -> None:
    if not isinstance(tangent, SymbolicZero):
        raise NotImplementedError(f"there is no derivative in the {what}")


def _along(tangent: Any, like: Array) -> Array:
    return jnp.zeros_like(like) if isinstance(tangent, SymbolicZero) else tangent


@jax.custom_jvp
def undifferentiated(s: Array) -> Array:
    """0, with a derivative of NaN: what is computed from ``s`` elsewhere is constant to forward mode, and must not pass
    for a constant."""
    return jnp.zeros_like(s)


undifferentiated.defjvps(lambda v, _, s: jnp.where(v == 0, 0.0, jnp.nan).astype(s.dtype))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def bessel(order: int, x: Array) -> Array:
    """exp(−|x|)·I_order(x), from the right at 0: 2Iᵥ' = Iᵥ₋₁ + Iᵥ₊₁ (DLMF 10.29.1)."""
    return scaled_bessel(order, x)


@bessel.defjvp
def _bessel(order: int, primals: Any, tangents: Any) -> Any:
    (x,), (v,) = primals, tangents
    plain = (bessel(abs(order - 1), x) + bessel(order + 1, x)) / 2
    return bessel(order, x), v * (plain - jnp.where(x < 0, -1.0, 1.0) * bessel(order, x))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def unscaled_bessel(order: int, x: Array) -> Array:
    """I_order(x)."""
    return jnp.exp(jnp.abs(x)) * scaled_bessel(order, x)


@unscaled_bessel.defjvp
def _unscaled_bessel(order: int, primals: Any, tangents: Any) -> Any:
    (x,), (v,) = primals, tangents
    return unscaled_bessel(order, x), v * ((unscaled_bessel(abs(order - 1), x) + unscaled_bessel(order + 1, x)) / 2)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def sinc(order: int, x: Array) -> Array:
    """The derivative of this order of sin(πx)/(πx).

    With u = πx it is πⁿ times Σ_k (−1)ᵏ u²ᵏ⁻ⁿ/((2k + 1)(2k − n)!) near 0. Beyond, from u·f⁽ⁿ⁾ + n·f⁽ⁿ⁻¹⁾ = sin⁽ⁿ⁾(u).
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
"""2³⁰/30! is below the precision of 64 bits."""


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
    """sin πx and cos πx, with the whole turns left out before they are multiplied by a rounded π."""
    whole = jnp.round(x)
    sign = 1 - 2 * jnp.mod(whole, 2)
    part = math.pi * (x - whole)
    return sign * jnp.sin(part), sign * jnp.cos(part)
