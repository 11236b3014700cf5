"""Gradient descent by NumPy, against loops over the data and against JAX."""

import jax
import numpy as np
import pytest

from jaxbatch import least_squares
from tests.least_squares import exact_fits

STOP = least_squares.Stop(tolerance=1e-6, reset=1e-4, patience=7, max_steps=5000)


def problems(datasets: int, n: int = 16) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(datasets, n)) * rng.uniform(0.3, 1.5, (datasets, 1))
    return [(np.vstack([np.ones(n), each, 1 + 2 * each + 0.1 * rng.normal(size=n)]), np.ones(n)) for each in x]


def descended(statistic, *, rate, dtype=np.float64, stop=STOP, library=np, datasets=()):
    terms = library.ones((2, *datasets), bool)
    initial = library.zeros((2, *datasets))
    return least_squares.descend(
        statistic, terms, terms, initial, learning_rate=rate, ridge=0.0, stop=stop, dtype=dtype
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_takes_the_steps_of_a_loop_over_the_data(dtype):
    """Datasets end one after the other, and each as if it were alone."""
    given = problems(9)
    found = descended(exact_fits.statistics(given), rate=0.1, dtype=dtype, datasets=(9,))
    for d, (Z, _) in enumerate(given):
        A, y, b, still, steps = Z[:-1].T, Z[-1], np.zeros(2, dtype), 0, 0
        while still < STOP.patience:
            new = (b - 0.1 * 2 / len(y) * A.T @ (A @ b - y)).astype(dtype)
            moved = np.linalg.norm(new - b)
            b, steps = new, steps + 1
            still = still + 1 if moved < STOP.tolerance else 0 if moved > STOP.reset else still
        assert found.converged[d]
        assert found.steps[d] == pytest.approx(steps, abs=1 if dtype == np.float32 else 0)
        np.testing.assert_allclose(found.coefficients[:, d], b, rtol=1e-12 if dtype == np.float64 else 1e-5)
    assert len(set(found.steps.tolist())) > 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_and_jax_take_the_same_steps(dtype):
    statistic = exact_fits.statistics(problems(9))
    here = descended(statistic, rate="auto", dtype=dtype, datasets=(9,))
    first = jax.tree.map(lambda x: np.moveaxis(x, -1, 0), statistic)
    program = jax.jit(jax.vmap(lambda each: descended(each, rate="auto", dtype=dtype, library=jax.numpy)))
    there = jax.device_get(program(first))
    np.testing.assert_allclose(there.steps, here.steps, atol=1 if dtype == np.float32 else 0)
    np.testing.assert_allclose(there.coefficients.T, here.coefficients, rtol=1e-5 if dtype == np.float32 else 1e-12)


def test_one_that_diverges_or_runs_out_of_steps_leaves_the_others():
    stop = STOP._replace(max_steps=300)
    given = problems(4)
    given[1] = (given[1][0] * [[1.0], [30.0], [1.0]], given[1][1])
    found = descended(exact_fits.statistics(given), rate=0.3, stop=stop, datasets=(4,))
    assert found.converged.tolist() == [True, False, True, True]
    assert not np.isfinite(found.coefficients[:, 1]).all()
    alone = descended(exact_fits.statistics(given[2:3]), rate=0.3, stop=stop, datasets=(1,))
    assert alone.coefficients.tobytes() == found.coefficients[:, 2:3].tobytes()
    short = descended(exact_fits.statistics(given), rate=0.3, stop=STOP._replace(max_steps=3), datasets=(4,))
    assert (short.steps.tolist(), short.converged.any()) == ([3] * 4, False)
