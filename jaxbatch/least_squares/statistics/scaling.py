"""Columns divided by powers of two, so that their elements are below 1 in absolute value; no step has an error.

Weights are w = f·4^e, with f from 1/4 up to 1; the rows are multiplied by 2^e, which leaves f as their weights.
"""

import numpy as np

SMALLEST = 2.0**-1022
"""The smallest normal number. Elements below it in absolute value count as 0, as they do in XLA's programs."""

ZERO_EXPONENT = -1000
"""The exponent of a column of zeros."""

LARGEST_EXPONENT = 1000
"""The largest exponent, in absolute value, in a statistic without weights."""

_NEAR = 900
"""Within 2^±900 a column is divided by one multiplication: what then falls below ``SMALLEST`` is cut off anyway."""


def measured(columns: np.ndarray, *, weighted: bool, axis: int = 2) -> np.ndarray:
    """The least e with |z| < 2^e for all elements of a column, rows multiplied by the 2^e of their weights.

    Args:
        columns: [k, D, n] of D datasets, or [k + 1, D, n] with the weights last; or [k, n, D].
        weighted: whether there are weights.
        axis: that of the rows.

    Returns:
        [k, D], as floats: −∞ for a column of zeros, and NaN for one with infinity or NaN.
    """
    if weighted:
        columns, weights = columns[:-1], columns[-1]
        magnitude = np.abs(columns)
        exponents = np.where(magnitude < SMALLEST, -np.inf, np.frexp(magnitude)[1] + _halves_of(weights)[1])
        return np.where(np.isfinite(magnitude), exponents, np.nan).max(axis=axis)
    return measured_between(columns.min(axis=axis), columns.max(axis=axis))


def measured_between(least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """The same of columns without weights, from their least and their greatest elements, [k, D] each."""
    largest = np.maximum(most, -least)
    exponents = np.where(largest < SMALLEST, -np.inf, np.frexp(largest)[1])
    return np.where(np.isfinite(largest), exponents, np.nan)


def exponents_of(measured: np.ndarray) -> np.ndarray:
    """The exponents by whose powers of two columns are divided, [k, D]: 0 for those with infinity or NaN."""
    exponents = np.where(measured == -np.inf, ZERO_EXPONENT, measured)
    return np.where(np.isnan(measured), 0, exponents).astype(np.int64)


def divide(columns: np.ndarray, exponents: np.ndarray, *, weighted: bool, axis: int = 2) -> None:
    """Divides the columns of :func:`measured` in place by 2^exponents, [k, D], and leaves of the weights f."""
    exponents = np.expand_dims(exponents, axis)
    if weighted:
        columns[-1], half = _halves_of(columns[-1])
        columns = columns[:-1]
        columns[np.abs(columns) < SMALLEST] = 0.0
        np.ldexp(columns, half - exponents, out=columns)
        return
    exponents = np.where(exponents == ZERO_EXPONENT, 0, exponents)
    if np.abs(exponents).max(initial=0) <= _NEAR:
        columns *= np.ldexp(1.0, -exponents)
    else:
        columns[np.abs(columns) < SMALLEST] = 0.0
        np.ldexp(columns, -exponents, out=columns)


def _halves_of(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f and e of the weights; f is 0 for a weight below ``SMALLEST``."""
    fraction, exponents = np.frexp(weights)
    half = (exponents + 1) >> 1
    return np.where(weights < SMALLEST, 0.0, np.ldexp(fraction, exponents - 2 * half)), half
