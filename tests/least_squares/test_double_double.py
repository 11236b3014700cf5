"""Arithmetic in twice the precision, against exact fractions."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxbatch.least_squares import error_free_transforms_hold
from jaxbatch.least_squares.arithmetic import double_double as dd

numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e100, max_value=1e100).filter(
    lambda x: x == 0 or abs(x) > 1e-100
)


def exact(x: dd.DoubleDouble) -> Fraction:
    return Fraction(float(x.high)) + Fraction(float(x.low))


def pair(a: float, b: float) -> dd.DoubleDouble:
    return dd.DoubleDouble(*dd.two_sum(jnp.asarray(a), jnp.asarray(b * 2.0**-54)))


def test_the_transformations_survive_the_compiler():
    assert error_free_transforms_hold()


@settings(deadline=None)
@given(numbers, numbers)
def test_sums_and_products_are_without_error(a, b):
    for transformation, truth in (
        (dd.two_sum, Fraction(a) + Fraction(b)),
        (dd.two_product, Fraction(a) * Fraction(b)),
    ):
        high, low = jax.jit(transformation)(jnp.asarray(a), jnp.asarray(b))
        assert Fraction(float(high)) + Fraction(float(low)) == truth


def test_a_product_added_in_one_program_is_without_error():
    # XLA contracts a product and a sum to a fused operation here, under which Dekker's formula loses an ulp.
    rng = np.random.default_rng(1)
    a, b, c = rng.normal(size=(3, 4096))

    @jax.jit
    def multiply_add(a, b, c):
        product, error = dd.two_product(a, b)
        total, rest = dd.two_sum(c, product)
        return total, rest + error

    high, low = multiply_add(a, b, c)
    for x, y, z, total, rest in zip(a, b, c, high, low, strict=True):
        wrong = Fraction(x) * Fraction(y) + Fraction(z) - Fraction(float(total)) - Fraction(float(rest))
        assert abs(wrong) <= (abs(Fraction(x) * Fraction(y)) + abs(Fraction(z))) / 2**104


@settings(deadline=None)
@given(numbers, numbers, numbers, numbers)
def test_arithmetic_keeps_104_bits(a, b, c, d):
    x, y = pair(a, b), pair(c, d)
    assert abs(exact(x * y) - exact(x) * exact(y)) <= abs(exact(x) * exact(y)) / 2**102
    assert abs(exact(x + y) - exact(x) - exact(y)) <= (abs(exact(x)) + abs(exact(y))) / 2**104
    if a:
        assert abs(exact(dd.inverse(x)) * exact(x) - 1) <= Fraction(1, 2**102)
        square = x * x
        assert abs(exact(dd.inverse_root(square)) ** 2 * exact(square) - 1) <= Fraction(1, 2**101)


@pytest.mark.parametrize("exponent", [-1999, -1074, -1022, -1, 0, 1, 970, 1023, 1024, 1999])
def test_powers_of_two(exponent):
    expected = math.ldexp(1.0, exponent) if exponent <= 1023 else math.inf
    assert float(dd.power_of_two(jnp.asarray(exponent))) == (expected if exponent >= -1022 else 0.0)


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False, width=64))
def test_exponents(x):
    exponent = int(dd.exponent_of(jnp.asarray(x)))
    assert exponent == max(-1000, min(1000, int(np.frexp(x)[1]))) if x else exponent == -1000
