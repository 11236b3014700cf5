"""What both stages of a regression share: the columns between them and after them, and what a fit depends on."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from jaxbatch import least_squares
from jaxbatch.columns import Column
from jaxbatch.kernels.base import powers_of_two

METHODS = ("cholesky", "qr", "svd", "gradient_descent")
"""The values of the column ``method``. The default, "auto", is Cholesky's, of a Gram matrix in twice the precision."""

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


def places_in_triangle(size: int) -> np.ndarray:
    """Where each element of a symmetric matrix, [size, size], stands in its upper triangle, row by row."""
    i, j = np.indices((size, size))
    first, second = np.minimum(i, j), np.maximum(i, j)
    return first * size - first * (first - 1) // 2 + second - first


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
