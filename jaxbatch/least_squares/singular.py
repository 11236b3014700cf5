"""Singular values of many small matrices at once."""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float

WRITTEN_OUT = 24
"""The largest p for Jacobi rotations; larger matrices go to LAPACK (cuSOLVER on a GPU) one by one, which is faster."""

_SWEEPS = 40
"""The largest number of sweeps over all pairs of columns."""


def singular_values(A: Float[Array, "p p ..."]) -> Float[Array, "p ..."]:
    """The singular values of square matrices, largest first; all NaN for a matrix with an element that is not finite.

    One-sided Jacobi rotations in round-robin order, all p/2 pairs of a round at once (Golub and Van Loan, *Matrix
    Computations*, 4th ed., §8.6.3 and §8.5.5): to full relative accuracy for a column-scaled triangle.
    """
    if A.shape[0] > WRITTEN_OUT:
        return jnp.moveaxis(jnp.linalg.svd(jnp.moveaxis(A, (0, 1), (-2, -1)), compute_uv=False), -1, 0)
    columns = jnp.swapaxes(A, 0, 1)
    columns = jnp.pad(columns, [(0, len(columns) % 2)] + [(0, 0)] * (columns.ndim - 1))
    left, right = jnp.split(columns, 2)
    finite = jnp.all(jnp.isfinite(columns), axis=(0, 1))
    tolerance = jnp.finfo(A.dtype).eps * math.sqrt(A.shape[0])

    class State(NamedTuple):
        left: Array
        right: Array
        turning: Bool[Array, "..."]
        """The datasets whose columns are not orthogonal yet; the others change no more, whatever these do."""
        sweeps: Array

    def turn(_: Any, state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        left, right, turning, largest = state
        inner = jnp.sum(left * right, axis=1)
        squares = jnp.sum(left * left, axis=1), jnp.sum(right * right, axis=1)
        size = jnp.sqrt(squares[0]) * jnp.sqrt(squares[1])
        cosine = jnp.where(size > 0, jnp.abs(inner) / jnp.where(size > 0, size, 1.0), 0.0)
        oblique = (cosine > tolerance) & turning
        zeta = (squares[1] - squares[0]) / jnp.where(oblique, 2.0 * inner, 1.0)
        tangent = jnp.where(zeta >= 0, 1.0, -1.0) / (jnp.abs(zeta) + jnp.sqrt(1.0 + zeta * zeta))
        cos = jnp.where(oblique, 1.0 / jnp.sqrt(1.0 + tangent * tangent), 1.0)[:, None]
        sin = jnp.where(oblique, tangent, 0.0)[:, None] * cos
        left, right = cos * left - sin * right, sin * left + cos * right
        moved_left = jnp.concatenate([left[:1], right[:1], left[1:-1]])[: len(left)]
        moved_right = jnp.concatenate([right[1:], left[-1:]])[: len(left)] if len(left) > 1 else right
        return moved_left, moved_right, turning, jnp.maximum(largest, jnp.max(cosine, axis=0))

    def sweep(state: State) -> State:
        zero = jnp.zeros(state.turning.shape, A.dtype)
        rounds = max(2 * len(left) - 1, 1)
        moved = lax.fori_loop(0, rounds, turn, (state.left, state.right, state.turning, zero))
        return State(moved[0], moved[1], state.turning & (moved[3] > tolerance), state.sweeps + 1)

    def unfinished(state: State) -> Array:
        return jnp.any(state.turning) & (state.sweeps < _SWEEPS)

    final = lax.while_loop(unfinished, sweep, State(left, right, finite, jnp.zeros((), jnp.int32)))
    norms = jnp.sqrt(jnp.sum(jnp.concatenate([final.left, final.right]) ** 2, axis=1))
    values = -jnp.sort(-norms, axis=0)[: A.shape[0]]
    return jnp.where(finite, values, jnp.nan)
