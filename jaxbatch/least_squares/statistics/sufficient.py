"""The statistic that is sufficient for every fit of a dataset, whatever computed it."""

from typing import NamedTuple

from jaxtyping import Float, Int

from jaxbatch.least_squares.arithmetic.array_library import Array
from jaxbatch.least_squares.arithmetic.double_double import DoubleDouble


class Statistic(NamedTuple):
    """All that a fit needs of a dataset: G = Z'WZ for Z = [1 X y], its columns divided by powers of two.

    The k columns are those of the terms, with the intercept's ones first if it has one, and y last.
    """

    products: DoubleDouble | Float[Array, "k k"]
    """G of the divided columns."""
    exponents: Int[Array, " k"]
    """Column i was divided by 2^exponents[i], so that its largest element, times the root of the largest weight, is
    about 1."""
    n: Int[Array, ""]
    """n, the number of observations of weight above 0."""
    weight: Float[Array, ""]
    """Σw, the sum of the weights; n without weights."""
    y_min: Float[Array, ""]
    """The smallest y, neither divided nor shifted; +∞ without observations."""
    y_max: Float[Array, ""]
    """The largest y likewise; −∞ without observations."""
    shift: Float[Array, ""]
    """Subtracted from y before all else, so that a plain matrix does not lose the digits of a large mean; else 0."""
