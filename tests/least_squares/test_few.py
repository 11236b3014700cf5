"""Sums of products of few rows, against exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxbatch.least_squares.statistics import few
from jaxbatch.least_squares.statistics.ragged import statistics_of

BELOW_ONE = st.floats(-1, 1, exclude_min=True, exclude_max=True)


def exact(columns: np.ndarray) -> list[Fraction]:
    """The sums of products of one dataset's columns, [k, n], pair by pair."""
    values = [[Fraction(each) for each in column] for column in columns.tolist()]
    pairs = zip(*np.triu_indices(len(values)), strict=True)
    return [sum((a * b for a, b in zip(values[i], values[j], strict=True)), Fraction(0)) for i, j in pairs]


def found(columns: np.ndarray, *, ones: bool) -> tuple[list[Fraction], bool]:
    high, low, beyond = few.sums_of_products(columns[..., None].copy(), ones=ones)
    assert (np.abs(low) <= np.spacing(np.abs(high)) / 2).all()
    return [Fraction(a) + Fraction(b) for a, b in zip(high[:, 0].tolist(), low[:, 0].tolist(), strict=True)], beyond[0]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([1, 2, 5, 31, few.FEW_ROWS]).flatmap(
        lambda n: arrays(np.float64, (3, n), elements=BELOW_ONE | st.sampled_from([2.0**-24 / 3, 1 / 3, -(2.0**-25)]))
    ),
    st.booleans(),
)
def test_sums_differ_from_exact_ones_by_less_than_a_double_double_can(columns, ones):
    columns = np.rint(columns * 2.0**72) * 2.0**-72
    columns[:, 0] = [0.5, -0.5, 1 - 2.0**-53]  # as in columns that are scaled
    sums, beyond = found(columns, ones=ones)
    assert not beyond
    wanted = exact(np.vstack([np.ones((int(ones), columns.shape[1])), columns]))
    if ones:
        assert sums[0] == 0
        wanted[0] = Fraction(columns.shape[1])
    size = 3 + ones
    first, second = np.triu_indices(size)
    own = [wanted[place] for place in np.flatnonzero(first == second)]
    for i, j, value, true in list(zip(first, second, sums, wanted, strict=True))[int(ones) :]:
        assert ((value - true) * 2**103) ** 2 <= own[i] * own[j]


@pytest.mark.parametrize("sign", [1, -1])
def test_sums_of_the_largest_slices_are_exact(sign):
    """All slices are at their largest but for a unit in two rows, so that sums are odd: rounded ones would be seen."""
    column = np.full(few.FEW_ROWS, 1 - 2.0**-25 - 2.0**-49)
    rows = np.stack([column, sign * column])
    rows[0, 3] -= 2.0**-24
    rows[1, 5] -= 2.0**-48
    sums, beyond = found(rows, ones=True)
    assert not beyond
    wanted = exact(np.vstack([np.ones(few.FEW_ROWS), rows]))
    assert all(abs(value - true) < Fraction(1, 2**98) for value, true in list(zip(sums, wanted, strict=True))[1:])


def test_datasets_with_later_bits_are_told_apart():
    columns = np.full((2, 4, 5), 0.75)
    columns[1, 2, 3] = 2.0**-73
    columns[0, 1, 1] = np.nan
    columns[0, 0, 0] = 2.0**-72
    assert few.sums_of_products(columns, ones=False)[2].tolist() == [False, True, False, True, False]


@pytest.mark.parametrize("k", [few.FEW_COLUMNS, few.FEW_COLUMNS + 1])
def test_late_bits_of_few_rows_are_not_lost(k):
    rng = np.random.default_rng(k)
    columns = rng.normal(size=(k, 60)) * np.where(rng.random((k, 60)) < 0.1, 2.0**-30, 1.0)
    statistics = statistics_of(list(columns), np.full(3, 20), intercept=False)
    for dataset in range(3):
        wanted = exact(columns[:, 20 * dataset :][:, :20])
        e = statistics.exponents[dataset].tolist()
        scales = [Fraction(2) ** (e[i] + e[j]) for i, j in zip(*np.triu_indices(k), strict=True)]
        for high, low, scale, true in zip(
            statistics.high[dataset].tolist(), statistics.low[dataset].tolist(), scales, wanted, strict=True
        ):
            assert abs((Fraction(high) + Fraction(low)) * scale - true) <= scale * 20 / 2**104
