"""Singular values of small matrices, against LAPACK."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxbatch.least_squares.matrices.singular import singular_values


@pytest.mark.parametrize("p", [1, 2, 3, 6, 24, 40])
def test_singular_values(p):
    rng = np.random.default_rng(p)
    A = np.triu(rng.normal(size=(9, p, p)))
    A[1] = 0
    A[2, :, -1] = A[2, :, 0]
    A[3] *= 1e-150
    A[4, 0, 0] = np.nan
    found = np.moveaxis(np.asarray(jax.jit(singular_values)(jnp.moveaxis(A, 0, -1))), -1, 0)
    good = [d for d in range(9) if d != 4]
    expected = np.linalg.svd(A[good], compute_uv=False)
    np.testing.assert_allclose(found[good], expected, atol=1e-14 * max(p, 4) * expected.max(axis=1).max(), rtol=1e-9)
    assert np.isnan(found[4]).all()
