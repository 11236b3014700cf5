"""Numbers of twice the precision: unevaluated sums of two floats, about 106 bits in float64.

The error-free transformations are those of Knuth (*The Art of Computer Programming*, vol. 2, §4.2.2) and Dekker (*A
floating-point technique for extending the available precision*, Numer. Math. 18, 1971), but for the product, which is
summed from exact products of halves. The arithmetic on them is that of Hida, Li and Bailey, *Library for double-double
and quad-double arithmetic* (2007). All of it is for NumPy and JAX arrays alike (``array_library.py``); whether the
compiler of a device leaves the transformations intact is found in ``transforms_hold.py``.
"""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxbatch.least_squares.arithmetic.array_library import Array, namespace

LARGEST_EXPONENT = 1000
"""The largest exponent, in absolute value, of the powers of two by which columns are divided."""

_FRACTION_BITS = 52
"""The stored bits of a float64's significand."""

_LOWER_BITS = 27
"""How many of those bits :func:`split` leaves to the lower half."""

_SPLITTER = 2.0**_LOWER_BITS + 1.0
"""Dekker's multiplier."""


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """a + b rounded, and its exact error (Knuth's TwoSum)."""
    total = a + b
    rest = total - a
    return total, (a - (total - rest)) + (b - rest)


def fast_two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """a + b rounded, and its exact error, where |a| ≥ |b| or a = 0 (Dekker's FastTwoSum)."""
    total = a + b
    return total, b - (total - a)


def split(a: Array) -> tuple[Array, Array]:
    """a = upper + lower exactly, of 26 bits each, for float64.

    Dekker splits by a multiplication, which serves NumPy below 2⁹⁹⁶; in JAX it is done on the bits, so that no
    contraction of operations can change it.
    """
    if namespace(a) is np:
        large = a * _SPLITTER
        upper = large - (large - a)
        return upper, a - upper
    bits = _reinterpreted(a, "uint64") + np.uint64(1 << (_LOWER_BITS - 1))
    upper = _reinterpreted((bits >> np.uint64(_LOWER_BITS)) << np.uint64(_LOWER_BITS), "float64")
    return upper, a - upper


def _reinterpreted(x: Array, dtype: str) -> Array:
    """The bits of ``x`` as another type of the same size."""
    if namespace(x) is np:
        return np.asarray(x).view(dtype)
    from jax import lax

    return lax.bitcast_convert_type(x, dtype)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """a·b rounded up or down, and its exact error, for float64.

    NumPy's is Dekker's. In JAX it is summed from products of halves, which are exact: a compiler that contracts a
    product and a sum to one fused operation, as XLA does, then changes nothing. Dekker's own formula would be wrong by
    an ulp of a·b.
    """
    halves_a, halves_b = split(a), split(b)
    if namespace(a, b) is np:
        product = a * b
        return product, error_of_product(halves_a, halves_b, product)
    (a_upper, a_lower), (b_upper, b_lower) = halves_a, halves_b
    middle, lost = two_sum(a_upper * b_lower, a_lower * b_upper)
    product, error = fast_two_sum(a_upper * b_upper, middle)
    return fast_two_sum(product, error + (lost + a_lower * b_lower))


def error_of_product(a: tuple[Array, Array], b: tuple[Array, Array], product: Array) -> Array:
    """a·b − ``product``, the product rounded, from the halves of a and b (Dekker); for NumPy only, see above."""
    error = a[0] * b[0]
    error -= product
    error += a[0] * b[1]
    error += a[1] * b[0]
    error += a[1] * b[1]
    return error


