"""The loops over the order, against exact arithmetic on the same numbers."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxbatch.series import taylor
from jaxbatch.series.loop_primitives import cauchy_product, run_recurrence
from jaxbatch.series.rules.elementary import QUOTIENT
from jaxbatch.series.rules.powers import SQUARE_ROOT

LENGTHS = (1, 2, 7, 8, 9, 16, 17, 40)
"""About the multiples of a block."""


def whole_numbers(length: int, points: int = 3, seed: int = 0) -> np.ndarray:
    """[length, points], small enough for their products and sums to be exact."""
    return np.random.default_rng([seed, length]).integers(-9, 10, (length, points)).astype(float)


def convolved(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product of two series of whole numbers, cut to their length."""
    columns = [np.convolve(x, y)[: len(a)] for x, y in zip(a.T, b.T, strict=True)]
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_product_of_whole_numbers_is_exact(length):
    a, b = whole_numbers(length), whole_numbers(length, seed=1)
    with jax.enable_x64(True):
        found = jax.jit(lambda a, b: cauchy_product(length - 1, a, b))(a, b)
    np.testing.assert_array_equal(found, convolved(a, b))


@pytest.mark.parametrize("length", LENGTHS)
def test_the_derivative_of_a_product_is_exact(length):
    a, b, da, db = (whole_numbers(length, seed=seed) for seed in range(4))
    with jax.enable_x64(True):
        _, found = jax.jit(lambda *xs: jax.jvp(lambda a, b: cauchy_product(length - 1, a, b), xs[:2], xs[2:]))(
            a, b, da, db
        )
    np.testing.assert_array_equal(found, convolved(da, b) + convolved(a, db))


def quotient(a: list[int], b: list[int]) -> list[Fraction]:
    """The coefficients of a/b, for b_0 = 1."""
    c: list[Fraction] = []
    for n, a_n in enumerate(a):
        c.append(a_n - sum((c[j] * b[n - j] for j in range(n)), Fraction(0)))
    return c


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(-1, 1)), min_size=2, max_size=24))
def test_a_quotient_of_whole_numbers_is_exact(numbers):
    a, b = [a for a, _ in numbers], [1, *(b for _, b in numbers[1:])]
    wanted = [float(x) for x in quotient(a, b)]
    assert max(map(abs, wanted)) < 2**52
    with jax.enable_x64(True):
        columns = [jnp.array(x, float)[:, None] for x in (a, b)]
        (found,) = run_recurrence(QUOTIENT, len(a) - 1, len(a) - 1, [columns[0][0]], columns, [jnp.ones(1)])
    np.testing.assert_array_equal(found[:, 0], wanted)


@pytest.mark.parametrize("order", [1, 3, 4, 5, 8, 13, 33])
def test_the_root_of_a_square_is_exact(order):
    root = whole_numbers(order + 1)
    root[0] = 1
    with jax.enable_x64(True):
        square = jnp.asarray(convolved(root, root))
        (found,) = run_recurrence(SQUARE_ROOT, order, order, [jnp.ones(3)], [square], [jnp.full(3, 0.5)])
    np.testing.assert_array_equal(found, root)


def test_coefficients_up_to_a_lower_limit_are_the_same():
    order, limit = 21, 9
    root = whole_numbers(order + 1)
    root[0] = 1
    with jax.enable_x64(True):
        square = jnp.asarray(convolved(root, root))

        @jax.jit
        def computed(limit):
            (found,) = run_recurrence(SQUARE_ROOT, order, limit, [jnp.ones(3)], [square], [jnp.full(3, 0.5)])
            return found, cauchy_product(limit, found, found)

        found, product = computed(limit)
    np.testing.assert_array_equal(found[: limit + 1], root[: limit + 1])
    np.testing.assert_array_equal(product[: limit + 1], square[: limit + 1])


@pytest.mark.parametrize("order", [12, 24])
def test_the_bits_of_a_point_depend_on_no_other(order):
    """In other places of other chunks, beside points whose series overflow."""
    with jax.enable_x64(True):
        computed = jax.jit(jax.vmap(lambda x: taylor(lambda x: jnp.exp(jnp.tanh(x) * jnp.sin(x)) / x)(x, 1.0, order)))
        points = np.random.default_rng(0).uniform(0.5, 2, 1000)
        shuffled = np.random.default_rng(1).permutation(1000)
        beside = points[shuffled]
        beside[::7] = 0.0
        found, again = np.asarray(computed(points))[shuffled], np.asarray(computed(beside))
    kept = beside != 0
    assert np.isfinite(found).all()
    assert not np.isfinite(again[~kept]).any(axis=1).all()
    np.testing.assert_array_equal(found[kept], again[kept])
