"""Gradient descent: against least squares, and step by step against the notebook's loop."""

import numpy as np
import pytest

from tests.kernels.regression_cases import check, datasets, job, with_ones


@pytest.mark.parametrize("rate", ["auto", pytest.param(0.05, marks=pytest.mark.slow)])
def test_descent_reaches_least_squares(bench, rate):
    rng = np.random.default_rng(2)
    fits = []
    for n in (30, 20):
        X = rng.normal(size=(n, 2))
        fits.append((X, 1 + X @ [2.0, -3.0] + 0.1 * rng.normal(size=n)))
    bench.tasks(datasets(*fits))
    rows = bench.rows(job(method="gradient_descent", learning_rate=rate, initial=[1.0, 1.0, 1.0]))
    for row, (X, y) in zip(rows, fits, strict=True):
        check(row, X, y)
        assert row["method"] == "gradient_descent"
        assert 20 < row["steps"] < 2000


@pytest.mark.slow
def test_descent_follows_the_notebooks_loop(bench):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(16, 1))
    y = 1 + 2 * X[:, 0] + 0.1 * rng.normal(size=16)
    bench.tasks(datasets((X, y), (X[:, [0, 0]], y), (X, y)))
    rate, tolerance, reset, patience = 0.1, 1e-6, 1e-4, 7
    A, b, still, steps = with_ones(X), np.array([0.5, -0.5]), 0, 0
    while still < patience:
        moved = rate * 2 / 16 * A.T @ (A @ b - y)
        b, steps = b - moved, steps + 1
        still = still + 1 if np.linalg.norm(moved) < tolerance else 0 if np.linalg.norm(moved) > reset else still
    options = {"tolerance": tolerance, "reset": reset, "patience": patience, "learning_rate": rate}
    rows = bench.rows(job(method="gradient_descent", initial=[0.5, -0.5], **options))
    assert [row["status"] for row in rows] == ["ok", "invalid_input", "ok"], "one number per term, or invalid"
    assert rows[0]["steps"] == steps
    np.testing.assert_allclose(rows[0]["coefficients"], b, rtol=1e-12)

    bench.tasks(datasets((X, y)))
    (short,) = bench.rows(job(method="gradient_descent", max_steps=3, learning_rate=rate))
    assert (short["status"], short["steps"], short["converged"]) == ("not_converged", 3, False)
    b = np.zeros(2)
    for _ in range(3):
        b = b - rate * 2 / 16 * A.T @ (A @ b - y)
    np.testing.assert_allclose(short["coefficients"], b, rtol=1e-12)


@pytest.mark.slow
def test_descent_diverging_is_nonfinite_and_deficient_is_flagged(bench):
    X, y = np.array([[1.0], [2.0], [3.0]]), np.array([1.0, 2.0, 4.0])
    bench.tasks(datasets((X, y)))
    (row,) = bench.rows(job(method="gradient_descent", learning_rate=10.0))
    assert row["status"] == "nonfinite"
    bench.tasks(datasets((X[:, [0, 0]], y)))
    (row,) = bench.rows(job(method="gradient_descent"))
    assert (row["status"], row["rank"]) == ("rank_deficient", 2)
    np.testing.assert_allclose(row["coefficients"], np.linalg.pinv(with_ones(X[:, [0, 0]])) @ y, rtol=1e-8)
