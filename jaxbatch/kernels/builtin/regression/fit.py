"""Fits: the second of a regression's two kernels, and the one for methods that need the data themselves.

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
from jaxbatch.kernels.builtin.regression.statistic import STATISTIC, Datasets, Options, padded_size
from jaxbatch.least_squares.double_double import DoubleDouble

METHODS = ("cholesky", "qr", "svd", "gradient_descent")
"""The values of the column ``method``. The default, "auto", is Cholesky's, of a Gram matrix in twice the precision."""


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
        spread = least_squares.response_moments_of_data(Z, observed, weights, y_exponent, intercept=options.intercept)
        if options.descent:
            statistic = least_squares.statistic(Z, observed, weights, plain=True)
            results = _descended(options, statistic, solution, spread, terms, penalised)
        else:
            results = _results(options, solution, spread, terms)
        results["status"] = jnp.where(bad, Status.invalid_input, results["status"])
        return results


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
        i, j = np.indices((size, size))
        first, second = np.minimum(i, j), np.maximum(i, j)
        place = first * size - first * (first - 1) // 2 + second - first
        products: Any = high[place] if options.direct == "cholesky" else DoubleDouble(high[place], low[place])
        statistic = least_squares.Statistic(products, exponents.astype("int32"), n, weight, least, most, shift)
        features = jnp.arange(size - 1 - options.intercept) < k - 1 - options.intercept
        terms, penalised = least_squares.terms(features, options.intercept)
        solution = least_squares.solve(
            statistic, terms, penalised, ridge=options.ridge, eps=options.eps, least_norm=least_norm
        )
        spread = least_squares.response_moments(statistic, intercept=options.intercept)
        if options.descent:
            return _descended(options, statistic, solution, spread, terms, penalised)
        return _results(options, solution, spread, terms)


def outputs(terms: tuple[str, ...] | None) -> tuple[Column, ...]:
    """The columns of a fit.

    Args:
        terms: the names of its terms, written into the metadata of columns that have one number per term; None if
            datasets differ in their terms.
    """
    metadata = {"terms": ",".join(terms)} if terms is not None else {}

    def per_term(name: str, *, check_finite: bool = False) -> Column:
        return Column(name, shape=("terms",), check_finite=check_finite, metadata=metadata)

    return (
        per_term("coefficients", check_finite=True),
        per_term("standard_errors"),
        per_term("t_values"),
        per_term("p_values"),
        Column("n", "int64"),
        Column("rank", "int64"),
        Column("condition", check_finite=False),
        Column("loss"),
        Column("r_squared", check_finite=False),
        Column("residual_sd", check_finite=False),
        Column("method", "string", choices=METHODS),
        Column("steps", "int64"),
        Column("converged", "bool"),
    )


def _descended(
    options: Options,
    statistic: least_squares.Statistic,
    solution: least_squares.Solution,
    spread: least_squares.ResponseMoments,
    terms: Any,
    penalised: Any,
) -> dict[str, Any]:
    assert options.descent is not None
    initial = np.zeros(len(terms))
    given = options.initial or ()
    initial[: len(given)] = given[: len(terms)]
    coefficients, steps, converged = least_squares.descend(
        statistic,
        terms,
        penalised,
        jnp.asarray(initial, "float64"),
        learning_rate=options.learning_rate,
        ridge=options.ridge,
        stop=options.descent,
        dtype=jnp.dtype(options.precision),
    )
    solution = least_squares.with_coefficients(solution, statistic, coefficients)
    spread = least_squares.response_moments(statistic, intercept=options.intercept)
    results = _results(options, solution, spread, terms, steps, converged)
    if options.initial is not None:
        fitting = terms.sum() == len(options.initial)
        results["status"] = jnp.where(fitting, results["status"], Status.invalid_input)
    return results


def _results(
    options: Options,
    solution: least_squares.Solution,
    spread: least_squares.ResponseMoments,
    terms: Any,
    steps: Any = 0,
    converged: Any = True,
) -> dict[str, Any]:
    p = terms.sum()
    deficient = (solution.rank < p) & (options.ridge == 0)
    status = jnp.where(deficient, Status.rank_deficient, Status.ok)
    status = jnp.maximum(status, jnp.where(converged, Status.ok, Status.not_converged))
    sampled = jnp.logical_and(converged, options.ridge == 0)
    used: Any = METHODS.index(options.method)
    if options.method == "qr":
        used = jnp.where(deficient, METHODS.index("svd"), used)
    return {
        "coefficients": solution.coefficients,
        **least_squares.infer(solution, spread, p, sampled=sampled)._asdict(),
        "n": spread.n,
        "rank": solution.rank,
        "condition": solution.condition,
        "method": used,
        "steps": steps,
        "converged": converged,
        "terms": p,
        "status": jnp.where(spread.n == 0, Status.invalid_input, status),
    }
