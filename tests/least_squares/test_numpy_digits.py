"""Fits by NumPy: all digits that the data allow, against rational arithmetic and NIST's certified values."""

from fractions import Fraction
from functools import partial

import jax
import numpy as np
import pytest

from jaxbatch import least_squares
from jaxbatch.least_squares.arithmetic.double_double import DoubleDouble
from tests.compiling import BY_OLDER_EMITTERS
from tests.kernels.regression_cases import CEILING, log_relative_error, nist
from tests.least_squares import exact_fits

EPS = 2.0**-52


def fitted(statistic, terms, *, intercept=True, ridge=0.0):
    penalised = least_squares.terms(terms[1:], True)[1] if intercept else terms
    solution = least_squares.solve(statistic, terms, penalised, ridge=ridge, eps=EPS)
    moments = least_squares.response_moments(statistic, intercept=intercept)
    return solution, least_squares.infer(solution, moments, terms.sum(axis=0), sampled=ridge == 0)


def test_hard_problems_keep_the_digits_of_their_data():
    rng = np.random.default_rng(24)
    problems = [exact_fits.hard_problem(rng) for _ in range(200)]
    statistic = exact_fits.statistics([(Z, w) for Z, w, _ in problems])
    terms = np.array([[i < len(Z) - 1 for Z, _, _ in problems] for i in range(len(statistic.exponents) - 1)])
    solution, _ = fitted(statistic, terms)
    np.testing.assert_array_equal(solution.rank, terms.sum(axis=0))
    for d, (Z, w, condition) in enumerate(problems):
        exact = exact_fits.solved(exact_fits.gram(Z, w))
        found = exact_fits.digits(solution.coefficients[terms[:, d], d].tolist(), exact)
        assert found >= exact_fits.ceiling(Z, w, exact, rng) - 0.3, (d, condition)
        assert solution.condition[d] == pytest.approx(condition, rel=1e-14 * condition)


@pytest.mark.parametrize("intercept", [True, False])
def test_nist_to_the_ceiling_of_float64_data(intercept):
    names = [name for name in CEILING if intercept != name.startswith("NoInt")]
    problems, certified = [], []
    for name in names:
        X, y, values = nist(name)
        problems.append((np.vstack([*([np.ones(len(y))] if intercept else []), X.T, y]), np.ones(len(y))))
        certified.append(values)
    statistic = exact_fits.statistics(problems)
    terms = np.array([[i < len(Z) - 1 for Z, _ in problems] for i in range(len(statistic.exponents) - 1)])
    solution, inference = fitted(statistic, terms, intercept=intercept)
    for d, (name, values) in enumerate(zip(names, certified, strict=True)):
        used = terms[:, d]
        assert log_relative_error(solution.coefficients[used, d], values["coefficients"]) >= CEILING[name], name
        spread = [*inference.standard_errors.value[used, d], inference.residual_sd.value[d]]
        exact = [*values["standard_errors"], values["residual_standard_deviation"]]
        assert log_relative_error(spread, exact) >= CEILING[name] - 1, name


def random_statistics(rng, datasets, p, n=12):
    X = rng.normal(size=(datasets, p - 1, n)) * 10.0 ** rng.integers(-3, 4, (datasets, p - 1, 1))
    y = X.sum(axis=1) + rng.normal(size=(datasets, n))
    ones = np.ones((1, n))
    return [(np.vstack([ones, X[d], y[d]]), np.ones(n)) for d in range(datasets)]


def deficient(problems):
    """Every other problem with its third column a multiple of the second, or zero, or with fewer rows than columns."""
    changed = []
    for d, (Z, w) in enumerate(problems):
        Z = Z.copy()
        if d % 4 == 1:
            Z[2] = 3.0 * Z[1]
        elif d % 8 == 3:
            Z[2] = 0.0
        elif d % 8 == 7:
            Z, w = Z[:, : len(Z) - 2], w[: len(Z) - 2]
        changed.append((Z, w))
    return changed


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 0.75])
def test_of_any_rank_it_is_the_fit_of_least_norm(plain, ridge):
    rng = np.random.default_rng(5)
    problems = deficient(random_statistics(rng, 16, 4))
    statistic = exact_fits.statistics(problems)
    if plain:
        statistic = statistic._replace(products=statistic.products.high)
    terms = np.ones((4, 16), bool)
    solution, inference = fitted(statistic, terms, ridge=ridge)
    for d, (Z, _) in enumerate(problems):
        A, y = Z[:-1].T, Z[-1]
        rank = 4 if d % 2 == 0 else 3
        assert solution.rank[d] == rank
        if ridge:
            exact = np.linalg.solve(A.T @ A + ridge * np.diag([0.0, 1, 1, 1]), A.T @ y)
        else:
            exact = np.linalg.pinv(A, rcond=1e-12) @ y
        np.testing.assert_allclose(solution.coefficients[:, d], exact, rtol=1e-8 if plain else 1e-9, atol=1e-9)
        rss = ((y - A @ exact) ** 2).sum()
        assert inference.loss[d] == pytest.approx(rss / len(y), rel=1e-6, abs=1e-9)


def test_numpy_and_jax_agree():
    rng = np.random.default_rng(6)
    statistic = exact_fits.statistics(deficient(random_statistics(rng, 8, 3)))
    terms = np.ones((3, 8), bool)
    here = fitted(statistic, terms)
    last = jax.tree.map(lambda x: np.moveaxis(x, -1, 0), statistic)

    @partial(jax.jit, compiler_options=BY_OLDER_EMITTERS)
    @jax.vmap
    def program(statistic):
        return fitted(statistic, jax.numpy.ones(3, bool))

    there = jax.device_get(program(last))
    for ours, theirs in zip(jax.tree.leaves(here), jax.tree.leaves(there), strict=True):
        np.testing.assert_allclose(np.moveaxis(ours, -1, 0), theirs, rtol=1e-12, atol=1e-13)


def test_two_hundred_terms():
    """Rounded to float64, the coefficients satisfy the normal equations as well as rounded numbers can."""
    p, n = 200, 260
    rng = np.random.default_rng(7)
    Z = np.vstack([np.ones(n), rng.integers(-9, 10, (p, n))]).astype(float)
    G = Z @ Z.T  # exact: integers below 2⁵³
    statistic = least_squares.Statistic(
        DoubleDouble(G[..., None], np.zeros((p + 1, p + 1, 1))),
        np.zeros((p + 1, 1), np.int32),
        *(np.array([float(x)]) for x in (n, n, Z[-1].min(), Z[-1].max(), 0.0)),
    )
    solution, _ = fitted(statistic, np.ones((p, 1), bool))
    b = [*map(Fraction, solution.coefficients[:, 0].tolist()), Fraction(-1)]
    for row in G[:-1].astype(int).tolist():
        products = [each * x for each, x in zip(row, b, strict=True)]
        assert abs(sum(products)) <= sum(map(abs, products)) * Fraction(2) ** -53
    singular = np.linalg.svd(Z[:-1] / np.linalg.norm(Z[:-1], axis=1)[:, None], compute_uv=False)
    assert solution.condition[0] == pytest.approx(singular[0] / singular[-1], rel=1e-10)
    assert solution.rank[0] == p
