"""Whether a device's compiler leaves error-free transformations intact."""

import functools
from fractions import Fraction

import jax
import numpy as np
from jax.extend.backend import get_default_device

from jaxbatch.least_squares.arithmetic.array_library import Array
from jaxbatch.least_squares.arithmetic.double_double import two_product, two_sum


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
