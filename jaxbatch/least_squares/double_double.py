"""Numbers of twice the precision: unevaluated sums of two floats, about 106 bits in float64.

The error-free transformations are those of Knuth (*The Art of Computer Programming*, vol. 2, §4.2.2) and Dekker (*A
floating-point technique for extending the available precision*, Numer. Math. 18, 1971), but for the product, which is
summed from exact products of halves. The arithmetic on them is that of Hida, Li and Bailey, *Library for double-double
and quad-double arithmetic* (2007). Sums use + and − only, so they work on JAX and NumPy arrays alike; products are for
JAX. :func:`error_free_transforms_hold` tells whether the compiler of this device leaves the transformations intact.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.backend import get_default_device

LARGEST_EXPONENT = 1000
"""The largest exponent, in absolute value, of the powers of two by which columns are divided."""

_FRACTION_BITS = 52
"""The stored bits of a float64's significand."""

_LOWER_BITS = 27
"""How many of those bits :func:`split` leaves to the lower half."""


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

    Dekker splits by a multiplication; here it is done on the bits, so that no contraction of operations can change it.
    """
    bits = lax.bitcast_convert_type(a, jnp.uint64) + jnp.uint64(1 << (_LOWER_BITS - 1))
    upper = lax.bitcast_convert_type((bits >> _LOWER_BITS) << _LOWER_BITS, a.dtype)
    return upper, a - upper


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """a·b rounded up or down, and its exact error, for float64 JAX arrays.

    It is summed from products of halves, which are exact: a compiler that contracts a product and a sum to one fused
    operation, as XLA does, then changes nothing. Dekker's own formula would be wrong by an ulp of a·b.
    """
    (a_upper, a_lower), (b_upper, b_lower) = split(a), split(b)
    middle, lost = two_sum(a_upper * b_lower, a_lower * b_upper)
    product, error = fast_two_sum(a_upper * b_upper, middle)
    return fast_two_sum(product, error + (lost + a_lower * b_lower))


@jax.tree_util.register_dataclass
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


def times_power(x: "DoubleDouble | Array", power: Array) -> Any:
    """``x`` times powers of two, which changes no digit."""
    return jax.tree.map(lambda part: part * power, x)


def power_of_two(exponents: Array) -> Array:
    """2^exponents in float64, for exponents within ±2000: infinity above its range, 0 below its normal numbers."""
    half = exponents >> 1
    return _from_exponent(half) * _from_exponent(exponents - half)


def _from_exponent(exponents: Array) -> Array:
    biased = jnp.clip(exponents, -1022, 1023).astype(jnp.int64) + 1023
    return lax.bitcast_convert_type(biased << _FRACTION_BITS, jnp.float64)


def exponent_of(x: Array) -> Array:
    """The least e with |x| < 2^e, within ±1000; −1000 for 0, and 0 for infinity and NaN."""
    bits = lax.bitcast_convert_type(x, jnp.int64)
    exponents = ((bits >> _FRACTION_BITS) & 0x7FF) - 1022
    return jnp.where(jnp.isfinite(x), jnp.clip(exponents, -LARGEST_EXPONENT, LARGEST_EXPONENT), 0).astype(jnp.int32)


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
        return 1.0 / jnp.sqrt(x)
    first = 1.0 / jnp.sqrt(x.high)
    return DoubleDouble(*fast_two_sum(first, 0.5 * first * (1.0 - (x * first) * first).high))


def where(condition: Array, x: Any, y: Any) -> Any:
    """:func:`jax.numpy.where` for numbers of either precision; ``x`` and ``y`` are of one kind."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), x, y)


def full_like(x: Any, value: float) -> Any:
    """An array of one number with the shape and precision of ``x``."""
    if isinstance(x, DoubleDouble):
        return DoubleDouble(jnp.full_like(x.high, value), jnp.zeros_like(x.low))
    return jnp.full_like(x, value)


def mapped(function: Callable[..., Array], *xs: Any) -> Any:
    """``function`` applied to the high and to the low parts: it may move elements, not compute with them."""
    return jax.tree.map(function, *xs)


def summed(x: Any) -> Any:
    """The sum over the leading axis, pairwise."""
    while (length := x.shape[0]) > 1:
        half = (length + 1) // 2
        upper = mapped(lambda part, half=half, length=length: _padded(part[half:], 2 * half - length), x)
        x = x[:half] + upper
    return x[0]


def _padded(x: Array, missing: int) -> Array:
    return jnp.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1)) if missing else x


def error_free_transforms_hold() -> bool:
    """Whether the error-free transformations are exact under the default device's compiler, tried on 1,024 numbers."""
    return _transforms_hold(get_default_device().platform)


@functools.cache
def _transforms_hold(platform: str) -> bool:
    del platform  # the key of the cache: a process may compute on one device after another
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 1024)) * 2.0 ** rng.integers(-40, 40, (2, 1024))

    def multiply_add(a: Array, b: Array) -> tuple[Array, Array]:
        product, error = two_product(a, b)
        total, rest = two_sum(product, a)
        return total, rest + error

    with jax.enable_x64(True):
        program = jax.jit(multiply_add).lower(a, b).compile()  # it may be asked while another program is traced
        high, low = jax.device_get(program(a, b))
    return all(map(_is_multiply_add, a.tolist(), b.tolist(), high.tolist(), low.tolist()))


def _is_multiply_add(a: float, b: float, high: float, low: float) -> bool:
    product = Fraction(a) * Fraction(b)
    wrong = product + Fraction(a) - Fraction(high) - Fraction(low)
    return abs(wrong) <= (abs(product) + abs(Fraction(a))) / 2**104
