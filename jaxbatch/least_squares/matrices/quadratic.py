"""The squared residual of any coefficients, computed from the Gram matrix without cancellation."""

from typing import Any

import numpy as np

from jaxbatch.least_squares.arithmetic.array_library import Array, fori_loop, namespace, row, total
from jaxbatch.least_squares.arithmetic.double_double import (
    DoubleDouble,
    fast_two_sum,
    mapped,
    summed,
    two_product,
    two_sum,
)


def squared_residual(G: Any, coefficients: Any) -> Array:
    """‖y − A b‖² = v'G v with v = (−b, 1).

    G v is small where b fits, though its terms are not. So the terms are computed without error and added to three
    floats in a cascade (the expansions of Shewchuk, *Adaptive precision floating-point arithmetic*, 1997, cut after
    three): the error is below 2⁻¹⁵⁰ of the terms. For a plain G, digits cancel.

    Args:
        G: [A y]'[A y], double-double or plain, [p + 1, p + 1, …].
        coefficients: b in the same precision, [p, …].

    Returns:
        Plain float64 numbers ≥ 0, […].
    """
    xp = namespace(G.high if isinstance(G, DoubleDouble) else G)
    v = mapped(lambda part: xp.concatenate([-part, xp.zeros_like(part[:1])]), coefficients)
    last = np.zeros((v.shape[0], *(1,) * (len(v.shape) - 1)))
    last[-1] = 1.0
    v = v + xp.broadcast_to(xp.asarray(last), v.shape)
    if not isinstance(G, DoubleDouble):
        return xp.maximum(total(v * total(G.swapaxes(0, 1) * v[:, None])), 0.0)

    def add_column(j: Any, sums: tuple[Array, ...]) -> tuple[Array, ...]:
        high, middle, low = sums
        column, factor = (mapped(lambda part: row(part, j), x) for x in (G, v))
        product, error = two_product(column.high, factor.high)
        first, first_error = two_product(column.high, factor.low)
        second, second_error = two_product(column.low, factor.high)
        high, carry = two_sum(high, product)
        for term in (carry, error, first, second):
            middle, carry = two_sum(middle, term)
            low = low + carry
        return high, middle, low + ((first_error + second_error) + column.low * factor.low)

    zero = xp.zeros(G.shape[1:])
    high, middle, low = fori_loop(xp, G.shape[0], add_column, (zero, zero, zero))
    high, carry = two_sum(high, middle)
    high, low = fast_two_sum(high, carry + low)
    return xp.maximum(summed(DoubleDouble(high, low) * v).high, 0.0)
