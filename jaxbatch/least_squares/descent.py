"""Gradient descent on the mean squared residual, from the statistic alone."""

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxbatch.least_squares.batched import datasets_last
from jaxbatch.least_squares.double_double import mapped, power_of_two, rounded
from jaxbatch.least_squares.gram import Statistic
from jaxbatch.least_squares.singular import singular_values


class Stop(NamedTuple):
    """When a descent ends.

    Attributes:
        tolerance: a step that moves the coefficients by less (2-norm) counts as still.
        reset: a step that moves them by more sets the count of still steps back to 0.
        patience: the number of still steps at which the descent has converged.
        max_steps: the largest number of steps.
    """

    tolerance: float
    reset: float
    patience: int
    max_steps: int


class Descent(NamedTuple):
    """The end of a descent: its coefficients, float64; its number of steps, int32; whether it converged."""

    coefficients: Float[Array, " p"]
    steps: Int[Array, ""]
    converged: Bool[Array, ""]


def descend(
    statistic: Statistic,
    terms: Bool[Array, " p"],
    penalised: Bool[Array, " p"],
    initial: Float[Array, " p"],
    *,
    learning_rate: float | Literal["auto"],
    ridge: float,
    stop: Stop,
    dtype: Any,
) -> Descent:
    """Gradient descent with a constant rate: the iterates in ``dtype``, the Gram matrix and the gradient in float64.

    The gradient of (Σw(y − A b)² + λ‖b‖²)/Σw is 2/Σw · ((A'WA + λ)b − A'Wy), so no step reads the data. A descent ends
    as ``stop`` says, or when an iterate is no longer finite. A dataset that has ended no longer changes while its
    neighbours in a batch go on.

    Args:
        statistic: of the dataset, plain or in double-double, without a shift.
        terms: which columns of the padded design are used.
        penalised: the terms that ``ridge`` shrinks: all but the intercept.
        initial: the coefficients to start from.
        learning_rate: of each step; ``"auto"`` is the reciprocal of the largest eigenvalue of the Hessian, the longest
            step that cannot overshoot.
        ridge: λ.
        stop: when it ends.
        dtype: of the iterates.
    """
    descent = partial(_descend, learning_rate=learning_rate, ridge=ridge, stop=stop, dtype=dtype)
    return datasets_last(descent)(statistic, terms, penalised, initial)


class _State(NamedTuple):
    b: Array
    still: Array
    steps: Array


def _descend(
    statistic: Statistic,
    terms: Array,
    penalised: Array,
    initial: Array,
    *,
    learning_rate: float | Literal["auto"],
    ridge: float,
    stop: Stop,
    dtype: Any,
) -> Descent:
    p = terms.shape[0]
    scale = power_of_two(statistic.exponents)
    products = rounded(mapped(lambda part: part * scale[:, None] * scale[None, :], statistic.products))
    factor = 2.0 / jnp.where(statistic.weight > 0, statistic.weight, 1.0)
    unit = jnp.eye(p).reshape(p, p, *(1,) * (terms.ndim - 1))
    hessian = (products[:p, :p] + unit * jnp.where(penalised, ridge, 0.0)) * factor
    moment = products[:p, p] * factor
    if learning_rate == "auto":
        curvature = singular_values(hessian)[0]
        rate: Any = jnp.where(curvature == 0, 0.0, 1.0 / jnp.where(curvature == 0, 1.0, curvature))
    else:
        rate = learning_rate

    def running(state: _State) -> Array:
        unfinished = (state.still < stop.patience) & (state.steps < stop.max_steps)
        return unfinished & jnp.all(jnp.isfinite(state.b), axis=0)

    def step(state: _State) -> _State:
        moving = running(state)
        gradient = jnp.sum(hessian * state.b.astype(hessian.dtype)[None], axis=1) - moment
        b = jnp.where(moving, (state.b - rate * gradient).astype(dtype), state.b)
        moved = jnp.sqrt(jnp.sum((b - state.b) ** 2, axis=0))
        still = jnp.where(moved < stop.tolerance, state.still + 1, jnp.where(moved > stop.reset, 0, state.still))
        return _State(b, jnp.where(moving, still, state.still), state.steps + moving)

    zero = jnp.zeros(terms.shape[1:], jnp.int32)
    start = _State(jnp.where(terms, initial, 0.0).astype(dtype), zero, zero)
    final = jax.lax.while_loop(lambda state: jnp.any(running(state)), step, start)
    return Descent(final.b.astype(products.dtype), final.steps, final.still >= stop.patience)
