"""Linear systems: A x = b gives A_0 x_n = b_n − Σ_{0<j≤n} A_j x_{n−j}, the Cauchy product solved for x_n.

That is one solve with A_0 per order. Factorizations (Cholesky, LU, QR …) have no rule here: they are expanded by
their derivatives (``derivative_rule.py``), which are made of such systems.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend import core

from jaxbatch.series.arithmetic import Arithmetic, Series, Value, is_series
from jaxbatch.series.interpreter import interpret, register_rule

Bands = tuple[Array, Array, Array]
"""The diagonal below the main one, the main one and the one above, each [..., n]."""


def _by_orders(arithmetic: Arithmetic, like: Array, next_term: Callable[[Array, Array], Array]) -> Series:
    """The series with the coefficients ``next_term(n, terms)``.

    ``terms`` [order + 1, …] has the coefficients below order n, and zeros from there on; each is shaped like ``like``.
    """

    def step(n: Array, terms: Array) -> Array:
        return lax.dynamic_update_index_in_dim(terms, next_term(n, terms), n, 0)

    terms = jnp.zeros((arithmetic.order + 1, *like.shape), like.dtype)
    return arithmetic.unstack(lax.fori_loop(0, arithmetic.order + 1, step, terms))


@register_rule("triangular_solve")
def triangular_solve(arithmetic: Arithmetic, a: Value, b: Value, **parameters: Any) -> Series:
    """Solves with a triangle; only the elements that the solver reads enter the products."""

    def solve(matrix: Array, right: Array) -> Array:
        return jax.lax.linalg.triangular_solve(matrix, right, **parameters)

    if not isinstance(a, Series):
        return arithmetic.map(lambda term: solve(a, term), arithmetic.series(b))
    cut = jnp.tril if parameters["lower"] else jnp.triu
    inside = (-1 if parameters["lower"] else 1) if parameters["unit_diagonal"] else 0

    def multiply(matrix: Array, x: Array) -> Array:
        matrix = cut(matrix, inside)
        if parameters["transpose_a"]:
            matrix = jnp.swapaxes(matrix, -1, -2)
        if parameters["conjugate_a"]:
            matrix = matrix.conj()
        product = jnp.matmul(matrix, x) if parameters["left_side"] else jnp.matmul(x, matrix)
        return product.astype(x.dtype)

    matrices, right = arithmetic.stack(a), arithmetic.stack(arithmetic.series(b))

    def next_term(n: Array, terms: Array) -> Array:
        known = jnp.sum(jax.vmap(multiply)(matrices, _partners(n, terms)), axis=0)
        return solve(matrices[0], right[n] - known)

    return _by_orders(arithmetic, right[0], next_term)


@register_rule("tridiagonal_solve")
def tridiagonal_solve(
    arithmetic: Arithmetic, below: Value, diagonal: Value, above: Value, b: Value, **parameters: Any
) -> Series:
    """Solves with three diagonals; the first element of ``below`` and the last of ``above`` are outside the matrix."""

    def solve(bands: Bands, right: Array) -> Array:
        return lax.linalg.tridiagonal_solve(*bands, right, **parameters)

    def multiply(bands: Bands, x: Array) -> Array:
        lower, middle, upper = (band[..., None] for band in bands)
        product = middle * x
        product = product.at[..., 1:, :].add(lower[..., 1:, :] * x[..., :-1, :])
        return product.at[..., :-1, :].add(upper[..., :-1, :] * x[..., 1:, :])

    lower, middle, upper = (arithmetic.stack(arithmetic.series(band)) for band in (below, diagonal, above))
    right = arithmetic.stack(arithmetic.series(b))

    def next_term(n: Array, terms: Array) -> Array:
        known = jnp.sum(jax.vmap(multiply)((lower, middle, upper), _partners(n, terms)), axis=0)
        return solve((lower[0], middle[0], upper[0]), right[n] - known)

    return _by_orders(arithmetic, right[0], next_term)


def _partners(n: Array, terms: Array) -> Array:
    """x_{n−j} at index j, and 0 where j > n."""
    orders = n - jnp.arange(len(terms))
    inside = (orders >= 0).reshape(-1, *(1,) * (terms.ndim - 1))
    return jnp.where(inside, jnp.take(terms, orders, axis=0, mode="wrap"), 0)


@register_rule("custom_linear_solve")
def custom_linear_solve(arithmetic: Arithmetic, *operands: Value, const_lengths: Any, jaxprs: Any) -> list[Value]:
    """A system given by functions: its residual by its own matrix product, run on series, its solve at order 0.

    Where the matrix does not depend on t, each coefficient of the right side is solved for by itself.
    """
    lengths = list(const_lengths)
    consts, start = [], 0
    for length in lengths:
        consts.append(list(operands[start : start + length]))
        start += length
    right = [arithmetic.series(x) for x in operands[start:]]
    matrix, solver = consts[0], [arithmetic.value(x) if is_series(x) else x for x in consts[2]]

    def solve(*terms: Array) -> list[Array]:
        return core.jaxpr_as_fun(jaxprs.solve)(*solver, *terms)

    if not any(map(is_series, matrix)):
        return [arithmetic.map(lambda *terms, i=i: solve(*terms)[i], *right) for i in range(len(right))]
    wanted = [arithmetic.stack(x) for x in right]

    def step(n: Array, found: list[Array]) -> list[Array]:
        product = interpret(
            arithmetic,
            jaxprs.matvec.jaxpr,
            jaxprs.matvec.consts,
            [*matrix, *(arithmetic.unstack(terms) for terms in found)],
        )
        residual = [w[n] - arithmetic.stack(arithmetic.series(p))[n] for w, p in zip(wanted, product, strict=True)]
        return [
            lax.dynamic_update_index_in_dim(terms, term, n, 0)
            for terms, term in zip(found, solve(*residual), strict=True)
        ]

    found = lax.fori_loop(0, arithmetic.order + 1, step, [jnp.zeros_like(terms) for terms in wanted])
    return [arithmetic.unstack(terms) for terms in found]
