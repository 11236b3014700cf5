"""Linear least squares of one padded dataset: every function here is for ``jit`` and ``vmap``."""

from jaxbatch.least_squares.descent import Descent, Stop, descend
from jaxbatch.least_squares.design import Design, design
from jaxbatch.least_squares.inference import Inference, infer
from jaxbatch.least_squares.solve import Solution, rank_tolerance, solve

__all__ = [
    "Descent",
    "Design",
    "Inference",
    "Solution",
    "Stop",
    "descend",
    "design",
    "infer",
    "rank_tolerance",
    "solve",
]
