"""Slices and their products, against Python's integers: everything here is exact."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxbatch.least_squares.statistics import slices

BELOW_ONE = st.floats(-1, 1, exclude_min=True, exclude_max=True)


def whole(values: np.ndarray, unit: float) -> np.ndarray:
    """Multiples of a unit as Python's integers."""
    found = np.array([Fraction(value) / Fraction(unit) for value in values.ravel()], object).reshape(values.shape)
    assert all(value.denominator == 1 for value in found.ravel())
    return np.vectorize(int, otypes=[object])(found)


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, (3, 7), elements=BELOW_ONE))
def test_slices_and_what_is_left_add_up_to_the_elements(columns):
    rest, part = columns.copy(), np.empty_like(columns)
    total = np.vectorize(Fraction)(np.zeros_like(columns))
    for number in range(slices.SLICES):
        slices.cut(rest, slices.UNITS[number], part)
        units = whole(part, slices.UNITS[number])
        assert np.abs(units).max() <= 2**21
        total = total + np.vectorize(Fraction)(part)
    assert (total + np.vectorize(Fraction)(rest) == np.vectorize(Fraction)(columns)).all()
    assert np.abs(rest).max() <= 2.0**-110


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, (3, 40), elements=BELOW_ONE | st.sampled_from([0.0, 1 / 3, 2.0**-13 / 3, 2.0**-70])))
def test_slices_hold_all_rows_but_those_left_out(columns):
    found = slices.sliced(columns.copy())
    assert len(found.late) * slices.FEW <= 40
    kept = np.delete(np.arange(40), found.late)
    total = sum(np.vectorize(Fraction)(part) for part in found.right.reshape(-1, 3, 40))
    assert all(abs(each) <= Fraction(1, 2**110) for each in (total - np.vectorize(Fraction)(columns))[:, kept].ravel())
    assert not found.right[:, found.late].any()
    np.testing.assert_array_equal(found.values, columns[:, found.late])


@settings(max_examples=30, deadline=None)
@given(
    arrays(np.float64, (2, 9), elements=BELOW_ONE),
    arrays(np.float64, 9, elements=st.floats(0.25, 1, exclude_max=True)),
)
def test_slices_of_weighted_columns_add_up_to_the_exact_products(columns, weights):
    left = slices.sliced(np.vstack([columns, weights]), weighted=True, apart=False).left
    total = sum(np.vectorize(Fraction)(part) for part in left.reshape(-1, 2, 9))
    exact = np.vectorize(Fraction)(columns) * np.vectorize(Fraction)(weights)
    assert all(abs(each) <= Fraction(1, 2**109) for each in (total - exact).ravel())


@pytest.mark.parametrize("ones", [False, True])
@pytest.mark.parametrize(("p", "rows"), [(3, 2048), (30, 2048), (30, 1999)])
def test_products_are_exact_for_the_largest_slices(p, rows, ones):
    """All of one sign and at the largest number of units but for one row: 2048 rows nearly fill the 53 bits.

    1999 rows are not divided into equal parts.
    """
    units = np.repeat(slices.UNITS[:3], p)
    integers = np.full((len(units), rows), 2**21)
    integers[:, 5] -= 1  # so that the sums are odd, and rounded if they were above 2⁵³
    integers = np.concatenate([np.full((int(ones), rows), 2**21), integers])
    units = np.concatenate([[2.0**-21] * ones, units])
    block = integers * units[:, None]
    (found,) = slices.products(slices.Sliced(block, block, np.empty(0), np.empty(0)), 1)
    np.testing.assert_array_equal(found / np.outer(units, units), integers @ integers.T)


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, (2, 2, 1, 5, 5), elements=st.integers(-(2**52), 2**52).map(float)))
def test_two_words_hold_the_same_sum(integers):
    units = np.array([2.0**-21, *[2.0**-21] * 2, *[2.0**-43] * 2])
    sums = integers * np.outer(units, units)
    high, low = slices.words(sums, 2, ones=True)
    np.testing.assert_array_equal(high + low, sums)
    assert (np.abs(low) <= 2.0**25 * np.outer(units, units)).all()
    high = high / np.outer(units, units) / 2.0**26
    np.testing.assert_array_equal(high, np.rint(high))


def test_combining_depends_on_the_sums_alone():
    rng = np.random.default_rng(3)
    sums = rng.integers(-(2**52), 2**52, (slices.LEVELS, 3, 50)) * slices.LEVEL_UNITS[:, None, None]
    sums[5:, :, ::2] = 0.0
    one = slices.combined(sums[None])
    moved = rng.integers(-(2**50), 2**50, sums.shape) * slices.LEVEL_UNITS[:, None, None]
    np.testing.assert_array_equal(slices.combined(np.stack([sums - moved, moved])), one)
    alone = [slices.combined(sums[None, ..., [d]]) for d in range(50)]
    np.testing.assert_array_equal(np.concatenate(alone, axis=-1), one)
    exact = np.sum(np.vectorize(Fraction)(sums), axis=0)
    wrong = np.vectorize(Fraction)(one[0]) + np.vectorize(Fraction)(one[1]) - exact
    assert (np.abs(wrong) <= np.abs(exact) / 2**104).all()


def test_combining_ignores_the_sign_of_zeros():
    for part in slices.combined(np.full((2, slices.LEVELS, 3, 4), -0.0)):
        assert not part.any()
        assert not np.signbit(part).any()
