"""Linear primitives (add, reshape, gather, FFT …) and bilinear ones (dot_general, convolution).

A linear primitive is applied to each coefficient; a bilinear one takes the place of × in the Cauchy product.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from jaxbatch.series.arithmetic import Arithmetic, Series, Value, is_series
from jaxbatch.series.interpreter import NoRule, register_rule


def _linear(primitive: Any, positions: Callable[[int], bool]) -> Callable[..., Any]:
    """The rule of a primitive that is linear in the operands at ``positions`` together; others are indices."""

    def rule(arithmetic: Arithmetic, *operands: Value, **parameters: Any) -> Any:
        linear = [positions(i) for i in range(len(operands))]
        if any(is_series(x) and not ok for x, ok in zip(operands, linear, strict=True)):
            raise NoRule("an index or predicate depends on t")
        series = [arithmetic.series(x) for x, ok in zip(operands, linear, strict=True) if ok]

        def apply(*terms: Any) -> Any:
            remaining = iter(terms)
            filled = [next(remaining) if ok else x for x, ok in zip(operands, linear, strict=True)]
            return primitive.bind(*filled, **primitive.get_bind_params(parameters))

        if not primitive.multiple_results:
            return arithmetic.map(apply, *series)
        count = len(apply(*(arithmetic.value(x) for x in series)))
        return [arithmetic.map(lambda *terms, i=i: apply(*terms)[i], *series) for i in range(count)]

    return rule


def _only_first(i: int) -> bool:
    return i == 0


def _every(i: int) -> bool:
    return i >= 0


_UNARY = (
    *(lax.neg_p, lax.real_p, lax.imag_p, lax.conj_p, lax.copy_p, lax.reduce_sum_p, lax.transpose_p, lax.reshape_p),
    *(lax.broadcast_in_dim_p, lax.squeeze_p, lax.slice_p, lax.rev_p, lax.cumsum_p, lax.fft_p),
    *(lax.dynamic_slice_p, lax.split_p, lax.reduce_window_sum_p, lax.reduce_precision_p, lax.tile_p, lax.unstack_p),
)
_JOINT = (lax.concatenate_p, lax.pad_p, lax.complex_p, lax.stack_p, lax.optimization_barrier_p)

for _primitive in _UNARY:
    register_rule(_primitive.name)(_linear(_primitive, _only_first))
for _primitive in _JOINT:
    register_rule(_primitive.name)(_linear(_primitive, _every))
register_rule("select_n")(_linear(lax.select_n_p, lambda i: i > 0))
register_rule("dynamic_update_slice")(_linear(lax.dynamic_update_slice_p, lambda i: i < 2))
for _primitive in (lax.scatter_add_p, lax.scatter_sub_p):
    register_rule(_primitive.name)(_linear(_primitive, lambda i: i != 1))


@register_rule("scatter")
def scatter(arithmetic: Arithmetic, *operands: Value, **parameters: Any) -> Series:
    """``.at[…].set``; ``.at[…].apply`` is refused, as it is by ``jax.grad``."""
    if parameters.get("update_jaxpr") is not None:
        raise NoRule("it applies a function to what it scatters")
    return _linear(lax.scatter_p, lambda i: i != 1)(arithmetic, *operands, **parameters)


@register_rule("gather")
def gather(arithmetic: Arithmetic, x: Value, indices: Value, *, fill_value: Any, **parameters: Any) -> Series:
    """Elements out of bounds become ``fill_value``, a constant: their coefficients above order 0 are 0."""
    rule = _linear(lax.gather_p, _only_first)
    value = lax.gather_p.bind(arithmetic.value(x), indices, fill_value=fill_value, **parameters)
    return arithmetic.with_value(rule(arithmetic, x, indices, fill_value=0, **parameters), value)


def _add(arithmetic: Arithmetic, a: Value, b: Value) -> Series:
    a, b = broadcast_series(arithmetic, a, b)
    if isinstance(a, Series) and isinstance(b, Series):
        return arithmetic.add(a, b)
    series, number = (a, b) if isinstance(a, Series) else (b, a)
    assert isinstance(series, Series)
    return arithmetic.shift(series, number)


register_rule("add")(_add)
register_rule("add_any")(_add)


def broadcast_series(arithmetic: Arithmetic, *xs: Value) -> list[Value]:
    """``xs`` with every series broadcast to their common shape.

    A primitive may get an axis of length 1 for a longer one, but a sum of series adds coefficients one by one.
    """
    shape = jnp.broadcast_shapes(*(jnp.shape(arithmetic.value(x)) for x in xs))

    def broadcast(x: Value) -> Value:
        if not isinstance(x, Series) or jnp.shape(arithmetic.value(x)) == shape:
            return x
        return arithmetic.map(lambda term: jnp.broadcast_to(term, shape), x)

    return [broadcast(x) for x in xs]


@register_rule("sub")
def sub(arithmetic: Arithmetic, a: Value, b: Value) -> Series:
    """a − b."""
    a, b = broadcast_series(arithmetic, a, b)
    if not isinstance(b, Series):
        assert isinstance(a, Series)
        return arithmetic.with_value(a, arithmetic.value(a) - b)
    return _add(arithmetic, a, arithmetic.neg(b))


@register_rule("convert_element_type")
def convert_element_type(arithmetic: Arithmetic, x: Series, **parameters: Any) -> Value:
    """Each coefficient converted; for integers and booleans, whose derivative is zero, the value alone."""
    if not jnp.issubdtype(parameters["new_dtype"], jnp.inexact):
        return lax.convert_element_type_p.bind(arithmetic.value(x), **parameters)
    return arithmetic.map(lambda term: lax.convert_element_type_p.bind(term, **parameters), x)


def _bilinear(primitive: Any) -> Callable[..., Series]:
    def rule(arithmetic: Arithmetic, a: Value, b: Value, **parameters: Any) -> Series:
        def multiply(left: Any, right: Any) -> Any:
            return primitive.bind(left, right, **parameters)

        if not isinstance(b, Series):
            return arithmetic.map(lambda term: multiply(term, b), arithmetic.series(a))
        if not isinstance(a, Series):
            return arithmetic.map(lambda term: multiply(a, term), b)
        return arithmetic.product(a, b, multiply)

    return rule


for _primitive in (lax.dot_general_p, lax.conv_general_dilated_p):
    register_rule(_primitive.name)(_bilinear(_primitive))


PRIMITIVES = frozenset(
    {
        *(
            "add",
            "add_any",
            "sub",
            "convert_element_type",
            "select_n",
            "dynamic_update_slice",
            "gather",
            "scatter",
            "scatter-add",
        ),
        *(p.name for p in (*_UNARY, *_JOINT)),
    }
)
"""The names of those that take no product of series."""
