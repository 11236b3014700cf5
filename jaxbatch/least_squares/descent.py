"""Gradient descent on the mean squared residual, from the Gram matrix alone."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxbatch.least_squares.design import Design


class Stop(NamedTuple):
    """When a descent ends: see :func:`descend`."""

    tolerance: float
    reset: float
    patience: int
    max_steps: int


class Descent(NamedTuple):
    """Where a descent ended."""

    coefficients: Float[Array, " p"]
    steps: Int[Array, ""]
    converged: Bool[Array, ""]


def descend(
    problem: Design,
    initial: Float[Array, " p"],
    *,
    learning_rate: float | Literal["auto"],
    ridge: float,
    stop: Stop,
    dtype: Any,
) -> Descent:
    """Descend from ``initial``, the iterates in ``dtype``, the Gram matrix and the gradient in the design's.

    The gradient of (‖y − A b‖² + λ‖b‖²)/n is 2/n · ((A'A + λ)b − A'y), so a step never touches the data.
    ``"auto"`` is the reciprocal of the largest eigenvalue of the Hessian, the longest step that cannot
    overshoot.

    A count goes up at each step that moves the coefficients by less than ``tolerance`` (2-norm) and back to 0
    at one of more than ``reset``; at ``patience`` the descent has converged. It also ends at ``max_steps``,
    and where an iterate is no longer finite.
    """
    n = jnp.maximum(problem.n, 1)
    penalty = jnp.diag(jnp.where(problem.penalised, ridge, 0.0).astype(problem.matrix.dtype))
    hessian = (problem.matrix.T @ problem.matrix + penalty) * (2.0 / n)
    moment = problem.matrix.T @ problem.target * (2.0 / n)
    curvature = jnp.linalg.norm(hessian, ord=2)
    flat = curvature == 0
    rate = learning_rate if learning_rate != "auto" else jnp.where(flat, 0.0, 1.0 / jnp.where(flat, 1.0, curvature))

    class State(NamedTuple):
        b: Array
        still: Array
        steps: Array

    def running(state: State) -> Array:
        unfinished = (state.still < stop.patience) & (state.steps < stop.max_steps)
        return unfinished & jnp.all(jnp.isfinite(state.b))

    def step(state: State) -> State:
        gradient = hessian @ state.b.astype(hessian.dtype) - moment
        b = (state.b - rate * gradient).astype(dtype)
        moved = jnp.linalg.norm(b - state.b)
        still = jnp.where(moved < stop.tolerance, state.still + 1, jnp.where(moved > stop.reset, 0, state.still))
        return State(b, still, state.steps + 1)

    zero = jnp.zeros((), jnp.int32)
    start = State(jnp.where(problem.terms, initial, 0.0).astype(dtype), zero, zero)
    final = jax.lax.while_loop(running, step, start)
    return Descent(final.b.astype(problem.matrix.dtype), final.steps, final.still >= stop.patience)
