"""Statistics of two sets of observations as one: how those of a group's blocks, files and parts are added up."""

from collections.abc import Mapping

import numpy as np

from jaxbatch.kernels.base import Grouping
from jaxbatch.kernels.builtin.regression.options import Options
from jaxbatch.least_squares.arithmetic.double_double import LARGEST_EXPONENT, fast_two_sum, two_sum


def merge(left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The statistics of the unions of sets of observations, row by row: columns of :data:`~.options.STATISTIC`."""
    with np.errstate(over="ignore", invalid="ignore"):  # the fit finds what is infinite or NaN
        return _merged(left, right)


def empty(grouping: Grouping | None, options: Options, *, weighted: bool) -> dict[str, np.ndarray]:
    """The statistic of no observations at all, without an axis of rows."""
    assert grouping is not None
    k = len(grouping.columns) - weighted + options.intercept
    return {
        "high": np.zeros(k * (k + 1) // 2),
        "low": np.zeros(k * (k + 1) // 2),
        "exponents": np.full(k, -LARGEST_EXPONENT),
        "n": np.zeros((), np.int64),
        "weight": np.zeros(()),
        "least": np.full((), np.inf),
        "most": np.full((), -np.inf),
        "shift": np.zeros(()),
        "status": np.zeros((), np.int8),
    }


def _merged(left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    k = left["exponents"].shape[1]
    i, j = np.triu_indices(k)
    right = _shifted(right, np.where(left["n"] == 0, right["shift"], left["shift"]), k)
    exponents = np.maximum(left["exponents"], right["exponents"])
    (left_high, left_low), (right_high, right_low) = (_scaled(each, exponents, i, j) for each in (left, right))
    total, lost = two_sum(left_high, right_high)
    high, low = fast_two_sum(total, lost + (left_low + right_low))
    return {
        "high": high,
        "low": low,
        "exponents": exponents,
        "n": left["n"] + right["n"],
        "weight": left["weight"] + right["weight"],
        "least": np.minimum(left["least"], right["least"]),
        "most": np.maximum(left["most"], right["most"]),
        "shift": right["shift"],
        "status": np.maximum(left["status"], right["status"]),
    }


def _shifted(statistic: Mapping[str, np.ndarray], shift: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """A plain statistic with ``shift`` subtracted from y instead of its own shift; the intercept is its first term."""
    back = np.where(statistic["n"] == 0, 0.0, statistic["shift"] - shift)
    found = {**statistic, "shift": shift}
    if back.any():
        i, j = np.triu_indices(k)
        exponents = statistic["exponents"].copy()
        exponents[:, -1] = np.maximum(exponents[:, -1], np.where(back == 0, exponents[:, -1], np.frexp(back)[1]))
        high = _scaled(statistic, exponents, i, j)[0].copy()
        with_one = high[:, i == 0]  # [rows, k]: the products with the intercept's column
        times = np.ldexp(back, exponents[:, 0] - exponents[:, -1])[:, None]
        last = np.flatnonzero(j == k - 1)
        high[:, last[-1:]] += times * (2.0 * with_one[:, -1:] + times * with_one[:, :1])
        high[:, last[:-1]] += times * with_one[:, :-1]
        found |= {"high": high, "exponents": exponents}
    return found


def _scaled(
    statistic: Mapping[str, np.ndarray], exponents: np.ndarray, i: np.ndarray, j: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The products of a statistic, high and low parts, for columns divided by other powers of two."""
    down = statistic["exponents"] - exponents
    if not down.any():
        return statistic["high"], statistic["low"]
    power = np.ldexp(1.0, down)
    first, second = power[:, i], power[:, j]
    return statistic["high"] * first * second, statistic["low"] * first * second
