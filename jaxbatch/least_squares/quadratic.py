"""The squared residual of any coefficients, computed from the Gram matrix without cancellation."""

from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from jaxbatch.least_squares.double_double import DoubleDouble, fast_two_sum, mapped, summed, two_product, two_sum


def squared_residual(G: Any, coefficients: Any) -> Array:
    """‖y − A b‖² = v'G v with v = (−b, 1).

    G v is small where b fits, though its terms are not. So the terms are computed without error and added to four
    floats in a cascade (the expansions of Shewchuk, *Adaptive precision floating-point arithmetic*, 1997, cut after
    four): the error is below 2⁻²⁰⁰ of the terms. For a plain G, digits cancel.

    Args:
        G: [A y]'[A y], double-double or plain, [p + 1, p + 1, …].
        coefficients: b in the same precision, [p, …].

    Returns:
        Plain float64 numbers ≥ 0, […].
    """
    v = mapped(lambda part: jnp.concatenate([-part, jnp.zeros_like(part[:1])]), coefficients)
    last = jnp.zeros(v.shape).at[-1].set(1.0)
    v = v + last
    if not isinstance(G, DoubleDouble):
        return jnp.maximum(jnp.sum(v * jnp.sum(G * v[None], axis=1), axis=0), 0.0)

    def add_column(j: Array, sums: tuple[Array, ...]) -> tuple[Array, ...]:
        column, factor = (mapped(lambda part: lax.dynamic_index_in_dim(part, j, keepdims=False), x) for x in (G, v))
        terms = (
            *two_product(column.high, factor.high),
            *two_product(column.high, factor.low),
            *two_product(column.low, factor.high),
            column.low * factor.low,
        )
        for term in terms:
            sums = _added(sums, term)
        return sums

    zero = jnp.zeros(G.shape[1:])
    sums = lax.fori_loop(0, len(G.high), add_column, (zero, zero, zero, zero))
    high, low = two_sum(sums[0], sums[1])
    low, lowest = two_sum(low, sums[2])
    high, low = fast_two_sum(high, low + (lowest + sums[3]))
    return jnp.maximum(summed(DoubleDouble(high, low) * v).high, 0.0)


def _added(sums: tuple[Array, ...], term: Array) -> tuple[Array, ...]:
    found = []
    for total in sums[:-1]:
        total, term = two_sum(total, term)
        found.append(total)
    return (*found, sums[-1] + term)
