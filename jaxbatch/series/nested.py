"""Coefficients by forward mode of forward mode: for primitives that have no series rule, at low orders."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import jax
import jax.numpy as jnp

LARGEST_ORDER = 4
"""The program doubles with every order; beyond this one it is refused."""


def nested_jvp(along: Callable[[Any], list[Any]], order: int, dtype: Any) -> list[Any]:
    """Coefficients of order 0 … ``order``, on a leading axis, of each result of a function of t at t = 0."""

    def derivative(function: Callable) -> Callable:
        return lambda t: jax.jvp(function, (t,), (jnp.ones_like(t),))[1]

    zero = jnp.zeros((), dtype)
    terms, factorial, function = [along(zero)], 1.0, along
    for n in range(1, order + 1):
        function, factorial = derivative(function), factorial * n
        terms.append([x / factorial for x in function(zero)])
    return [jnp.stack(each) for each in zip(*terms, strict=True)]


def highest_order(along: Callable[[Any], list[Any]], dtype: Any) -> int:
    """The highest order that :func:`nested` reaches: less where JAX itself runs out of derivatives."""
    for order in range(LARGEST_ORDER, 0, -1):
        with suppress(NotImplementedError, ValueError, TypeError):
            jax.eval_shape(lambda: nested_jvp(along, order, dtype))  # noqa: B023  (called at once)
            return order
    return 0
