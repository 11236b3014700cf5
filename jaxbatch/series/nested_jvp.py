"""Taylor coefficients by nested forward mode: for functions with a primitive that has no series rule, at low orders."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import jax
import jax.numpy as jnp

LARGEST_ORDER = 4
"""Nesting goes no further, as the program doubles with every order."""


def nested_jvp(along: Callable[[Any], list[Any]], order: int, dtype: Any) -> list[Any]:
    """The Taylor coefficients of each result of a function of t at t = 0, each [order + 1, …].

    Args:
        along: the function, of one number to a list of arrays.
        order: of the last coefficient.
        dtype: of t.
    """

    def derivative(function: Callable) -> Callable:
        return lambda t: jax.jvp(function, (t,), (jnp.ones_like(t),))[1]

    zero = jnp.zeros((), dtype)
    terms, factorial, function = [along(zero)], 1.0, along
    for n in range(1, order + 1):
        function, factorial = derivative(function), factorial * n
        terms.append([x / factorial for x in function(zero)])
    return [jnp.stack(each) for each in zip(*terms, strict=True)]


def highest_order(along: Callable[[Any], list[Any]], dtype: Any) -> int:
    """The highest order that :func:`nested_jvp` reaches: ``LARGEST_ORDER``, or less where JAX has no derivative."""
    for order in range(LARGEST_ORDER, 0, -1):
        with suppress(NotImplementedError, ValueError, TypeError):
            jax.eval_shape(lambda: nested_jvp(along, order, dtype))  # noqa: B023  (called at once)
            return order
    return 0
