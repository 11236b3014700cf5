"""Linear least squares of one dataset by JAX, for ``jit`` and ``vmap``, and of many at once by NumPy.

Arrays in, arrays out; which columns are features, and what a null means, is decided by the kernel ``regression``. Begin
with ``fits.py``, a whole fit. ``statistics`` has what it rests on, ``matrices`` and ``arithmetic`` what it is made of.
What follows from the statistic (``solve``, ``infer``, ``descend`` and what they need) takes arrays of either library;
NumPy's have the datasets on the last axis, and then JAX is not imported.
"""

import importlib
from typing import TYPE_CHECKING, Any

from jaxbatch.least_squares.arithmetic.double_double import LARGEST_EXPONENT
from jaxbatch.least_squares.descent import Descent, Stop, descend
from jaxbatch.least_squares.design import Design, columns, design, terms
from jaxbatch.least_squares.fits import Fit, fit, fitted
from jaxbatch.least_squares.inference import (
    Inference,
    ResponseMoments,
    infer,
    response_moments,
    response_moments_of_data,
)
from jaxbatch.least_squares.solution import Solution, rank_tolerance
from jaxbatch.least_squares.solve import solve, with_coefficients
from jaxbatch.least_squares.statistics.ragged import statistics_of
from jaxbatch.least_squares.statistics.sufficient import Statistic

if TYPE_CHECKING:
    from jaxbatch.least_squares.arithmetic.transforms_hold import error_free_transforms_hold
    from jaxbatch.least_squares.orthogonal import solve_orthogonally
    from jaxbatch.least_squares.statistics.gram import LONG_ROWS, statistic

__all__ = [
    "LARGEST_EXPONENT",
    "LONG_ROWS",
    "Descent",
    "Design",
    "Fit",
    "Inference",
    "ResponseMoments",
    "Solution",
    "Statistic",
    "Stop",
    "columns",
    "descend",
    "design",
    "error_free_transforms_hold",
    "fit",
    "fitted",
    "infer",
    "rank_tolerance",
    "response_moments",
    "response_moments_of_data",
    "solve",
    "solve_orthogonally",
    "statistic",
    "statistics_of",
    "terms",
    "with_coefficients",
]

_HOME_OF_THOSE_IN_JAX = {
    "LONG_ROWS": "statistics.gram",
    "statistic": "statistics.gram",
    "solve_orthogonally": "orthogonal",
    "error_free_transforms_hold": "arithmetic.transforms_hold",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF_THOSE_IN_JAX:
        raise AttributeError(f"module 'jaxbatch.least_squares' has no attribute '{name}'")
    return getattr(importlib.import_module(f"jaxbatch.least_squares.{_HOME_OF_THOSE_IN_JAX[name]}"), name)
