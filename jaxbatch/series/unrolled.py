"""Series as separate arrays, recurrences written out: fastest at low orders, in a program that grows with them."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxbatch.series.arithmetic import Arithmetic, Recurrence, Series, Value
from jaxbatch.series.materialized import materialized

Terms = tuple[Array | None, ...]

FUSED_OPERANDS = 6
"""The coefficients that are stacked at a time: XLA:CPU fuses a concatenation of up to eight arrays with what computes
them. √x to order 8 took six times as long, and four times as long to compile, stacked at once."""


class Unrolled(Arithmetic):
    """Every coefficient is an array of its own, or None where it is known to be zero.

    XLA fuses element-wise code and computes again what two fusions share, which doubles the work from one function
    of a chain to the next. So the result of a product or recurrence is materialized before it enters another.
    """

    def variable(self, value: ArrayLike, direction: ArrayLike) -> Series:
        return Series((jnp.asarray(value), jnp.asarray(direction))[: self.order + 1])

    def constant(self, value: ArrayLike) -> Series:
        return Series((jnp.asarray(value),))

    def value(self, x: Value) -> Any:
        return x.terms[0] if isinstance(x, Series) else x

    def with_value(self, x: Series, value: ArrayLike) -> Series:
        return Series((jnp.asarray(value), *x.terms[1:]), x.fused)

    def map(self, function: Callable[..., Any], *xs: Series) -> Series:
        fused = any(x.fused for x in xs)
        if len(xs) == 1:
            return Series(tuple(None if term is None else function(term) for term in xs[0].terms), fused)
        terms = []
        for n in range(max(len(x.terms) for x in xs)):
            row = [_term(x.terms, n) for x in xs]
            if all(term is None for term in row):
                terms.append(None)
            else:
                filled = [jnp.zeros_like(x.terms[0]) if term is None else term for x, term in zip(xs, row, strict=True)]
                terms.append(function(*filled))
        return Series(tuple(terms), fused)

    def add(self, a: Series, b: Series) -> Series:
        length = max(len(a.terms), len(b.terms))
        terms = (_sum(_term(a.terms, n), _term(b.terms, n)) for n in range(length))
        return Series(tuple(terms), a.fused or b.fused)

    def scale(self, x: Series, factors: Sequence[int | float]) -> Series:
        terms = [
            None if term is None or (n and factors[n] == 0) else (term if factors[n] == 1 else term * factors[n])
            for n, term in enumerate(x.terms)
        ]
        return Series(tuple(terms), x.fused)

    def product(self, a: Series, b: Series, multiply: Callable[[Array, Array], Array] | None = None) -> Series:
        left, right = _materialized_terms(a, b)
        length = min(len(left) + len(right) - 1, self.order + 1)
        if multiply is None and left is right:
            terms = [_square(left, n) for n in range(length)]
        else:
            terms = [_sum_of_products(left, right, range(n + 1), n, multiply or jnp.multiply) for n in range(length)]
        if terms[0] is None:
            raise AssertionError("a coefficient of order 0 is never absent")
        return Series(tuple(terms), True)

    def recur(
        self, recurrence: Recurrence, first: Sequence[Array], known: Sequence[Series], constants: Sequence[Array] = ()
    ) -> list[Series]:
        known_terms = _materialized_terms(*known)
        unknown = [[term] for term in first]
        series: list[Any] = [*unknown, *known_terms]
        starts: list[Any] = [*first, *(terms[0] for terms in known_terms)]
        zero = jnp.zeros_like(starts[0])
        for n in range(1, self.order + 1):
            sums = [_interior(series[a], series[b], n, zero) for a, b in recurrence.pairs]
            at_n = [zero if (term := _term(terms, n)) is None else term for terms in known_terms]
            new = recurrence.step(n, sums, starts, [*at_n, *constants])
            for terms, term in zip(unknown, new, strict=True):
                terms.append(term)
        return [Series(tuple(terms), True) for terms in unknown]

    def stack(self, x: Series) -> Array:
        terms = self.dense(x).terms
        parts = [jnp.stack(terms[n : n + FUSED_OPERANDS]) for n in range(0, len(terms), FUSED_OPERANDS)]
        return jnp.concatenate(parts)

    def unstack(self, coefficients: Array) -> Series:
        return Series(tuple(coefficients[n] for n in range(self.order + 1)))

    def dense(self, x: Value) -> Series:
        terms = x.terms if isinstance(x, Series) else (jnp.asarray(x),)
        zero = jnp.zeros_like(terms[0])
        filled = (_term(terms, n) for n in range(self.order + 1))
        return Series(tuple(zero if term is None else term for term in filled))

    def degree(self, x: Series) -> int:
        return len(x.terms) - 1

    def axis(self, axis: int) -> int:
        return axis


def _term(terms: Sequence[Array | None], n: int) -> Array | None:
    return terms[n] if n < len(terms) else None


def _sum(a: Array | None, b: Array | None) -> Array | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _materialized_terms(*xs: Series) -> list[Terms]:
    """The terms of ``xs``, materialized where a product or recurrence computed them; once for a series given twice."""
    terms: dict[int, Terms] = {}
    for x in xs:
        if id(x) not in terms:
            terms[id(x)] = materialized(x.terms) if x.fused else x.terms
    return [terms[id(x)] for x in xs]


def _sum_of_products(
    a: Sequence[Array | None], b: Sequence[Array | None], indices: range, n: int, multiply: Callable
) -> Array | None:
    total = None
    for j in indices:
        left, right = _term(a, j), _term(b, n - j)
        if left is not None and right is not None:
            total = _sum(total, multiply(left, right))
    return total


def _square(a: Sequence[Array | None], n: int, lowest: int = 0) -> Array | None:
    """The coefficient of order n of a², without products of a coefficient of an order below ``lowest``."""
    total = _sum_of_products(a, a, range(lowest, (n + 1) // 2), n, jnp.multiply)
    total = None if total is None else total + total
    middle = _term(a, n // 2)
    if n % 2 == 0 and n // 2 >= lowest and middle is not None:
        total = _sum(total, middle * middle)
    return total


def _interior(a: Sequence[Array | None], b: Sequence[Array | None], n: int, zero: Array) -> Array:
    total = _square(a, n, 1) if a is b else _sum_of_products(a, b, range(1, n), n, jnp.multiply)
    return zero if total is None else total
