"""The statistics of many datasets, against exact fractions, and what their bits do not depend on."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxbatch.least_squares.statistics.ragged import Statistics, statistics_of
from jaxbatch.least_squares.statistics.slices import BLOCK_ROWS


def exact(columns: list[np.ndarray], weights: np.ndarray | None, intercept: bool) -> list[list[Fraction]]:
    """The Gram matrix of one dataset. Numbers below the normal ones count as 0."""
    Z = [[Fraction(float(z)) if abs(z) >= 2.0**-1022 else Fraction(0) for z in column] for column in columns]
    n = len(columns[0])
    Z = ([[Fraction(1)] * n] if intercept else []) + Z
    w = [Fraction(1)] * n if weights is None else [Fraction(float(each)) for each in weights]
    weighted = [[a * b for a, b in zip(column, w, strict=True)] for column in Z]
    return [[sum((a * b for a, b in zip(left, right, strict=True)), Fraction(0)) for right in Z] for left in weighted]


def products(found: Statistics, dataset: int) -> list[list[Fraction]]:
    e = found.exponents[dataset].tolist()
    pairs = zip(found.high[dataset].tolist(), found.low[dataset].tolist(), strict=True)
    matrix = [[Fraction(0)] * len(e) for _ in e]
    for i, j, (high, low) in zip(*np.triu_indices(len(e)), pairs, strict=True):
        matrix[i][j] = matrix[j][i] = (Fraction(high) + Fraction(low)) * Fraction(2) ** (e[i] + e[j])
    return matrix


def digits_lost(found: list[list[Fraction]], wanted: list[list[Fraction]]) -> bool:
    """Whether an error is above 2⁻¹⁰⁰ of the root of the product of the diagonal."""
    k = len(wanted)
    return any(
        ((found[i][j] - wanted[i][j]) * 2**100) ** 2 > wanted[i][i] * wanted[j][j] for i in range(k) for j in range(k)
    )


def bits(found: Statistics, datasets: list[int] | None = None) -> list[bytes]:
    return [np.ascontiguousarray(field if datasets is None else field[datasets]).tobytes() for field in found]


def data(rng: np.random.Generator, rows: int, k: int) -> list[np.ndarray]:
    """Columns of any scale and offset: normal, log-normal, of few digits, and of zeros but for some."""
    columns = [rng.normal(size=rows), np.exp(5 * rng.normal(size=rows)), np.rint(9 * rng.normal(size=rows))]
    columns.append(np.where(rng.random(rows) < 0.1, rng.normal(size=rows), 0.0))
    columns = [columns[i] for i in rng.integers(0, 4, k)]
    scale, offset = 10.0 ** rng.integers(-280, 280, k), rng.choice([0.0, 1.0, -1e9], k)
    return [(column + shift) * factor for column, shift, factor in zip(columns, offset, scale, strict=True)]


lengths = st.lists(
    st.integers(0, 8) | st.integers(0, 300) | st.sampled_from([17, 18, 32, 410, 2048, 2049]), min_size=1, max_size=4
)


@settings(max_examples=25, deadline=None)
@given(lengths, st.integers(1, 4), st.booleans(), st.booleans(), st.integers(0, 2**32))
def test_statistics_equal_exact_sums(lengths, k, weighted, intercept, seed):
    rng = np.random.default_rng(seed)
    rows = sum(lengths)
    columns = data(rng, rows, k)
    weights = 10.0 ** rng.uniform(-12, 12, rows) if weighted else None
    found = statistics_of(columns, np.array(lengths), weights, intercept=intercept)
    size = k + intercept
    assert found.high.shape == found.low.shape == (len(lengths), size * (size + 1) // 2)
    end = 0
    for dataset, n in enumerate(lengths):
        own = slice(end, end := end + n)
        w = None if weights is None else weights[own]
        assert not digits_lost(products(found, dataset), exact([column[own] for column in columns], w, intercept))
        assert found.n[dataset] == n
        assert found.weight[dataset] == (n if w is None else float(sum(map(Fraction, w.tolist()), Fraction(0))))
        assert found.y_min[dataset] == columns[-1][own].min(initial=np.inf)
        assert found.y_max[dataset] == columns[-1][own].max(initial=-np.inf)
    assert not found.shift.any()


@pytest.mark.parametrize("rows", [4999, 2 * BLOCK_ROWS])
def test_a_long_dataset_equals_exact_sums(rows):
    rng = np.random.default_rng(rows)
    columns = data(rng, rows, 3)
    found = statistics_of(columns, np.array([rows]), intercept=True)
    assert not digits_lost(products(found, 0), exact(columns, None, True))


@pytest.mark.parametrize("scale", [1e300, 1.7e308, 1e-300, 2.0**-1020, 1e-310])
@pytest.mark.parametrize("weight", [None, 1e300, 1e-300])
@pytest.mark.parametrize("rows", [12, 2100])
def test_columns_near_the_ends_of_the_range(scale, weight, rows):
    rng = np.random.default_rng(1)
    columns = [rng.uniform(-1, 1, rows) * scale, rng.normal(size=rows)]
    weights = None if weight is None else weight * rng.uniform(0.5, 1, rows)
    found = statistics_of(columns, np.array([rows]), weights, intercept=True)
    assert np.isfinite(found.high).all()
    assert not digits_lost(products(found, 0), exact(columns, weights, True))


def test_an_element_of_another_size_in_every_row():
    """Weights and columns that together span more than float64's range."""
    columns = [np.array([1e300, 1.0, 1e-300, 1e-200]), np.array([1e-300, 1.0, 1e300, 3.0])]
    weights = np.array([1e-300, 1.0, 1e300, 1e200 / 3])
    found = statistics_of(columns, np.array([4]), weights, intercept=False)
    assert not digits_lost(products(found, 0), exact(columns, weights, False))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rows", [20, 600, 2100])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.filterwarnings("error")
