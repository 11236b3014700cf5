"""Singular values of many small matrices at once."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxbatch.least_squares.arithmetic.array_library import Array, fori_loop, iterated, namespace, total

WRITTEN_OUT = 24
"""The largest p for Jacobi rotations in JAX; larger matrices go to LAPACK (cuSOLVER on a GPU) one by one, which is
faster."""

_SWEEPS = 40
"""The largest number of sweeps over all pairs of columns."""


_ROUNDING = 2.0**-140
"""A column whose squared norm is this fraction of another's is what rotations left of a zero: it stays as it is."""


def singular_values(A: Float[Array, "p p ..."]) -> Float[Array, "p ..."]:
    """The singular values of square matrices, largest first; all NaN for a matrix with an element that is not finite.

    One-sided Jacobi rotations in round-robin order, all p/2 pairs of a round at once (Golub and Van Loan, *Matrix
    Computations*, 4th ed., §8.6.3 and §8.5.5): to full relative accuracy for a column-scaled triangle.
    """
    xp = namespace(A)
    if A.shape[0] > WRITTEN_OUT and xp is not np:
        return xp.moveaxis(xp.linalg.svd(xp.moveaxis(A, (0, 1), (-2, -1)), compute_uv=False), -1, 0)
    columns = A.swapaxes(0, 1)
    columns = xp.pad(columns, [(0, len(columns) % 2)] + [(0, 0)] * (columns.ndim - 1))
    left, right = xp.split(columns, 2)
    finite = xp.all(xp.isfinite(columns), axis=(0, 1))
    tolerance = float(np.finfo(A.dtype).eps) * math.sqrt(A.shape[0])

    def turn(_: Any, state: tuple[Array, ...]) -> tuple[Array, ...]:
        left, right, largest = state
        inner, square, other = (_inner(a, b) for a, b in ((left, right), (left, left), (right, right)))
        size = xp.sqrt(square) * xp.sqrt(other)
        comparable = xp.minimum(square, other) > _ROUNDING * xp.maximum(square, other)
        cosine = xp.where(comparable, xp.abs(inner) / xp.where(comparable, size, 1.0), 0.0)
        oblique = cosine > tolerance
        zeta = (other - square) / xp.where(oblique, 2.0 * inner, 1.0)
        tangent = xp.where(zeta >= 0, 1.0, -1.0) / (xp.abs(zeta) + xp.sqrt(1.0 + zeta * zeta))
        cos = xp.where(oblique, 1.0 / xp.sqrt(1.0 + tangent * tangent), 1.0)[:, None]
        sin = xp.where(oblique, tangent, 0.0)[:, None] * cos
        left, right = cos * left - sin * right, sin * left + cos * right
        moved_left = xp.concatenate([left[:1], right[:1], left[1:-1]])[: len(left)]
        moved_right = xp.concatenate([right[1:], left[-1:]])[: len(left)] if len(left) > 1 else right
        return moved_left, moved_right, xp.maximum(largest, xp.max(cosine, axis=0))

    def sweep(_: tuple[Array, ...], state: tuple[Array, ...]) -> tuple[Array, ...]:
        left, right, largest = state
        return fori_loop(xp, max(2 * len(left) - 1, 1), turn, (left, right, xp.zeros_like(largest)))

    def unfinished(state: tuple[Array, ...]) -> Array:
        return state[2] > tolerance

    start = (left, right, xp.where(finite, 1.0, 0.0))
    left, right, _ = iterated(xp, sweep, unfinished, (), start, most=_SWEEPS)
    norms = xp.sqrt(_inner(*(xp.concatenate([left, right]),) * 2))
    values = -xp.sort(-norms, axis=0)[: A.shape[0]]
    return xp.where(finite, values, xp.nan)


def _inner(a: Array, b: Array) -> Array:
    """Inner products [p, …] of columns [p, n, …]."""
    return total((a * b).swapaxes(0, 1))
