"""A dataset's statistic, the first of a regression's two kernels, and how two statistics are merged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax.custom_batching import sequential_vmap

from jaxbatch import least_squares
from jaxbatch.columns import Column, Status
from jaxbatch.kernels.base import Grouping, Kernel, powers_of_two
from jaxbatch.least_squares.double_double import DoubleDouble, fast_two_sum, two_sum

WEIGHTS = "weights"
"""The kernel's name for the column of weights in the long layout."""

STATISTIC = (
    Column("high", "float64", shape=("t",), check_finite=False),
    Column("low", "float64", shape=("t",), check_finite=False),
    Column("exponents", "int64", shape=("k",)),
    Column("n", "int64"),
    Column("weight", "float64", check_finite=False),
    Column("least", "float64", check_finite=False),
    Column("most", "float64", check_finite=False),
    Column("shift", "float64", check_finite=False),
)
"""A :class:`least_squares.Statistic` as columns. k counts the terms and y; t = k(k + 1)/2 is the size of a triangle."""


@dataclass(frozen=True)
class Options:
    """The parameters that a fit depends on."""

    intercept: bool
    ridge: float
    direct: Literal["auto", "cholesky", "qr", "svd"]
    """The method by which rank and coefficients are found."""
    eps: float
    """The unit roundoff by which rank is judged."""
    precision: str
    descent: least_squares.Stop | None = None
    """When gradient descent stops; None if its coefficients are not wanted."""
    learning_rate: float | Literal["auto"] = "auto"
    initial: tuple[float, ...] | None = None

    @property
    def method(self) -> str:
        """The value of the column ``method``."""
        return "gradient_descent" if self.descent else "cholesky" if self.direct == "auto" else self.direct


def padded_size(dimension: str, lengths: np.ndarray) -> np.ndarray:
    """The padded size for each length: for observations the next power of two, at least 8; for features every size up
    to 8, then four sizes to the octave."""
    if dimension == "n":
        return powers_of_two(lengths)
    step = 1 << np.maximum(np.floor(np.log2(np.maximum(lengths, 1))).astype(np.int64) - 2, 0)
    return np.maximum(1, -(-lengths // step) * step)


@dataclass(frozen=True, kw_only=True)
class Datasets(Kernel):
    """What both kernels of whole datasets share: the columns of a dataset."""

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    options: Options
    features: tuple[str, ...] | None
    weights: str | None
    """The input column of weights."""
    drop_nulls: str | None = None
    second_stage: Kernel | None = None
    grouping: Grouping | None = None
    needs_x64 = True

    def size(self, dimension: str, lengths: np.ndarray) -> np.ndarray:
        """See :func:`padded_size`."""
        return padded_size(dimension, lengths)

    def describe_bucket(self, bucket: int) -> str:
        """See :meth:`Kernel.describe_bucket`."""
        del bucket
        return "datasets"

    def _data(self, *, n: Any, p: Any = None, **columns: Any) -> tuple[Any, ...]:
        """A dataset as arrays.

        Returns:
            The columns of [1 X y], of shape [terms + 1, n]; which of the n observations count; their weights or None;
            the number of features; and whether a weight is negative.
        """
        y = columns["y"].astype("float64")
        if self.features is not None:
            X = jnp.stack([columns[name] for name in self.features])
            p = jnp.asarray(len(self.features))
        else:
            X = columns["X"].T
            p = jnp.asarray(len(X)) if p is None else p
        X = X.astype("float64")
        observed, bad, weights = jnp.arange(len(y)) < n, jnp.asarray(False), None
        if self.weights is not None:
            weights = columns[self.weights].astype("float64")
            bad = jnp.any(observed & (weights < 0))
            observed &= weights != 0
        Z = least_squares.columns(X, y, observed, intercept=self.options.intercept)
        return Z, observed, weights, p, bad


@dataclass(frozen=True, kw_only=True)
class DatasetStatistic(Datasets):
    """A dataset's statistic, which :class:`~jaxbatch.kernels.builtin.regression.fit.FitKernel` fits."""

    outputs: tuple[Column, ...] = STATISTIC

    def row(self, *, n: Any, p: Any = None, **columns: Any) -> dict[str, Any]:
        """See :meth:`Kernel.row`."""
        given = {**columns, "n": n} if p is None else {**columns, "n": n, "p": p}
        if len(columns["y"]) < least_squares.LONG_ROWS:
            return self._of_one(given)
        return sequential_vmap(self._of_one)(given)  # one at a time, so that a few thousand rows stay in the cache

    def _of_one(self, columns: dict[str, Any]) -> dict[str, Any]:
        Z, observed, weights, p, bad = self._data(**columns)
        plain = self.options.direct == "cholesky"
        shifted = plain and self.options.intercept
        found = least_squares.statistic(Z, observed, weights, plain=plain, shifted=shifted)
        return {
            **as_columns(found),
            "k": (k := p + self.options.intercept + 1),
            "t": k * (k + 1) // 2,
            "status": jnp.where(bad, Status.invalid_input, Status.ok),
        }

    def merge(self, left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See :meth:`Kernel.merge`."""
        with np.errstate(over="ignore", invalid="ignore"):  # the fit finds what is infinite or NaN
            return self._merged(left, right)

    def _merged(self, left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
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

    def empty_state(self) -> dict[str, np.ndarray]:
        """See :meth:`Kernel.empty_state`."""
        k = self._terms + 1
        return {
            "high": np.zeros(k * (k + 1) // 2),
            "low": np.zeros(k * (k + 1) // 2),
            "exponents": np.full(k, -least_squares.LARGEST_EXPONENT),
            "n": np.zeros((), np.int64),
            "weight": np.zeros(()),
            "least": np.full((), np.inf),
            "most": np.full((), -np.inf),
            "shift": np.zeros(()),
            "status": np.zeros((), np.int8),
        }

    @property
    def _terms(self) -> int:
        assert self.grouping is not None
        return len(self.grouping.columns) - 1 - (self.weights is not None) + self.options.intercept


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
    shift = down[:, i] + down[:, j]
    return np.ldexp(statistic["high"], shift), np.ldexp(statistic["low"], shift)


def as_columns(statistic: least_squares.Statistic) -> dict[str, Any]:
    """A statistic as the columns of :data:`STATISTIC`."""
    products = statistic.products
    high, low = (products.high, products.low) if isinstance(products, DoubleDouble) else (products, 0.0 * products)
    upper = np.triu_indices(high.shape[0])
    return {
        "high": high[upper],
        "low": low[upper],
        "exponents": statistic.exponents.astype("int64"),
        "n": statistic.n,
        "weight": statistic.weight,
        "least": statistic.y_min,
        "most": statistic.y_max,
        "shift": statistic.shift,
    }
