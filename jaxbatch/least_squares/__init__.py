"""Linear least squares of one padded dataset: every function here is for ``jit`` and ``vmap``.

Arrays in, arrays out; which columns are features, and what a null means, is decided by the kernel ``regression``.
Begin with ``fits.py``, a whole fit; ``gram.py`` is the statistic it rests on, ``double_double.py`` the arithmetic.
"""

from jaxbatch.least_squares.descent import Descent, Stop, descend
from jaxbatch.least_squares.design import Design, columns, design, terms
from jaxbatch.least_squares.double_double import LARGEST_EXPONENT, error_free_transforms_hold
from jaxbatch.least_squares.fits import Fit, fit
from jaxbatch.least_squares.gram import LONG_ROWS, Statistic, statistic
from jaxbatch.least_squares.inference import (
    Inference,
    ResponseMoments,
    infer,
    response_moments,
    response_moments_of_data,
)
from jaxbatch.least_squares.orthogonal import solve_orthogonally
from jaxbatch.least_squares.solve import Solution, rank_tolerance, solve, with_coefficients

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
    "infer",
    "rank_tolerance",
    "response_moments",
    "response_moments_of_data",
    "solve",
    "solve_orthogonally",
    "statistic",
    "terms",
    "with_coefficients",
]
