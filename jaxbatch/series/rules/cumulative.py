"""Cumulative products and log-sum-exps along an axis, by an associative scan of the series.

The program grows with the logarithm of the axis' length (Blelloch, *Prefix sums and their applications*, 1990).
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxbatch.series.arithmetic import Arithmetic, Series
from jaxbatch.series.interpreter import interpret, register_rule


def _accumulate(
    arithmetic: Arithmetic, combine: Callable[[Series, Series], Any], x: Series, axis: int, reverse: bool
) -> Series:
    def dense(a: Series, b: Series) -> Series:
        return arithmetic.dense(combine(a, b))

    return lax.associative_scan(dense, arithmetic.dense(x), reverse=reverse, axis=arithmetic.axis(axis))


@register_rule("cumprod")
def cumprod(arithmetic: Arithmetic, x: Series, *, axis: int, reverse: bool) -> Series:
    """x_1, x_1 x_2, x_1 x_2 x_3 …, each product that of two series."""
    return _accumulate(arithmetic, arithmetic.product, x, axis, reverse)


@register_rule("reduce_prod")
def reduce_prod(arithmetic: Arithmetic, x: Series, *, axes: Sequence[int], **_: Any) -> Series:
    """The product along each axis in turn: the last of the cumulative products."""
    if 0 in arithmetic.value(x).shape:
        return arithmetic.constant(jnp.prod(arithmetic.value(x), axis=tuple(axes)))
    for axis in sorted(axes, reverse=True):
        products = _accumulate(arithmetic, arithmetic.product, x, axis, False)
        x = arithmetic.map(lambda term, axis=axis: lax.index_in_dim(term, -1, axis, keepdims=False), products)
    return x


@register_rule("cumlogsumexp")
def cumlogsumexp(arithmetic: Arithmetic, x: Series, *, axis: int, reverse: bool) -> Series:
    """The cumulative log-sum-exp, with :func:`jax.numpy.logaddexp` as the operation of the scan."""

    def combine(a: Series, b: Series) -> Any:
        closed = jax.make_jaxpr(jnp.logaddexp)(arithmetic.value(a), arithmetic.value(b))
        return interpret(arithmetic, closed.jaxpr, closed.consts, [a, b])[0]

    return _accumulate(arithmetic, combine, x, axis, reverse)
