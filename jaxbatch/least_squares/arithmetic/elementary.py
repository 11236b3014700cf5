"""exp and log by +, −, × and ÷ alone, so that their bits depend on no processor and no library of C."""

from typing import Any

import numpy as np
from jaxtyping import Float

from jaxbatch.least_squares.arithmetic.array_library import Array, namespace
from jaxbatch.least_squares.arithmetic.double_double import DoubleDouble, exponent_of, fast_two_sum, power_of_two

_LN_2 = (0.6931471805599453, 2.3190468138462996e-17)
"""ln 2 in twice the precision."""

_TERMS_OF_LOG = 13
"""Terms of the series of 2 artanh f beyond its first; the next is below 2⁻⁶⁴ of that for |f| ≤ 1/5."""

_TERMS_OF_EXP = 14
"""Terms of the Taylor series of exp; the next is below 2⁻⁵⁷ for |x| ≤ ln √2."""


def log(x: DoubleDouble) -> DoubleDouble:
    """ln x for 1e-300 ≤ x ≤ 1e300, right to about 2⁻⁵⁸ of the larger of ln x and 1/3.

    With x = 2ᵉ m and f = (m − 1)/(m + 1) it is e ln 2 + 2 artanh f (DLMF 4.6.4), whose first terms are computed in
    twice the precision, and the rest of the series in float64.
    """
    xp = namespace(x.high)
    exponent = exponent_of(x.high * (4.0 / 3.0)) - 1  # m is between 3/4 and 3/2
    power = power_of_two(-exponent)
    m = DoubleDouble(x.high * power, x.low * power)
    numerator, denominator = m + xp.full_like(m.high, -1.0), m + xp.ones_like(m.high)
    f = _quotient(numerator, denominator)
    square = f.high * f.high
    rest: Any = xp.zeros_like(square)
    for term in range(_TERMS_OF_LOG, 0, -1):
        rest = rest * square + 2.0 / (2 * term + 1)
    e = exponent.astype(x.high.dtype)
    of_exponent = DoubleDouble(xp.full_like(e, _LN_2[0]), xp.full_like(e, _LN_2[1])) * e
    return (of_exponent + (f + f)) + rest * (square * f.high)


def exp(x: DoubleDouble) -> Float[Array, "..."]:
    """eˣ rounded to about one ulp; 0 below float64's normal numbers."""
    xp = namespace(x.high)
    x = DoubleDouble(xp.clip(x.high, -760.0, 720.0), x.low)
    exponent = xp.rint(x.high * (1.0 / _LN_2[0]))
    reduced = x - DoubleDouble(xp.full_like(exponent, _LN_2[0]), xp.full_like(exponent, _LN_2[1])) * exponent
    r = reduced.high
    tail: Any = xp.zeros_like(r)
    for term in range(_TERMS_OF_EXP, 1, -1):
        tail = (tail + 1.0) * (r / term)
    found = 1.0 + (r + (reduced.low + tail * r))
    return found * power_of_two(exponent.astype("int32"))


def quotient(a: DoubleDouble, b: Array) -> DoubleDouble:
    """a/b for a plain b, right to about 100 bits."""
    return _quotient(a, DoubleDouble(b, namespace(b).zeros_like(b)))


def _quotient(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble:
    first = a.high / b.high
    return DoubleDouble(*fast_two_sum(first, (a - b * first).high / b.high))


def as_double_double(x: Array) -> DoubleDouble:
    """``x`` without a low part."""
    return DoubleDouble(x, np.zeros_like(x) if isinstance(x, np.ndarray) else namespace(x).zeros_like(x))
