"""A dataset's statistic as a program: the first of a regression's two stages, on accelerators."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.custom_batching import sequential_vmap

from jaxbatch import least_squares
from jaxbatch.columns import Column, Status
from jaxbatch.kernels.base import Grouping, Kernel
from jaxbatch.kernels.builtin.regression.merging import empty, merge
from jaxbatch.kernels.builtin.regression.options import STATISTIC, Options, padded_size
from jaxbatch.least_squares.arithmetic.double_double import DoubleDouble


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
        return merge(left, right)

    def empty_state(self) -> dict[str, np.ndarray]:
        """See :meth:`Kernel.empty_state`."""
        return empty(self.grouping, self.options, weighted=self.weights is not None)


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
