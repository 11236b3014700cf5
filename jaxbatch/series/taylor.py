"""Truncated Taylor series of t ↦ f(x + t·v)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.experimental import jet
from jaxtyping import Array, Float

MAX_NESTED_ORDER = 8
"""Nested forward mode doubles the program with every order; beyond this it is refused."""

_EXACT_ORDER = 4
"""Coefficients up to here are nested forward mode's even where jet has every rule: they agree with ``jax.grad`` at
ties and at 0, where some of jet's rules give NaN, and do not depend on how far the series goes."""


class SeriesError(Exception):
    """The series of a function cannot be computed to the order asked for."""


def coefficients(
    function: Callable[[Array], Array],
    center: Float[Array, "*shape"],
    direction: Float[Array, "*shape"],
    order: int,
) -> Float[Array, "{order}+1"]:
    """Normalised coefficients ``c_k = (d/dt)^k f(center + t·direction) / k!`` at ``t = 0``, for k = 0 … order.

    Args:
        function: one array to a scalar.
        center: where the series is taken.
        direction: the line; ones for a function of one number.
        order: the last coefficient's order.

    Raises:
        SeriesError: some primitive of the function has no series rule and ``order`` exceeds
            ``MAX_NESTED_ORDER``.

    Coefficients up to order 4 are nested forward mode, higher ones truncated power series (Griewank and Walther,
    *Evaluating Derivatives*, 2nd ed., §13.2), with nested forward mode where a rule is missing.
    """
    low = _nested(function, center, direction, min(order, _EXACT_ORDER))
    if order <= _EXACT_ORDER:
        return low
    try:
        return jnp.concatenate([low, _jet(function, center, direction, order)[_EXACT_ORDER + 1 :]])
    except (NotImplementedError, TypeError, ValueError, AttributeError, KeyError, AssertionError) as error:
        if order > MAX_NESTED_ORDER:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise SeriesError(
                f"order {order} needs a Taylor rule that is missing ({reason}); "
                f"without it orders up to {MAX_NESTED_ORDER} can be computed"
            ) from error
        return _nested(function, center, direction, order)


def _nested(function: Callable, center: Array, direction: Array, order: int) -> Array:
    def derivative(f: Callable) -> Callable:
        return lambda t: jax.jvp(f, (t,), (jnp.ones_like(t),))[1]

    def along(t: Array) -> Array:
        return function(center + t * direction)

    zero = jnp.zeros((), center.dtype)
    terms, factorial, f = [along(zero)], 1.0, along
    for k in range(1, order + 1):
        f, factorial = derivative(f), factorial * k
        terms.append(f(zero) / factorial)
    return jnp.stack(terms)


def _jet(function: Callable, center: Array, direction: Array, order: int) -> Array:
    first = [direction] + [jnp.zeros_like(direction)] * (order - 1)
    value, terms = jet.jet(function, (center,), (first,), factorial_scaled=False)
    return jnp.stack([value, *terms])
