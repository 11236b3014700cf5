"""The scale of the expansion variable t, a power of two, and multiplications by powers of two without rounding."""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float, Int

_INTEGERS = {16: jnp.int16, 32: jnp.int32, 64: jnp.int64}
"""The integer of as many bits as a float."""

PROBE_ORDER = 8
"""The order up to which coefficients are computed first, to find the scale for all."""

LARGEST = 100
"""The largest exponent of a scale, in absolute value: a direction times 2^100 is still within float32."""


def scale_exponent(stacks: Sequence[Float[Array, "orders ..."]], order: int) -> Int[Array, ""]:
    """The exponent of a power of two near 1/|c_n|^(1/n) at n = ``order``, extrapolated from the first coefficients.

    Near a pole coefficients fall like r^n, those of an entire function like r^n/n!. So the rate is read off twice, at
    about orders 4 and 8, and extrapolated to ``order`` by its change over that doubling.

    Args:
        stacks: the coefficients of every result, orders first; those up to order ``PROBED`` are read.
        order: of the last coefficient.

    Returns:
        An int32, the smallest exponent of any element of any result.
    """
    size = jnp.concatenate([jnp.abs(x[: PROBE_ORDER + 1]).reshape(PROBE_ORDER + 1, -1) for x in stacks], axis=1)
    logarithm = _rough_log2(size.astype(jnp.finfo(size.dtype).dtype))
    start = jnp.maximum(logarithm[1], logarithm[2])
    rates = (logarithm - start) / np.maximum(np.arange(PROBE_ORDER + 1) - 1, 1).astype(logarithm.dtype)[:, None]
    near, far = jnp.maximum(rates[3], rates[4]), jnp.maximum(rates[7], rates[8])
    falling = jnp.where(jnp.isfinite(near), jnp.maximum(near - far, 0), 0) * math.log2(max(order / PROBE_ORDER, 1))
    rate = jnp.where(jnp.isfinite(far), far - falling, jnp.where(jnp.isfinite(near), near, logarithm[2] - logarithm[1]))
    exponent = jnp.where(jnp.isfinite(rate), -jnp.round(rate), 0)
    return jnp.clip(jnp.min(exponent, initial=LARGEST), -LARGEST, LARGEST).astype(jnp.int32)


_MANTISSA_BITS = 20
"""The most bits of a mantissa that :func:`_rough_log2` looks at."""


def _rough_log2(x: Array) -> Array:
    """log2 x for x ≥ 0, linear between powers of two: off by at most 0.087, which no power of two makes good.

    The bits of a float, as an integer, are its exponent, and after the point how far it is to the next power.
    """
    kind = jnp.finfo(x.dtype)
    kept = min(kind.nmant, _MANTISSA_BITS)
    bits = lax.bitcast_convert_type(x, _INTEGERS[kind.bits]) >> (kind.nmant - kept)
    rough = bits.astype(jnp.int32).astype(x.dtype) * 2.0**-kept + (kind.minexp - 1)
    return jnp.where(x == 0, -jnp.inf, jnp.where(jnp.isfinite(x), rough, x))


def times_power_of_two(x: Any, exponent: Any) -> Array:
    """``x·2^exponent``, rounded only where the result is subnormal; no step on the way is out of range."""
    for part in range(4):
        x = x * _power_of_two((exponent + part) >> 2, x.dtype)
    return x


def _power_of_two(exponent: Any, dtype: np.dtype) -> Array:
    """2^exponent by its bits, or the nearest power of two that is a normal number."""
    kind = jnp.finfo(dtype)
    biased = jnp.clip(exponent, kind.minexp, kind.maxexp - 1).astype(_INTEGERS[kind.bits]) - (kind.minexp - 1)
    return lax.bitcast_convert_type(biased << kind.nmant, kind.dtype)
