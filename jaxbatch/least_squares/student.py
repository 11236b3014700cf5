"""Student's t: the two-sided p value."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.special import gammaln
from jaxtyping import Float

_STEPS = 20_000
"""The most steps of the continued fraction; it takes about √ν."""

_TINY = 1e-300
"""Takes the place of denominators nearer to 0 in the continued fraction."""


def two_sided(t: Float[Array, "..."], dof: Float[Array, "..."]) -> Float[Array, "..."]:
    """P(|T| ≥ |t|) for T of Student's distribution with ν = ``dof`` > 0 degrees of freedom.

    It is I_x(ν/2, ½) with x = ν/(ν + t²), the regularised incomplete beta function (DLMF 8.17.4), by its continued
    fraction (DLMF 8.17.22) in the modified form of Lentz, from whichever end converges. An element no longer
    changes once it has converged, so none depends on its neighbours.
    """
    t, dof = jnp.broadcast_arrays(jnp.abs(t), dof)
    large = t * t > dof * jnp.finfo(t.dtype).max ** 0.25
    ratio = jnp.where(large, 0.0, t / jnp.sqrt(dof)) ** 2
    x = jnp.where(large, dof / t / t, 1.0 / (1.0 + ratio))
    log_x = jnp.where(large, jnp.log(dof) - 2.0 * jnp.log(t), -jnp.log1p(ratio))
    rest = jnp.where(large, 1.0, ratio / (1.0 + ratio))  # 1 − x without cancellation
    a, b = dof / 2.0, 0.5
    near_zero = x < (a + 1.0) / (a + b + 2.0)
    front = jnp.exp(a * log_x + 0.5 * jnp.log(jnp.where(rest > 0, rest, 1.0)) - _log_beta_half(a))
    fraction = _fraction(
        jnp.where(near_zero, a, b), jnp.where(near_zero, b, a), jnp.where(near_zero, x, rest), jnp.isfinite(t)
    )
    p = jnp.where(near_zero, front / a * fraction, 1.0 - front / b * fraction)
    p = jnp.where(rest > 0, p, 1.0)
    return jnp.where(jnp.isnan(t), jnp.nan, p)


def _log_beta_half(a: Array) -> Array:
    """ln B(a, ½); from a = 20 on by the series of ln Γ(a+½) − ln Γ(a) (from DLMF 5.11.8), as ln Γ would cancel."""
    near = jnp.minimum(a, 20.0)
    exact = gammaln(near) - gammaln(near + 0.5)
    far = jnp.maximum(a, 20.0)
    u = 1.0 / far
    series = u * (-1 / 8 + u**2 * (1 / 192 + u**2 * (-1 / 640 + u**2 * (17 / 14336 - u**2 * (31 / 18432)))))
    log_ratio = 0.5 * jnp.log(far) + series
    return 0.5 * jnp.log(jnp.pi) + jnp.where(a < 20.0, exact, -log_ratio)


class _State(NamedTuple):
    step: Array
    c: Array
    d: Array
    value: Array
    running: Array


def _fraction(a: Array, b: Array, x: Array, wanted: Array) -> Array:
    """The continued fraction of I_x(a, b), without its factor xᵃ(1 − x)ᵇ/(a B(a, b)), converged where ``wanted``."""
    one = jnp.ones_like(x)
    first = _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    epsilon = 2.0 * jnp.finfo(x.dtype).eps

    def step(state: _State) -> _State:
        m = state.step.astype(x.dtype)
        c, d, value = state.c, state.d, state.value
        change: Any = one
        for numerator in (
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        ):
            d = 1.0 / _away_from_zero(1.0 + numerator * d)
            c = _away_from_zero(1.0 + numerator / c)
            change = c * d
            value = value * change
        keep = state.running
        return _State(
            state.step + 1,
            jnp.where(keep, c, state.c),
            jnp.where(keep, d, state.d),
            jnp.where(keep, value, state.value),
            keep & (jnp.abs(change - 1.0) > epsilon),
        )

    def unfinished(state: _State) -> Array:
        return jnp.any(state.running) & (state.step < _STEPS)

    start = _State(jnp.ones((), jnp.int32), one, 1.0 / first, 1.0 / first, wanted)
    return lax.while_loop(unfinished, step, start).value


def _away_from_zero(x: Array) -> Array:
    return jnp.where(jnp.abs(x) < _TINY, _TINY, x)
