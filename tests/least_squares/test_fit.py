"""One fit of arrays: against LAPACK and scipy where those are exact enough, and where they are not, a closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxbatch import least_squares
from tests.compiling import BY_OLDER_EMITTERS


def data(n: int = 60, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(n, k))
    return X, 0.5 + X @ rng.normal(size=k) + 0.1 * rng.normal(size=n)


@pytest.mark.parametrize("weighted", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_against_the_textbook(weighted):
    X, y = data()
    w = np.random.default_rng(3).uniform(0.5, 2.0, len(y)) if weighted else np.ones(len(y))
    fit = jax.jit(least_squares.fit, compiler_options=BY_OLDER_EMITTERS)
    found = fit(jnp.array(X), jnp.array(y), weights=jnp.array(w) if weighted else None)
    A = np.c_[np.ones(len(y)), X]
    inverse = np.linalg.inv(A.T @ (w[:, None] * A))
    coefficients = inverse @ A.T @ (w * y)
    residuals = y - A @ coefficients
    variance = (w * residuals**2).sum() / (len(y) - 4)
    errors = np.sqrt(np.diag(inverse) * variance)
    np.testing.assert_allclose(found.coefficients, coefficients, rtol=1e-12)
    np.testing.assert_allclose(found.standard_errors, errors, rtol=1e-11)
    np.testing.assert_allclose(found.p_values, 2 * stats.t.sf(np.abs(coefficients / errors), len(y) - 4), rtol=1e-9)
    np.testing.assert_allclose(found.loss, (w * residuals**2).sum() / w.sum(), rtol=1e-11)
    assert (int(found.rank), float(found.residual_sd)) == (4, pytest.approx(np.sqrt(variance)))


def test_all_digits_of_a_polynomial():
    """NIST's Wampler1: y = 1 + x + … + x⁵ at 0 … 20, where QR keeps ten digits of the coefficients."""
    x = jnp.arange(21.0)
    X = jnp.stack([x**power for power in range(1, 6)], axis=1)
    found = jax.jit(least_squares.fit, compiler_options=BY_OLDER_EMITTERS)(X, 1 + X.sum(axis=1))
    np.testing.assert_allclose(found.coefficients, np.ones(6), rtol=1e-14)


@pytest.mark.slow
def test_below_full_rank_it_is_the_fit_of_least_norm():
    X, y = data(k=2)
    X = np.c_[X, 3 * X[:, 1]]
    found = least_squares.fit(jnp.array(X), jnp.array(y), intercept=False)
    np.testing.assert_allclose(found.coefficients, np.linalg.lstsq(X, y, rcond=1e-12)[0], rtol=1e-10)
    assert int(found.rank) == 2


@pytest.mark.slow
def test_ridge():
    X, y = data()
    found = least_squares.fit(jnp.array(X), jnp.array(y), ridge=2.5)
    A = np.c_[np.ones(len(y)), X]
    penalty = 2.5 * np.diag([0.0, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(found.coefficients, np.linalg.solve(A.T @ A + penalty, A.T @ y), rtol=1e-11)
    assert np.isnan(found.p_values).all()


@pytest.mark.slow
def test_many_at_once():
    X, y = data(n=120)
    found = jax.jit(jax.vmap(least_squares.fit))(jnp.array(X).reshape(3, 40, 3), jnp.array(y).reshape(3, 40))
    for number in range(3):
        part = slice(40 * number, 40 * number + 40)
        alone = least_squares.fit(jnp.array(X[part]), jnp.array(y[part]))
        np.testing.assert_allclose(found.coefficients[number], alone.coefficients, rtol=1e-13)


@pytest.mark.slow
def test_float32_data_are_judged_as_such():
    x = np.linspace(0, 1, 30, dtype=np.float32)
    X = np.c_[x, x + np.float32(1e-7) * (np.arange(30) % 2)].astype(np.float32)
    assert int(least_squares.fit(jnp.array(X), jnp.array(x)).rank) == 2
    assert int(least_squares.fit(jnp.array(X, "float64"), jnp.array(x, "float64")).rank) == 3


def test_float64_must_be_on():
    with jax.enable_x64(False), pytest.raises(ValueError, match="jax_enable_x64"):
        least_squares.fit(jnp.ones((3, 1)), jnp.ones(3))
