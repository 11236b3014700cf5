"""Reference coefficients: by mpmath at 50 digits, or by nested ``jax.jvp``."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxbatch.series import expand, transform
from tests.compiling import UNOPTIMIZED

DIGITS = 50


class Case(NamedTuple):
    """A function of one number and its exact coefficients."""

    name: str
    function: Callable[..., Any]
    """Gives an array of any shape."""
    exact: Callable[[Any], Any] | None
    """The same in mpmath: a number, or all numbers of the array in order. None: by :func:`nested`."""
    points: Sequence[float]
    fixed: tuple[Any, ...] = ()
    radius: float | None = None
    """Where given, ``exact`` is analytic within it and takes complex numbers, which is much faster."""
    order: int = 20
    together: bool = False
    """Whether an error is measured against the largest of the results: for factorizations, which mix them."""


def use(monkeypatch: pytest.MonkeyPatch, arithmetic: str) -> None:
    """Have every series computed unrolled, or looped, whatever its order."""
    highest = {"unrolled": 1000, "looped": -1}[arithmetic]
    monkeypatch.setattr(transform, "UNROLLED_ALWAYS", highest)
    monkeypatch.setattr(transform, "UNROLLED_ORDER", highest)


def computed(function: Callable[..., Any], points: Sequence[float], order: int, *fixed: Any) -> np.ndarray:
    """``[points, result, order]``: all points in one compiled program."""

    def at(point: jax.Array) -> jax.Array:
        found = expand(function, point, jnp.ones_like(point), order, *fixed).coefficients()
        return found.reshape(-1, order + 1)

    compiled = jax.jit(jax.vmap(at), compiler_options=UNOPTIMIZED)
    return np.asarray(compiled(jnp.array(points, float)))


def exact(case: Case, point: float, order: int) -> np.ndarray:
    """``[result, order]``."""
    if case.exact is None:
        return nested(case.function, point, order, *case.fixed)
    number = case.exact
    with mpmath.workdps(DIGITS):
        count = len(_row(number(mpmath.mpf(point))))
        if case.radius is not None:
            return _floats(_on_circle(number, point, order, case.radius))
        return _floats([mpmath.taylor(lambda x, i=i: _row(number(x))[i], point, order) for i in range(count)])


def _row(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple | mpmath.matrix) else [value]


def _floats(rows: Sequence[Sequence[Any]]) -> np.ndarray:
    return np.array([[float(mpmath.re(term)) for term in row] for row in rows])


def _on_circle(function: Callable[[Any], Any], point: float, order: int, radius: float) -> list[list[Any]]:
    """Cauchy's integral by the trapezoidal rule on a circle of a hundredth of the radius: 40 digits and more."""
    count = order + 24
    with mpmath.workdps(DIGITS + 2 * count):
        small = mpmath.mpf(radius) / 100
        roots = [mpmath.expjpi(mpmath.mpf(2 * k) / count) for k in range(count)]
        values = [_row(function(point + small * root)) for root in roots]
        return [
            [
                sum(values[k][i] * roots[-k * n % count] for k in range(count)) / count / small**n
                for n in range(order + 1)
            ]
            for i in range(len(values[0]))
        ]


def nested(function: Callable[..., Any], point: float, order: int, *fixed: Any) -> np.ndarray:
    """``[result, order]``: what repeated ``jax.jvp``, and so repeated ``jax.grad``, takes for the derivatives."""

    def flat(x: jax.Array) -> jax.Array:
        return jnp.ravel(function(x, *fixed)).astype(x.dtype)

    def derivative(f: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
        return lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),))[1]

    derivatives: list[Callable[[jax.Array], jax.Array]] = [flat]
    for _ in range(order):
        derivatives.append(derivative(derivatives[-1]))
    terms = jax.jit(
        lambda x: [f(x) / math.factorial(n) for n, f in enumerate(derivatives)], compiler_options=UNOPTIMIZED
    )
    return np.stack(terms(jnp.asarray(point, float)), axis=-1)


def assert_coefficients(
    found: np.ndarray, wanted: np.ndarray, tolerance: float, label: object = "", *, together: bool = False
) -> None:
    """|found_n − wanted_n| ≤ tolerance·C·R^n, where C·R^n is the smallest such curve above all wanted coefficients.

    C is the larger of the first two coefficients that are not 0.
    """
    assert found.shape == wanted.shape, label
    bounds = tolerance * np.stack([_envelope(np.abs(row)) for row in wanted])
    if together:
        bounds = np.broadcast_to(np.max(bounds, axis=0), bounds.shape)
    for row, (computed_row, wanted_row, bound) in enumerate(zip(found, wanted, bounds, strict=True)):
        wrong = ~(np.abs(computed_row - wanted_row) <= bound)
        assert not wrong.any(), (
            f"{label}, result {row}, orders {np.flatnonzero(wrong)}: "
            f"{computed_row[wrong]} for {wanted_row[wrong]}, within {bound[wrong]}"
        )


def _envelope(size: np.ndarray) -> np.ndarray:
    nonzero = np.flatnonzero(size)
    largest = max(size[nonzero[:2]], default=0.0)
    rates = [(size[n] / largest) ** (1 / n) for n in nonzero if n > 0]
    return largest * max(rates, default=1.0) ** np.arange(len(size))