@dataclass(frozen=True)
class DoubleDouble:
    """Numbers ``high + low`` with |low| ≤ ulp(high)/2, element by element.

    +, − and × with another or with a plain array are right to about 104 bits.
    """

    high: Array
    low: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of both arrays."""
        return self.high.shape

    def __getitem__(self, index: Any) -> "DoubleDouble":
        return DoubleDouble(self.high[index], self.low[index])

    def __neg__(self) -> "DoubleDouble":
        return DoubleDouble(-self.high, -self.low)

    def __add__(self, other: "DoubleDouble | Array") -> "DoubleDouble":
        if not isinstance(other, DoubleDouble):
            total, error = two_sum(self.high, other)
            return DoubleDouble(*fast_two_sum(total, error + self.low))
        total, error = two_sum(self.high, other.high)
        low, rest = two_sum(self.low, other.low)
        total, error = fast_two_sum(total, error + low)
        return DoubleDouble(*fast_two_sum(total, error + rest))

    def __rsub__(self, other: Any) -> "DoubleDouble":
        return (-self) + other

    def __sub__(self, other: "DoubleDouble | Array") -> "DoubleDouble":
        return self + (-other)

    def __mul__(self, other: "DoubleDouble | Array") -> "DoubleDouble":
        if not isinstance(other, DoubleDouble):
            product, error = two_product(self.high, other)
            return DoubleDouble(*fast_two_sum(product, error + self.low * other))
        product, error = two_product(self.high, other.high)
        return DoubleDouble(*fast_two_sum(product, error + (self.high * other.low + self.low * other.high)))


@functools.cache
def register_pytree() -> None:
    """Makes JAX take :class:`DoubleDouble` for a pytree; the modules that hand one to JAX call it."""
    from jax.tree_util import register_dataclass

    register_dataclass(DoubleDouble)


if "jax" in sys.modules:
    register_pytree()


def times_power(x: "DoubleDouble | Array", power: Array) -> Any:
    """``x`` times powers of two, which changes no digit."""
    return mapped(lambda part: part * power, x)


def power_of_two(exponents: Array) -> Array:
    """2^exponents in float64, for exponents within ±2000: infinity above its range, 0 below its normal numbers."""
    half = exponents >> 1
    return _from_exponent(half) * _from_exponent(exponents - half)


def _from_exponent(exponents: Array) -> Array:
    biased = namespace(exponents).clip(exponents, -1022, 1023).astype("int64") + 1023
    return _reinterpreted(biased << _FRACTION_BITS, "float64")


def exponent_of(x: Array) -> Array:
    """The least e with |x| < 2^e, within ±1000; −1000 for 0, and 0 for infinity and NaN."""
    xp = namespace(x)
    exponents = ((_reinterpreted(x, "int64") >> _FRACTION_BITS) & 0x7FF) - 1022
    return xp.where(xp.isfinite(x), xp.clip(exponents, -LARGEST_EXPONENT, LARGEST_EXPONENT), 0).astype("int32")


def rounded(x: "DoubleDouble | Array") -> Array:
    """The nearest float64."""
    return x.high + x.low if isinstance(x, DoubleDouble) else x


def inverse(x: "DoubleDouble | Array") -> Any:
    """1/x, by one Newton step from the reciprocal in float64."""
    if not isinstance(x, DoubleDouble):
        return 1.0 / x
    first = 1.0 / x.high
    return DoubleDouble(*fast_two_sum(first, first * (1.0 - (x * first)).high))


def inverse_root(x: "DoubleDouble | Array") -> Any:
    """1/√x, by one Newton step from the root in float64."""
    if not isinstance(x, DoubleDouble):
        return 1.0 / namespace(x).sqrt(x)
    first = 1.0 / namespace(x.high).sqrt(x.high)
    return DoubleDouble(*fast_two_sum(first, 0.5 * first * (1.0 - (x * first) * first).high))


def where(condition: Array, x: Any, y: Any) -> Any:
    """:func:`numpy.where` for numbers of either precision; ``x`` and ``y`` are of one kind."""
    return mapped(lambda a, b: namespace(condition, a, b).where(condition, a, b), x, y)


def full_like(x: Any, value: float) -> Any:
    """An array of one number with the shape and precision of ``x``."""
    if isinstance(x, DoubleDouble):
        return DoubleDouble(full_like(x.high, value), full_like(x.low, 0.0))
    return namespace(x).full_like(x, value)


def mapped(function: Callable[..., Array], *xs: Any) -> Any:
    """``function`` applied to the high and to the low parts: it may move elements, not compute with them."""
    if not isinstance(xs[0], DoubleDouble):
        return function(*xs)
    return DoubleDouble(function(*(x.high for x in xs)), function(*(x.low for x in xs)))


def summed(x: Any) -> Any:
    """The sum over the leading axis, pairwise."""
    while (length := x.shape[0]) > 1:
        half = (length + 1) // 2
        upper = mapped(lambda part, half=half, length=length: _padded(part[half:], 2 * half - length), x)
        x = x[:half] + upper
    return x[0]


def _padded(x: Array, missing: int) -> Array:
    return namespace(x).pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1)) if missing else x
