"""A regression by NumPy, on CPUs: the statistics of many datasets, and their fits, without a compiler.

Every product and sum that a result depends on is exact or rounded alone and in a fixed order, so the bits of a dataset
are the same on every processor, and with whatever others it is computed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxbatch import least_squares
from jaxbatch.columns import Column, Maybe, Status
from jaxbatch.kernels.base import Grouping, Kernel
from jaxbatch.kernels.builtin.regression.merging import empty, merge
from jaxbatch.kernels.builtin.regression.options import STATISTIC, Options, padded_size, places_in_triangle
from jaxbatch.kernels.builtin.regression.results import descended, results
from jaxbatch.kernels.host import HostKernel
from jaxbatch.least_squares.arithmetic.double_double import DoubleDouble
from jaxbatch.least_squares.statistics.scaling import SMALLEST

MATRIX_ELEMENTS = 1 << 22
"""The elements of Gram matrices that are computed at once, 32 MiB of each temporary array: datasets of fewer
observations than terms have many times fewer numbers than their matrices."""

SOURCES = ("jaxbatch.least_squares", "jaxbatch.kernels.builtin.regression")


@dataclass(frozen=True, kw_only=True)
class HostStatistic(HostKernel):
    """The statistics of datasets, which :class:`HostFit` fits."""

    inputs: tuple[Column, ...]
    options: Options
    features: tuple[str, ...] | None
    weights: str | None
    """The input column of weights."""
    outputs: tuple[Column, ...] = STATISTIC
    drop_nulls: str | None = None
    second_stage: Kernel | None = None
    grouping: Grouping | None = None
    ragged = "n"
    needs_x64 = True
    sources = SOURCES

    def size(self, dimension: str, lengths: np.ndarray) -> np.ndarray:
        """See :func:`padded_size`."""
        return padded_size(dimension, lengths)

    def most_rows(self, sizes: Mapping[str, int]) -> int:
        """See :meth:`HostKernel.most_rows`."""
        features = sizes["p"] if self.features is None else len(self.features)
        return _most_datasets(features + self.options.intercept + 1)

    def compute(
        self, columns: Mapping[str, np.ndarray], lengths: np.ndarray | None, order: np.ndarray | None = None
    ) -> dict[str, Any]:
        """See :meth:`HostKernel.compute`."""
        assert lengths is not None
        y = columns["y"].astype(np.float64, copy=False)
        names = ("X",) if self.features is None else self.features
        features = [columns[name].astype(np.float64, copy=False) for name in names]
        weights, bad = None, np.zeros(len(lengths), bool)
        if self.weights is not None:
            weights = columns[self.weights].astype(np.float64, copy=False)
            own = weights if order is None else weights[order]
            owner = np.repeat(np.arange(len(lengths)), lengths)
            bad[owner[own < 0]] = True
            counted = ~(np.abs(own) < SMALLEST)  # NaN counts too, and shows in the results
            if not counted.all():
                lengths = np.bincount(owner[counted], minlength=len(lengths))
                order = np.flatnonzero(counted) if order is None else order[counted]
        shift = np.zeros(len(lengths))
        if self.options.direct == "cholesky" and self.options.intercept:
            y, shift = _shifted(y, lengths, order)
        found = least_squares.statistics_of(
            [*features, y], lengths, weights, intercept=self.options.intercept, order=order
        )
        k = columns.get("p", np.full(len(lengths), len(features))) + self.options.intercept + 1
        return {
            "high": found.high,
            "low": found.low,
            "exponents": found.exponents,
            "n": found.n,
            "weight": found.weight,
            "least": found.y_min + shift,
            "most": found.y_max + shift,
            "shift": shift,
            "k": k,
            "t": k * (k + 1) // 2,
            "status": np.where(bad, Status.invalid_input, Status.ok).astype(np.int8),
        }

    def merge(self, left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See :meth:`Kernel.merge`."""
        return merge(left, right)

    def empty_state(self) -> dict[str, np.ndarray]:
        """See :meth:`Kernel.empty_state`."""
        return empty(self.grouping, self.options, weighted=self.weights is not None)


@dataclass(frozen=True, kw_only=True)
class HostFit(HostKernel):
    """Fits of datasets' statistics."""

    outputs: tuple[Column, ...]
    options: Options
    inputs: tuple[Column, ...] = STATISTIC
    needs_x64 = True
    sources = SOURCES

    def most_rows(self, sizes: Mapping[str, int]) -> int:
        """See :meth:`HostKernel.most_rows`."""
        return _most_datasets(sizes["k"])

    def compute(
        self, columns: Mapping[str, np.ndarray], lengths: np.ndarray | None, order: np.ndarray | None = None
    ) -> dict[str, Any]:
        """See :meth:`HostKernel.compute`."""
        del lengths, order
        options = self.options
        size = columns["exponents"].shape[1]
        place = places_in_triangle(size)
        high, low = np.ascontiguousarray(columns["high"].T), np.ascontiguousarray(columns["low"].T)
        plain = options.direct == "cholesky"
        statistic = least_squares.Statistic(
            high[place] if plain else DoubleDouble(high[place], low[place]),
            np.ascontiguousarray(columns["exponents"].T).astype(np.int32),
            columns["n"],
            columns["weight"],
            columns["least"],
            columns["most"],
            columns["shift"],
        )
        features = np.arange(size - 1 - options.intercept)[:, None] < columns["k"] - 1 - options.intercept
        terms, penalised = least_squares.terms(features, options.intercept)
        with np.errstate(all="ignore"):  # what is infinite or NaN shows in the status
            solution = least_squares.solve(statistic, terms, penalised, ridge=options.ridge, eps=options.eps)
            if options.descent:
                found = descended(options, statistic, solution, terms, penalised)
            else:
                moments = least_squares.response_moments(statistic, intercept=options.intercept)
                found = results(options, solution, moments, terms)
        rows = len(columns["n"])
        return {name: _datasets_first(value, rows) for name, value in found.items()}


def _most_datasets(columns: int) -> int:
    """How many datasets of so many columns are computed at once."""
    return max(1, MATRIX_ELEMENTS // columns**2)


def _shifted(y: np.ndarray, lengths: np.ndarray, order: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """y minus each dataset's first, and those firsts, 0 for a dataset without observations."""
    rows: Any = slice(None) if order is None else order
    own = y[rows]
    shift = np.zeros(len(lengths))
    shift[lengths > 0] = own[(np.cumsum(lengths) - lengths)[lengths > 0]]
    found = np.zeros_like(y)
    with np.errstate(invalid="ignore"):  # ∞ − ∞, which the fit finds
        found[rows] = own - np.repeat(shift, lengths)
    return found, shift


def _datasets_first(value: Any, rows: int) -> Any:
    if isinstance(value, Maybe):
        return Maybe(*(_datasets_first(each, rows) for each in value))
    array = np.asarray(value)
    return np.moveaxis(array, -1, 0) if array.ndim else np.full(rows, array)
