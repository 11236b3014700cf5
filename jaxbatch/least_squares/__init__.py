"""Linear least squares: in JAX functions of one padded dataset, for ``jit`` and ``vmap``; the solve also in NumPy.

Arrays in, arrays out; which columns are features, and what a null means, is decided by the kernel ``regression``.
Begin with ``fits.py``, a whole fit; ``gram.py`` is the statistic it rests on, ``double_double.py`` the arithmetic.
What follows from the statistic (``solve``, ``infer``, ``descend`` and what they need) also takes NumPy arrays, with the
datasets on the last axis, and then JAX is not imported.
"""

import importlib
from typing import TYPE_CHECKING, Any

from jaxbatch.least_squares.descent import Descent, Stop, descend
from jaxbatch.least_squares.design import Design, columns, design, terms
from jaxbatch.least_squares.double_double import LARGEST_EXPONENT
from jaxbatch.least_squares.fits import Fit, fit, fitted
from jaxbatch.least_squares.inference import (
    Inference,
    ResponseMoments,
    infer,
    response_moments,
    response_moments_of_data,
)
from jaxbatch.least_squares.ragged import statistics_of
from jaxbatch.least_squares.solution import Solution, rank_tolerance
from jaxbatch.least_squares.solve import solve, with_coefficients
from jaxbatch.least_squares.sufficient import Statistic

if TYPE_CHECKING:
    from jaxbatch.least_squares.gram import LONG_ROWS, statistic
    from jaxbatch.least_squares.orthogonal import solve_orthogonally
    from jaxbatch.least_squares.transforms_hold import error_free_transforms_hold

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
    "LONG_ROWS": "gram",
    "statistic": "gram",
    "solve_orthogonally": "orthogonal",
    "error_free_transforms_hold": "transforms_hold",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF_THOSE_IN_JAX:
        raise AttributeError(f"module 'jaxbatch.least_squares' has no attribute '{name}'")
    return getattr(importlib.import_module(f"jaxbatch.least_squares.{_HOME_OF_THOSE_IN_JAX[name]}"), name)
