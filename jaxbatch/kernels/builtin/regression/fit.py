"""Fits as programs: the second of a regression's two stages, and the one for methods that need the data themselves.

The fit is a kernel of its own because it is large to compile and the same for every number of observations, while the
statistic (``statistic.py``) is small and has a program for every rung of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxbatch import least_squares
from jaxbatch.columns import Column, Status
from jaxbatch.kernels.base import Kernel, Row
from jaxbatch.kernels.builtin.regression.options import STATISTIC, Options, padded_size, places_in_triangle
from jaxbatch.kernels.builtin.regression.results import descended, results
from jaxbatch.kernels.builtin.regression.statistic import Datasets
from jaxbatch.least_squares.arithmetic.double_double import DoubleDouble


@dataclass(frozen=True, kw_only=True)
class DatasetFit(Datasets):
    """A fit of the data themselves, by QR or the singular value decomposition."""

    def row(self, *, n: Any, p: Any = None, **columns: Any) -> dict[str, Any]:
        """See :meth:`Kernel.row`."""
        options = self.options
        Z, observed, weights, p, bad = self._data(n=n, p=p, **columns)
        terms, penalised = least_squares.terms(jnp.arange(len(Z) - 1 - options.intercept) < p, options.intercept)
        problem = least_squares.design(Z, terms, penalised, weights)
        assert options.direct == "qr" or options.direct == "svd"
        solution = least_squares.solve_orthogonally(
            problem, method=options.direct, ridge=options.ridge, eps=options.eps
        )
        y_exponent = solution.exponents[-1]
        moments = least_squares.response_moments_of_data(Z, observed, weights, y_exponent, intercept=options.intercept)
        if options.descent:
            statistic = least_squares.statistic(Z, observed, weights, plain=True)
            found = descended(options, statistic, solution, terms, penalised)
        else:
            found = results(options, solution, moments, terms)
        found["status"] = jnp.where(bad, Status.invalid_input, found["status"])
        return found


@dataclass(frozen=True, kw_only=True)
class FitKernel(Kernel):
    """A fit of a dataset's statistic."""

    outputs: tuple[Column, ...]
    options: Options
    inputs: tuple[Column, ...] = STATISTIC
    needs_x64 = True

    def size(self, dimension: str, lengths: np.ndarray) -> np.ndarray:
        """The padded sizes of k, which counts the features, the intercept and y, and of t = k(k + 1)/2.

        The features are padded by :func:`padded_size`.
        """
        more = 1 + self.options.intercept
        k = lengths if dimension == "k" else np.round(np.sqrt(2 * lengths + 0.25) - 0.5).astype(np.int64)
        k = padded_size("p", np.maximum(k - more, 1)) + more
        return k if dimension == "k" else k * (k + 1) // 2

    @property
    def buckets(self) -> int:  # type: ignore[override]
        """See :attr:`Kernel.buckets`: one for all fits, and one for fits that turn out to be rank deficient."""
        return 1 if self.options.ridge > 0 or self.options.descent else 2

    def needs_recompute(self, bucket: int, outputs: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """See :meth:`Kernel.needs_recompute`."""
        return (outputs["rank"] < outputs["terms"]) & (outputs["n"] > 0) if bucket + 1 < self.buckets else None

    def describe_bucket(self, bucket: int) -> str:
        """See :meth:`Kernel.describe_bucket`."""
        return "fits below full rank" if bucket else "fits"

    def program(self, bucket: int) -> Row:
        """See :meth:`Kernel.program`."""
        return partial(self._row, least_norm=bucket > 0 or self.options.descent is not None)

    def _row(
        self,
        *,
        least_norm: bool,
        high: Any,
        low: Any,
        exponents: Any,
        n: Any,
        weight: Any,
        least: Any,
        most: Any,
        shift: Any,
        k: Any,
        t: Any,
    ) -> dict[str, Any]:
        options = self.options
        del t
        size = len(exponents)
        place = places_in_triangle(size)
        products: Any = high[place] if options.direct == "cholesky" else DoubleDouble(high[place], low[place])
        statistic = least_squares.Statistic(products, exponents.astype("int32"), n, weight, least, most, shift)
        features = jnp.arange(size - 1 - options.intercept) < k - 1 - options.intercept
        terms, penalised = least_squares.terms(features, options.intercept)
        solution = least_squares.solve(
            statistic, terms, penalised, ridge=options.ridge, eps=options.eps, least_norm=least_norm
        )
        if options.descent:
            return descended(options, statistic, solution, terms, penalised)
        moments = least_squares.response_moments(statistic, intercept=options.intercept)
        return results(options, solution, moments, terms)
