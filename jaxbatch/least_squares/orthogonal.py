"""Fits from the data by orthogonal transformations, for the methods ``qr`` and ``svd``.

The column-scaled design S is reduced to a p×p factor R and z with R'R = S'S and R'z = S'y; rank, condition and the
minimum-norm solution come from the SVD of R (Björck, *Numerical Methods for Least Squares Problems*, §1.3, §2.7).
On a CPU both call LAPACK dataset by dataset.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from jaxbatch.least_squares.arithmetic.double_double import exponent_of, power_of_two
from jaxbatch.least_squares.design import Design
from jaxbatch.least_squares.solution import Solution, rank_tolerance

Method = Literal["qr", "svd"]


def solve_orthogonally(problem: Design, *, method: Method, ridge: float, eps: float) -> Solution:
    """Fits one dataset; below full rank by the minimum-norm solution of the unscaled problem.

    Args:
        problem: the design.
        method: how it is reduced; ``svd`` also truncates singular values in the solution.
        ridge: λ ≥ 0 of Σwr² + λΣb².
        eps: the unit roundoff of the coarsest precision among the stored columns and the run.
    """
    R, z = _reduce(problem, method)
    U, singular, Vt = jnp.linalg.svd(R)
    kept = singular > rank_tolerance(problem.p, eps, plain=False) * singular[0]
    rank = kept.sum()
    smallest = jnp.take(singular, problem.p - 1)
    condition = jnp.where(smallest > 0, singular[0] / jnp.where(smallest > 0, smallest, 1.0), jnp.inf)
    condition = jnp.where(jnp.isfinite(singular[0]), condition, jnp.nan)

    padding = jnp.diag(jnp.where(problem.terms, 0.0, 1.0).astype(R.dtype))
    full = rank == problem.p
    if method == "svd":
        inverse = Vt.T * jnp.where(kept, 1.0 / jnp.where(kept, singular, 1.0), 0.0)
        full_solution, full_root = inverse @ (U.T @ z), inverse
    else:
        full_solution = jax.scipy.linalg.solve_triangular(R + padding, z)
        full_root = jax.scipy.linalg.solve_triangular(R + padding, jnp.eye(R.shape[0], dtype=R.dtype) - padding)
    full_solution = full_solution / problem.scale
    full_root = full_root / problem.scale[:, None]

    least_root = _minimum_norm(problem.scale, singular, Vt, kept)
    least_solution = least_root @ (U.T @ z)
    solution = jnp.where(full, full_solution, least_solution)
    if ridge > 0:
        solution = _ridge(problem, R, z, ridge)
    coefficients = jnp.where(problem.terms, solution, 0.0)
    sizes = jnp.append(problem.scale, jnp.max(jnp.abs(problem.target), initial=0.0))
    exponents = exponent_of(sizes)
    residual = (problem.target - problem.matrix @ coefficients) * power_of_two(-exponents[-1])
    root = jnp.where(full, full_root, least_root) * power_of_two(exponents[:-1, None])
    return Solution(
        coefficients=coefficients,
        exponents=exponents,
        scaled=coefficients * power_of_two(exponents[:-1] - exponents[-1:]),
        rank=rank,
        condition=condition,
        unscaled_stderr=jnp.sqrt(jnp.sum(root**2, axis=1)),
        rss=residual @ residual,
        rss_rounding=jnp.zeros(()),
    )


def _reduce(problem: Design, method: Method) -> tuple[Array, Array]:
    """R [p, p] and z [p] with R'R = S'S and R'z = S'y."""
    S, y = problem.scaled, problem.target
    p = S.shape[1]
    if method == "qr":
        augmented = jnp.concatenate([S, y[:, None]], axis=1)
        missing = max(p + 1 - S.shape[0], 0)
        augmented = jnp.pad(augmented, ((0, missing), (0, 0)))
        R = jnp.linalg.qr(augmented, mode="r")
        return R[:p, :p], R[:p, p]
    U, singular, Vt = jnp.linalg.svd(jnp.pad(S, ((0, max(p - S.shape[0], 0)), (0, 0))), full_matrices=False)
    return singular[:, None] * Vt, U.T @ jnp.pad(y, (0, max(p - S.shape[0], 0)))


def _minimum_norm(scale: Array, singular: Array, Vt: Array, kept: Array) -> Array:
    """M for the coefficients b = M U'z of least norm in the *unscaled* coordinates.

    The design truncated to its rank is U Σ V'D with D the scales, so M = (V'D)⁺ Σ⁻¹.
    """
    W = jnp.where(kept, scale[:, None] * Vt.T, 0.0)
    P, sizes, Qt = jnp.linalg.svd(W)
    counted = jnp.arange(sizes.shape[0]) < kept.sum()
    inverse = jnp.where(counted, 1.0 / jnp.where(counted, sizes, 1.0), 0.0)
    return (P * inverse) @ Qt * jnp.where(kept, 1.0 / jnp.where(kept, singular, 1.0), 0.0)


def _ridge(problem: Design, R: Array, z: Array, ridge: float) -> Array:
    """The ridge solution: a row √λ/scale for each penalised term is stacked below R, and the result solved by QR."""
    p = R.shape[0]
    penalty = jnp.where(problem.penalised, jnp.sqrt(ridge) / problem.scale, 0.0)
    stacked = jnp.block([[R, z[:, None]], [jnp.diag(penalty), jnp.zeros((p, 1), R.dtype)]])
    triangle = jnp.linalg.qr(stacked, mode="r")
    padding = jnp.diag(jnp.where(problem.terms, 0.0, 1.0).astype(R.dtype))
    return jax.scipy.linalg.solve_triangular(triangle[:p, :p] + padding, triangle[:p, p]) / problem.scale
