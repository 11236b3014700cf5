"""Series as one array, recurrences as loops over the order: the program is of the same size at any order."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from jaxbatch.series.arithmetic import Arithmetic, Recurrence, Series, Value
from jaxbatch.series.loop_primitives import cauchy_product, run_recurrence
from jaxbatch.series.order_loops import SHORT


class Looped(Arithmetic):
    """One array [coefficients, …] per series.

    ``limit`` bounds, at run time, the orders that are computed: coefficients above it are not to be used.
    """

    def __init__(self, order: int, limit: Any = None) -> None:
        super().__init__(order)
        self.limit = order if limit is None else limit

    def variable(self, value: ArrayLike, direction: ArrayLike) -> Series:
        return Series(jnp.stack([value, direction])[: self.order + 1])

    def constant(self, value: ArrayLike) -> Series:
        return Series(jnp.asarray(value)[None])

    def value(self, x: Value) -> Any:
        return x.terms[0] if isinstance(x, Series) else x

    def with_value(self, x: Series, value: ArrayLike) -> Series:
        value = jnp.broadcast_to(value, x.terms.shape[1:]).astype(x.terms.dtype)
        return Series(jnp.concatenate([value[None], x.terms[1:]]))

    def map(self, function: Callable[..., Any], *xs: Series) -> Series:
        length = max(len(x.terms) for x in xs)
        return Series(jax.vmap(function)(*(_padded(x.terms, length) for x in xs)))

    def add(self, a: Series, b: Series) -> Series:
        rank = max(a.terms.ndim, b.terms.ndim)
        length = max(len(a.terms), len(b.terms))
        left, right = (
            _padded(x.terms, length).reshape(length, *(1,) * (rank - x.terms.ndim), *x.terms.shape[1:]) for x in (a, b)
        )
        return Series(left + right)

    def scale(self, x: Series, factors: Sequence[int | float]) -> Series:
        dtype = jnp.finfo(x.terms.dtype).dtype
        column = np.asarray(factors[: len(x.terms)], dtype).reshape(-1, *(1,) * (x.terms.ndim - 1))
        return Series(x.terms * column)

    def product(self, a: Series, b: Series, multiply: Callable[[Array, Array], Array] | None = None) -> Series:
        short, long = sorted((a.terms, b.terms), key=len)
        length = min(len(short) + len(long) - 1, self.order + 1)
        if multiply is None and len(short) > SHORT:
            return Series(cauchy_product(self.limit, _padded(a.terms, length), _padded(b.terms, length)))
        multiply = multiply or jnp.multiply
        if len(short) <= SHORT:
            left_is_short = short is a.terms

            def times(term: Array) -> Array:
                return jax.vmap(lambda other: multiply(term, other) if left_is_short else multiply(other, term))(long)

            return Series(sum(_shifted(times(short[j]), j, length) for j in range(len(short))))  # pyright: ignore
        left, right = _padded(a.terms, length), _padded(b.terms, length)
        right = jnp.concatenate([jnp.zeros_like(right), right])

        def add_order(j: Array, total: Array) -> Array:
            shifted = lax.dynamic_slice_in_dim(right, length - j, length)
            return total + jax.vmap(lambda other: multiply(left[j], other))(shifted)

        total = jax.eval_shape(add_order, 0, 0.0)
        return Series(lax.fori_loop(0, self.limit + 1, add_order, jnp.zeros(total.shape, total.dtype)))

    def recur(
        self, recurrence: Recurrence, first: Sequence[Array], known: Sequence[Series], constants: Sequence[Array] = ()
    ) -> list[Series]:
        shape: Any = jnp.broadcast_shapes(*(jnp.shape(x) for x in first), *(x.terms.shape[1:] for x in known))
        starts = [jnp.broadcast_to(x, shape) for x in first]
        stacks = [_broadcast_terms(x.terms, shape) for x in known]
        constants = [jnp.broadcast_to(x, shape) for x in constants]
        found = run_recurrence(recurrence, self.order, self.limit, starts, stacks, constants)
        return [Series(stack) for stack in found]

    def stack(self, x: Series) -> Array:
        return _padded(x.terms, self.order + 1)

    def unstack(self, coefficients: Array) -> Series:
        return Series(coefficients)

    def dense(self, x: Value) -> Series:
        return Series(_padded(self.series(x).terms, self.order + 1))

    def degree(self, x: Series) -> int:
        return len(x.terms) - 1

    def axis(self, axis: int) -> int:
        return axis + 1


def _padded(terms: Array, length: int) -> Array:
    missing = length - len(terms)
    return jnp.pad(terms, [(0, missing)] + [(0, 0)] * (terms.ndim - 1)) if missing else terms


def _shifted(terms: Array, by: int, length: int) -> Array:
    """``t^by`` times the series, cut to ``length``."""
    return _padded(jnp.pad(terms, [(by, 0)] + [(0, 0)] * (terms.ndim - 1))[:length], length)


def _broadcast_terms(terms: Array, shape: tuple[int, ...]) -> Array:
    missing = len(shape) - (terms.ndim - 1)
    return jnp.broadcast_to(terms.reshape(len(terms), *(1,) * missing, *terms.shape[1:]), (len(terms), *shape))
