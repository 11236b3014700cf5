"""Fits by NumPy: no bit depends on the other datasets of a call, on the processor or on JAX being there."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__

from jaxbatch import least_squares
from jaxbatch.least_squares.arithmetic.batched import each_array
from jaxbatch.least_squares.arithmetic.double_double import DoubleDouble

STOP = least_squares.Stop(1e-6, 1e-4, 3, 60)


def statistics(datasets: int, k: int = 5, n: int = 40, seed: int = 0) -> least_squares.Statistic:
    """Statistics of random data, their Gram matrices in plain float64; some are deficient or nearly so."""
    rng = np.random.default_rng(seed)
    Z = rng.integers(-50, 50, (k, n, datasets)).astype(float)  # integers: sums are exact whatever their order
    Z[0] = 1.0
    Z[2, :, 15::35] = 3.0 * Z[1, :, 15::35]
    Z[2, :, 30::35] = Z[1, :, 30::35] + 1e5 * Z[3, :, 30::35]
    high = np.einsum("ind,jnd->ijd", Z, Z)
    return least_squares.Statistic(
        DoubleDouble(high, high * 2.0**-60),
        np.zeros((k, datasets), np.int32),
        np.full(datasets, n),
        np.full(datasets, float(n)),
        Z[-1].min(axis=0),
        Z[-1].max(axis=0),
        np.zeros(datasets),
    )


def everything(statistic, *, ridge=0.0):
    """The arrays of a fit, its inference and a descent, in float64 and plain."""
    terms = np.ones((len(statistic.exponents) - 1, len(statistic.n)), bool)
    terms[-1, ::5] = False
    penalised = terms & (np.arange(len(terms)) > 0)[:, None]
    found = []
    for products in (statistic.products, statistic.products.high):
        given = statistic._replace(products=products)
        solution = least_squares.solve(given, terms, penalised, ridge=ridge, eps=2.0**-52)
        moments = least_squares.response_moments(given, intercept=True)
        descent = least_squares.descend(
            given, terms, penalised, 0.0 * terms, learning_rate="auto", ridge=ridge, stop=STOP, dtype=np.float32
        )
        other = least_squares.with_coefficients(solution, given, descent.coefficients)
        found.append((solution, least_squares.infer(solution, moments, terms.sum(axis=0)), descent, other))
    arrays: list[np.ndarray] = []
    each_array(arrays.append, tuple(found))
    return arrays


def digest(statistic) -> str:
    return hashlib.sha256(b"".join(x.tobytes() for x in everything(statistic))).hexdigest()


@pytest.mark.parametrize("ridge", [0.0, 2.0])
def test_a_dataset_alone_has_the_bits_it_has_among_five_thousand(ridge):
    statistic = statistics(5000, k=12)  # sums of eight and more are those whose order may change
    together = everything(statistic, ridge=ridge)
    for first, size in ((0, 1), (15, 1), (30, 1), (4995, 3)):  # the padding of terms recurs every five datasets
        alone = everything(each_array(lambda x, a=first, b=size: x[..., a : a + b], statistic), ridge=ridge)
        for few, many in zip(alone, together, strict=True):
            assert few.tobytes() == np.ascontiguousarray(many[..., first : first + size]).tobytes()


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, 0.0])
def test_what_is_not_finite_stays_where_it_is(spoilt):
    statistic = statistics(12)
    before = everything(statistic)
    for part in (statistic.products.high, statistic.products.low):
        part[:, :, 4] = part[1, :, 7] = part[:, 1, 7] = spoilt
    after = everything(statistic)  # warnings are errors
    same = [d for d in range(12) if d not in (4, 7)]
    for old, new in zip(before, after, strict=True):
        assert old[..., same].tobytes() == new[..., same].tobytes()
    if spoilt != 0.0:
        assert not np.isfinite(after[0][:, 4]).any()


PROGRAM = """
import sys
from tests.least_squares import test_numpy_bits as bits
print(bits.digest(bits.statistics(300, k=9)), "jax" in sys.modules)
"""


@pytest.mark.parametrize("blas", ["Haswell", "Prescott"])
def test_processors_change_no_bit(blas):
    """Without any instructions that NumPy chooses at run time, with other kernels of BLAS, in a process without JAX."""
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(__cpu_dispatch__), "OPENBLAS_CORETYPE": blas},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == [digest(statistics(300, k=9)), "False"], found.stderr
