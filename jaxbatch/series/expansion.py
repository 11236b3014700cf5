"""The result of an expansion: coefficients, derivatives or terms, none out of range before it is asked for."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from jaxbatch.series.scaling import times_power_of_two


@dataclass(frozen=True)
class Expansion:
    """Taylor coefficients c_n = ``scaled[…, n] · 2^(−n·exponent)``: none over- or underflows before it is asked for.

    Attributes:
        scaled: for each result of the function an array ``[…, order + 1]`` of the result's dtype, in its pytree.
        exponent: of the scale of t, one int32 for all results; None for 0.
    """

    scaled: Any
    exponent: Int[Array, ""] | None

    def coefficients(self) -> Any:
        """c_n = f⁽ⁿ⁾/n!, for each result an array ``[…, order + 1]``."""
        if self.exponent is None:
            return self.scaled
        exponent = self.exponent

        def unscaled(x: Array) -> Array:
            orders = jnp.arange(x.shape[-1], dtype=jnp.int32)  # integers of 64 bits take twice as long
            return times_power_of_two(x, -orders * exponent)

        return jax.tree.map(unscaled, self.scaled)

    def derivatives(self) -> Any:
        """f⁽ⁿ⁾ = n!·c_n, for each result an array ``[…, order + 1]``; in range wherever the derivative itself is."""

        def unscaled(x: Array) -> Array:
            kind = jnp.finfo(x.dtype).dtype
            if self.exponent is None:
                return x * np.array([math.factorial(n) for n in range(x.shape[-1])], kind)
            mantissas, exponents = zip(*(_mantissa(math.factorial(n)) for n in range(x.shape[-1])), strict=True)
            shift = jnp.array(exponents, jnp.int32) - jnp.arange(x.shape[-1], dtype=jnp.int32) * self.exponent
            return times_power_of_two(x * np.array(mantissas, kind), shift)

        return jax.tree.map(unscaled, self.scaled)

    def terms(self, step: Float[Array, ""]) -> Any:
        """c_n·step^n for one number ``step``, for each result an array ``[…, order + 1]``."""
        ratio = step if self.exponent is None else times_power_of_two(step, -self.exponent)
        return jax.tree.map(lambda x: x * ratio ** jnp.arange(x.shape[-1]), self.scaled)


def _mantissa(number: int) -> tuple[float, int]:
    """An integer of any size as m·2^e with m in [1, 2)."""
    exponent = number.bit_length() - 1
    return number / (1 << exponent), exponent
