"""The statistic, against sums of exact fractions."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxbatch import least_squares
from jaxbatch.least_squares.arithmetic.double_double import DoubleDouble


@pytest.mark.parametrize("shape", [(8, 2), (256, 5), (1024, 3), (40, 13), (64, 4), (4999, 3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_statistic_equals_exact_sums(shape, weighted):
    rng = np.random.default_rng(sum(shape))
    n, k = shape
    Z = rng.normal(size=(8, n, k)) * 10.0 ** rng.integers(-9, 9, k)
    w = rng.uniform(0, 2, size=(8, n)) if weighted else None
    observed = jnp.ones((8, n), bool)
    found = jax.jit(jax.vmap(least_squares.statistic))(Z.swapaxes(1, 2), observed, w)
    assert isinstance(found.products, DoubleDouble)
    for d in (0, 3, 7):
        for i, j in {(0, 0), (0, k - 1), (k - 1, 0), (1, k // 2), (k - 1, k - 1)}:
            terms = [Fraction(Z[d, r, i]) * Fraction(Z[d, r, j]) for r in range(n)]
            if w is not None:
                terms = [term * Fraction(w[d, r]) for r, term in enumerate(terms)]
            scale = Fraction(2) ** int(found.exponents[d, i] + found.exponents[d, j])
            sum_found = (
                Fraction(float(found.products.high[d, i, j])) + Fraction(float(found.products.low[d, i, j]))
            ) * scale
            assert abs(sum_found - sum(terms)) <= sum(map(abs, terms)) / 2**100
