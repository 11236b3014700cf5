"""exp(−|x|)·Iᵥ(x) for integers ν ≥ 0, from the ratios of neighbouring orders."""

import jax.numpy as jnp
from jax import Array, lax

BEYOND = 120
"""The continued fraction starts this many orders above the last wanted one, to forget its start value."""


def ratios(x: Array, count: int) -> Array:
    """The ratios I₁/I₀, …, I_count/I_{count−1} at |x|, [count, …] with the shape of ``x`` behind.

    By the continued fraction run backwards (Miller's algorithm; DLMF 3.6(vi), 10.33.1), which forgets its start value
    like exp(−BEYOND²/|x|). Where |x| is too large for that, Iᵥ₊₁ = Iᵥ₋₁ − (2ν/x)·Iᵥ (DLMF 10.29.1) is stable and is run
    forwards.
    """
    size = jnp.abs(x)
    beyond = count + BEYOND
    start = size / (beyond + jnp.sqrt(float(beyond) ** 2 + size * size))

    def back(i: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        ratio, found = state
        nu = beyond - i
        ratio = size / (2 * nu.astype(x.dtype) + size * ratio)
        place = jnp.minimum(nu, count) - 1
        kept = jnp.where(nu <= count, ratio, lax.dynamic_index_in_dim(found, place, 0, False))
        return ratio, lax.dynamic_update_index_in_dim(found, kept, place, 0)

    _, backward = lax.fori_loop(0, beyond, back, (start, jnp.zeros((count, *x.shape), x.dtype)))
    far = size > BEYOND * BEYOND / 40 + 6 * count
    safe = jnp.where(far, size, 1.0)

    def forth(ratio: Array, nu: Array) -> tuple[Array, Array]:
        return 1 / ratio - 2 * nu.astype(x.dtype) / safe, ratio

    first = jnp.where(far, jnp.abs(lax.bessel_i1e(x)) / lax.bessel_i0e(x), 0.5)
    _, forward = lax.scan(forth, first, jnp.arange(1, count + 1))
    return jnp.where(far, forward, backward)


def scaled_bessel(order: int, x: Array) -> Array:
    """exp(−|x|)·I_order(x) for ``order`` from 0 on, element by element."""
    if order == 0:
        return lax.bessel_i0e(x)
    if order == 1:
        return lax.bessel_i1e(x)
    positive = lax.bessel_i0e(x) * jnp.prod(ratios(x, order), axis=0)
    return jnp.where(x < 0, -positive, positive) if order % 2 else positive
