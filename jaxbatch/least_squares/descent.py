"""Gradient descent on the mean squared residual, from the statistic alone."""

from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxbatch.least_squares.arithmetic.array_library import Array, iterated, namespace, total
from jaxbatch.least_squares.arithmetic.batched import datasets_last
from jaxbatch.least_squares.arithmetic.double_double import mapped, power_of_two, rounded
from jaxbatch.least_squares.matrices.extreme import largest_eigenvalue
from jaxbatch.least_squares.matrices.singular import singular_values
from jaxbatch.least_squares.statistics.sufficient import Statistic


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

    coefficients: Float[Array, "p ..."]
    steps: Int[Array, "..."]
    converged: Bool[Array, "..."]


def descend(
    statistic: Statistic,
    terms: Bool[Array, "p ..."],
    penalised: Bool[Array, "p ..."],
    initial: Float[Array, "p ..."],
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
    xp, p = namespace(terms), terms.shape[0]
    scale = power_of_two(statistic.exponents)
    products = rounded(mapped(lambda part: part * scale[:, None] * scale[None, :], statistic.products))
    factor = 2.0 / xp.where(statistic.weight > 0, statistic.weight, 1.0)
    unit = np.eye(p).reshape(p, p, *(1,) * (terms.ndim - 1))
    hessian = (products[:p, :p] + unit * xp.where(penalised, ridge, 0.0)) * factor
    moment = products[:p, p] * factor
    if learning_rate == "auto":
        curvature = largest_eigenvalue(hessian) if xp is np else singular_values(hessian)[0]
        rate: Any = xp.where(curvature == 0, 0.0, 1.0 / xp.where(curvature == 0, 1.0, curvature))
    else:
        rate = xp.full(terms.shape[1:], learning_rate)

    def unfinished(state: tuple[Array, ...]) -> Array:
        b, still, steps = state
        return (still < stop.patience) & (steps < stop.max_steps) & xp.all(xp.isfinite(b), axis=0)

    def step(constants: tuple[Array, ...], state: tuple[Array, ...]) -> tuple[Array, ...]:
        hessian, moment, rate = constants
        old, still, steps = state
        gradient = total(hessian * old.astype(hessian.dtype)[:, None]) - moment  # the Hessian is symmetric
        b = (old - rate * gradient).astype(dtype)
        moved = b - old
        moved = xp.sqrt(total(moved * moved))
        still = xp.where(moved < stop.tolerance, still + 1, xp.where(moved > stop.reset, 0, still))
        return b, still, steps + 1

    zero = xp.zeros(terms.shape[1:], "int32")
    start = (xp.where(terms, initial, 0.0).astype(dtype), zero, zero)
    b, still, steps = iterated(xp, step, unfinished, (hessian, moment, rate), start, most=stop.max_steps)
    return Descent(b.astype(products.dtype), steps, still >= stop.patience)
