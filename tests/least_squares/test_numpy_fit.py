"""The least-squares package without JAX, and a whole fit by NumPy."""

import subprocess
import sys

import numpy as np
import scipy.stats

from jaxbatch import least_squares
from tests.least_squares import exact_fits

PROGRAM = """
import sys
from jaxbatch import least_squares
print(least_squares.fit.__name__, least_squares.solve.__name__, "jax" in sys.modules)
print(least_squares.statistic.__name__, least_squares.LONG_ROWS > 0, "jax" in sys.modules)
"""


def test_jax_is_imported_when_it_is_needed():
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    assert found.splitlines() == ["fit solve False", "statistic True True"]


def test_a_whole_fit_against_the_textbook():
    rng = np.random.default_rng(3)
    n, datasets = 30, 4
    problems = []
    for _ in range(datasets):
        X = rng.normal(size=(2, n)) + 5
        problems.append((np.vstack([np.ones(n), X, X.sum(axis=0) + rng.normal(size=n)]), rng.uniform(0.5, 2, n)))
    terms = np.ones((3, datasets), bool)
    found = least_squares.fitted(exact_fits.statistics(problems), terms, terms, intercept=True)
    for d, (Z, w) in enumerate(problems):
        A, y = Z[:-1].T, Z[-1]
        inverse = np.linalg.inv(A.T @ (w[:, None] * A))
        b = inverse @ A.T @ (w * y)
        rss = (w * (y - A @ b) ** 2).sum()
        errors = np.sqrt(np.diag(inverse) * rss / (n - 3))
        tss = (w * (y - np.average(y, weights=w)) ** 2).sum()
        np.testing.assert_allclose(found.coefficients[:, d], b, rtol=1e-11)
        np.testing.assert_allclose(found.standard_errors[:, d], errors, rtol=1e-11)
        np.testing.assert_allclose(found.p_values[:, d], 2 * scipy.stats.t.sf(np.abs(b / errors), n - 3), rtol=1e-8)
        np.testing.assert_allclose(
            [found.loss[d], found.r_squared[d], found.residual_sd[d]],
            [rss / w.sum(), 1 - rss / tss, np.sqrt(rss / (n - 3))],
            rtol=1e-11,
        )


def test_what_is_undefined_is_nan():
    rng = np.random.default_rng(4)
    few = [(np.vstack([np.ones(3), rng.normal(size=(3, 3))]), np.ones(3))]
    terms = np.ones((3, 1), bool)
    found = least_squares.fitted(exact_fits.statistics(few), terms, terms, intercept=True)
    assert np.isnan([found.residual_sd, *found.standard_errors, *found.p_values]).all()
    assert np.isfinite(found.coefficients).all()
    assert found.r_squared[0] > 1 - 1e-15