def test_infinity_and_nan_stay_in_their_dataset_and_column(value, rows, weighted):
    rng = np.random.default_rng(0)
    columns = [rng.normal(size=3 * rows) for _ in range(3)]
    weights = rng.uniform(0.1, 2, 3 * rows) if weighted else None
    clean = statistics_of(columns, np.full(3, rows), weights, intercept=True)
    columns[0][rows + 3] = value
    found = statistics_of(columns, np.full(3, rows), weights, intercept=True)
    assert bits(found, [0, 2]) == bits(clean, [0, 2])
    i, j = np.triu_indices(4)
    spoilt = (i == 1) | (j == 1)
    assert not np.isfinite(found.high[1, spoilt]).any()
    np.testing.assert_array_equal(found.high[1, ~spoilt], clean.high[1, ~spoilt])
    np.testing.assert_array_equal(found.low[1, ~spoilt], clean.low[1, ~spoilt])


def test_no_datasets_and_empty_ones():
    none = statistics_of([np.empty(0), np.empty(0)], np.empty(0, np.int64), intercept=True)
    assert none.high.shape == (0, 6)
    empty = statistics_of([np.empty(0), np.empty(0)], np.zeros(2, np.int64), intercept=True)
    assert not empty.high.any()
    assert (empty.exponents == -1000).all()
    assert (empty.y_min == np.inf).all()
    assert (empty.y_max == -np.inf).all()


@pytest.fixture(scope="module")
def ragged():
    """Datasets of any length, whose columns have late bits in some rows."""
    rng = np.random.default_rng(7)
    lengths = np.concatenate([rng.integers(0, 60, 300), rng.integers(200, 700, 9), [2048, 2049, 5000, 1]])
    rng.shuffle(lengths)
    rows = lengths.sum()
    return [np.exp(2 * rng.normal(size=rows)), rng.normal(size=rows), rng.normal(size=rows)], lengths


