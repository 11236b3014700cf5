"""Datasets and their statistic: the first of the two kernels that make a regression, and how statistics merge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax.custom_batching import sequential_vmap

from jaxbatch import least_squares
from jaxbatch.columns import Column, Status
from jaxbatch.kernels.base import Grouping, Kernel
from jaxbatch.least_squares.double_double import DoubleDouble, fast_two_sum, two_sum

WEIGHTS = "weights"
"""The input column of the weights where rows are observations, whatever the files call it."""

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
"""A :class:`least_squares.Statistic` as columns: k counts the terms and y, t the elements of a triangle of k×k."""


@dataclass(frozen=True)
class Options:
    """What a fit depends on besides its data."""

    intercept: bool
    ridge: float
    direct: Literal["auto", "cholesky", "qr", "svd"]
    """The way to rank and coefficients."""
    eps: float
    """The unit roundoff by which rank is judged."""
    precision: str
    descent: least_squares.Stop | None = None
    """When the coefficients of a gradient descent are wanted instead."""
    learning_rate: float | Literal["auto"] = "auto"
    initial: tuple[float, ...] | None = None

    @property
    def method(self) -> str:
        """What the column ``method`` says."""
        return "gradient_descent" if self.descent else "cholesky" if self.direct == "auto" else self.direct


def padded_size(dimension: str, lengths: np.ndarray) -> np.ndarray:
    """Powers of two from 8 for observations; for features every size to 8, then four to the octave."""
    if dimension == "n":
        return np.maximum(8, 1 << np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64))
    step = 1 << np.maximum(np.floor(np.log2(np.maximum(lengths, 1))).astype(np.int64) - 2, 0)
    return np.maximum(1, -(-lengths // step) * step)


@dataclass(frozen=True, kw_only=True)
class Datasets(Kernel):
    """What the two ways to fit a whole dataset share: its columns."""

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    options: Options
    features: tuple[str, ...] | None
    weights: str | None
    """The input column that holds them."""
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
        """The columns of [1 X y], which elements count, their weights, how many features there are, if one is bad."""
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
    """A dataset's statistic, from which :class:`Fit` goes on."""

    outputs: tuple[Column, ...] = STATISTIC

    def row(self, *, n: Any, p: Any = None, **columns: Any) -> dict[str, Any]:
        """See :meth:`Kernel.row`."""
        given = {**columns, "n": n} if p is None else {**columns, "n": n, "p": p}
        if len(columns["y"]) < least_squares.LONG_ROWS:
            return self._of_one(given)
        return sequential_vmap(self._of_one)(given)  # one at a time, a few thousand rows stay in the cache

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
        with np.errstate(over="ignore", invalid="ignore"):  # what is infinite or NaN is seen at the end
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
        """See :meth:`Kernel.nothing`."""
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
    """A plain statistic, its intercept's column the first, with another number subtracted from y."""
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
