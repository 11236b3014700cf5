"""Linear algebra, and small models: layers of a network, a price, a density."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular

from .reference import Case


def _matrix(x):
    return jnp.array([[4.0, 1.0, 0.5], [1.0, 3.0, -1.0], [0.5, -1.0, 5.0]]) + jnp.diag(
        jnp.stack([x, x * x, jnp.sin(x)])
    ) * jnp.array(0.5)


def _exact_matrix(x):
    return mp.matrix([[4 + x / 2, 1, 0.5], [1, 3 + x * x / 2, -1], [0.5, -1, 5 + mp.sin(x) / 2]])


def _right(x):
    return jnp.stack([x, jnp.ones_like(x), x * x])


def _flat(matrix):
    return [matrix[i, j] for i in range(matrix.rows) for j in range(matrix.cols)]


def _bands(x):
    """The first and the last element lie outside the matrix."""
    return (
        jnp.stack([x, 1 - x, jnp.sin(x)]),
        jnp.stack([4 + x, 5 + 0 * x, jnp.exp(x) + 2]),
        jnp.stack([x * x, 1 + x, x]),
    )


def _exact_tridiagonal(x):
    return mp.matrix([[4 + x, x * x, 0], [1 - x, 5, 1 + x], [0, mp.sin(x), mp.exp(x) + 2]])


def _forward(matrix, right):
    """The solution of the lower triangle's system."""
    found = []
    for i, wanted in enumerate(right):
        found.append((wanted - mp.fsum(matrix[i, j] * found[j] for j in range(i))) / matrix[i, i])
    return found


def _positive_qr(x):
    r = jnp.linalg.qr(_matrix(x))[1]
    return jnp.ravel(r * jnp.sign(jnp.diag(r))[:, None])


def _exact_positive_qr(x):
    r = mp.qr(_exact_matrix(x))[1]
    return [r[i, j] * mp.sign(r[i, i]) for i in range(3) for j in range(3)]


WEIGHTS = np.array([[0.5, -1.0, 0.25], [1.5, 0.75, -0.5], [-0.25, 0.5, 1.0]])


def _layers(x):
    hidden = jax.nn.softplus(WEIGHTS @ jnp.stack([x, 1 - x, x * x]))
    return jnp.sum(jax.nn.gelu(WEIGHTS.T @ hidden, approximate=False))


def _exact_layers(x):
    inputs = [x, 1 - x, x * x]
    hidden = [mp.log(1 + mp.exp(mp.fdot(row, inputs))) for row in WEIGHTS.tolist()]
    last = [mp.fdot(row, hidden) for row in WEIGHTS.T.tolist()]
    return mp.fsum(a * mp.ncdf(a) for a in last)


def _price(spot, volatility, time):
    root = volatility * jnp.sqrt(time)
    up = (jnp.log(spot / 100) + (0.03125 + volatility**2 / 2) * time) / root
    cdf = jax.scipy.stats.norm.cdf
    return spot * cdf(up) - 100 * jnp.exp(-0.03125 * time) * cdf(up - root)


def _exact_price(spot, volatility, time):
    root = volatility * mp.sqrt(time)
    up = (mp.log(spot / 100) + (0.03125 + volatility**2 / 2) * time) / root
    return spot * mp.ncdf(up) - 100 * mp.exp(-0.03125 * time) * mp.ncdf(up - root)


def _student(freedom):
    half = (freedom + 1) / 2
    scale = lax.lgamma(half) - lax.lgamma(freedom / 2) - jnp.log(freedom * jnp.pi) / 2
    return jnp.exp(scale - half * jnp.log1p(2.25 / freedom))


def _exact_student(freedom):
    half = (freedom + 1) / 2
    scale = mp.loggamma(half) - mp.loggamma(freedom / 2) - mp.log(freedom * mp.pi) / 2
    return mp.exp(scale - half * mp.log(1 + mp.mpf(2.25) / freedom))


CASES = [
    Case(
        "solve",
        lambda x: jnp.linalg.solve(_matrix(x), _right(x)),
        lambda x: mp.lu_solve(_exact_matrix(x), mp.matrix([x, 1, x * x])),
        (0.0, 1.25),
        radius=1,
    ),
    Case(
        "inv",
        lambda x: jnp.linalg.inv(_matrix(x)),
        lambda x: _flat(mp.inverse(_exact_matrix(x))),
        (0.0, 1.25),
        radius=1,
    ),
    Case("det", lambda x: jnp.linalg.det(_matrix(x)), lambda x: mp.det(_exact_matrix(x)), (0.0, 1.25), radius=1),
    Case(
        "slogdet",
        lambda x: jnp.linalg.slogdet(_matrix(x))[1],
        lambda x: mp.log(mp.det(_exact_matrix(x))),
        (0.0, 1.25),
        radius=1,
    ),
    Case(
        "cholesky",
        lambda x: jnp.linalg.cholesky(_matrix(x)),
        lambda x: _flat(mp.cholesky(_exact_matrix(x))),
        (0.0, 1.25),
        together=True,
    ),
    Case(
        "triangular solve",
        lambda x: solve_triangular(_matrix(x), _right(x), lower=True),
        lambda x: _forward(_exact_matrix(x), [x, 1, x * x]),
        (0.0, 1.25),
    ),
    Case(
        "transposed triangular solve",
        lambda x: solve_triangular(_matrix(x).T, _right(x), trans="T"),
        lambda x: _forward(_exact_matrix(x), [x, 1, x * x]),
        (0.0, 1.25),
    ),
    Case(
        "tridiagonal solve",
        lambda x: jax.lax.linalg.tridiagonal_solve(*_bands(x), _right(x)[:, None])[:, 0],
        lambda x: mp.lu_solve(_exact_tridiagonal(x), mp.matrix([x, 1, x * x])),
        (0.0, 1.25),
        radius=1,
    ),
    Case("qr", _positive_qr, _exact_positive_qr, (0.0, 1.25), together=True),
    Case(
        "eigh",
        lambda x: jnp.linalg.eigvalsh(_matrix(x)),
        lambda x: mp.eigsy(_exact_matrix(x), eigvals_only=True),
        (0.0, 1.25),
        order=4,
    ),
    Case("eigenvectors", lambda x: jnp.linalg.eigh(_matrix(x))[1] ** 2, None, (0.25, 1.25), order=3),
    Case("two layers", _layers, _exact_layers, (0.0, 1.25)),
    Case(
        "a price in spot", lambda x: _price(x, 0.25, 0.5), lambda x: _exact_price(x, 0.25, mp.mpf(0.5)), (96.0, 110.0)
    ),
    Case(
        "a price in volatility",
        lambda x: _price(96.0, x, 0.5),
        lambda x: _exact_price(mp.mpf(96), x, mp.mpf(0.5)),
        (0.25, 0.75),
    ),
    Case("a price in time", lambda x: _price(96.0, 0.25, x), lambda x: _exact_price(mp.mpf(96), 0.25, x), (0.5, 2.0)),
    Case("Student's density", _student, _exact_student, (1.5, 6.0), radius=1),
]