@pytest.mark.parametrize("weighted", [False, True])
def test_bits_depend_on_the_dataset_alone(ragged, weighted):
    columns, lengths = ragged
    weights = np.abs(columns[1]) + 0.1 if weighted else None
    found = statistics_of(columns, lengths, weights, intercept=True)
    starts = np.cumsum(lengths) - lengths
    for dataset in [*range(0, len(lengths), 7), *np.flatnonzero(lengths > 190)]:
        own = slice(starts[dataset], starts[dataset] + lengths[dataset])
        w = None if weights is None else weights[own]
        alone = statistics_of([column[own] for column in columns], lengths[[dataset]], w, intercept=True)
        assert bits(alone) == bits(found, [dataset])


@pytest.mark.parametrize("weighted", [False, True])
def test_bits_do_not_depend_on_the_order_of_rows(ragged, weighted):
    columns, lengths = ragged
    weights = np.abs(columns[1]) + 0.1 if weighted else None
    rng = np.random.default_rng(5)
    order = np.lexsort([rng.random(lengths.sum()), np.repeat(np.arange(len(lengths)), lengths)])
    moved = [column[order] for column in columns]
    w = None if weights is None else weights[order]
    assert bits(statistics_of(moved, lengths, w, intercept=True)) == bits(
        statistics_of(columns, lengths, weights, intercept=True)
    )


def test_bits_do_not_depend_on_how_columns_are_stored(ragged):
    columns, lengths = ragged
    X = np.stack(columns[:2], axis=1)
    found = bits(statistics_of(columns, lengths, intercept=True))
    assert bits(statistics_of([X, columns[2]], lengths, intercept=True)) == found
    assert bits(statistics_of([np.asfortranarray(X), columns[2]], lengths, intercept=True)) == found
    assert bits(statistics_of([X[:, 0], X[:, 1], columns[2]], lengths, intercept=True)) == found


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_of_datasets_may_lie_apart(ragged, weighted):
    columns, lengths = ragged
    weights = np.abs(columns[1]) + 0.1 if weighted else None
    order = np.random.default_rng(6).permutation(len(columns[0]) + 50)[
        : len(columns[0])
    ]  # the others are of no dataset
    apart = np.full((3 + weighted, len(columns[0]) + 50), np.nan)
    apart[:, order] = [*columns, weights] if weighted else columns
    w = apart[3] if weighted else None
    found = statistics_of([*apart[:3]], lengths, w, intercept=True, order=order)
    assert bits(found) == bits(statistics_of(columns, lengths, weights, intercept=True))
    paired = statistics_of([apart[:2].T, apart[2]], lengths, w, intercept=True, order=order)
    assert bits(paired) == bits(found)


def test_bits_do_not_depend_on_threads(ragged):
    columns, lengths = ragged
    found = bits(statistics_of(columns, lengths, intercept=True))
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(statistics_of, columns, lengths, intercept=True) for _ in range(8)]
        assert all(bits(run.result()) == found for run in runs)


DIGEST = """
import hashlib, numpy as np
from jaxbatch.least_squares.statistics.ragged import statistics_of
rng = np.random.default_rng(11)
lengths = np.concatenate([rng.integers(0, 60, 200), [250] * 20, [900, 2048, 6000]])
X = np.exp(rng.normal(size=(lengths.sum(), 26)))
y = rng.normal(size=len(X))
X[::9, 3] = 0.0
digest = hashlib.sha256()
for columns in ([X[:, :5], -y], [X, y], [X[:, :1], X[:, 3]]):
    for weights in (None, X[:, 7]):
        for field in statistics_of(columns, lengths, weights, intercept=True):
            digest.update(np.ascontiguousarray(field).tobytes())
print(digest.hexdigest())
"""


def test_bits_do_not_depend_on_the_processor():
    """Whatever kernels OpenBLAS and NumPy choose, on one thread and on two."""
    machines = [
        {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1"},
        {"OPENBLAS_CORETYPE": "Prescott", "OPENBLAS_NUM_THREADS": "2"},
        {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX2 FMA3"},
    ]
    runs = [
        subprocess.run(
            [sys.executable, "-c", DIGEST], env={**os.environ, **each}, capture_output=True, text=True, check=True
        )
        for each in machines
    ]
    assert len({run.stdout for run in runs}) == 1
