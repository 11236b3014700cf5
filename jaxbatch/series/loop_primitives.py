"""The two loops over the order as JAX primitives, so that ``vmap`` puts the points on an axis after the coefficients.

Batching them like any other code would put the points first, and turn each slice into a gather.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import ShapedArray
from jax.extend import core
from jax.interpreters import ad, batching, mlir

from jaxbatch import jaxpr_walk
from jaxbatch.series import order_loops
from jaxbatch.series.arithmetic import Recurrence
from jaxbatch.series.materialized import as_one_kernel, stored_on_cpu


def cauchy_product(limit: Any, a: Array, b: Array) -> Array:
    """Σ_j a_j b_{n−j} for n = 0 … len(a) − 1, for a and b [orders, …] of one shape; right up to order ``limit``."""
    (result,) = _product_p.bind(jnp.asarray(limit, jnp.int32), a, b, jvps=0)
    return result


def run_recurrence(
    recurrence: Recurrence,
    order: int,
    limit: Any,
    first: Sequence[Array],
    known: Sequence[Array],
    constants: Sequence[Array],
) -> list[Array]:
    """Every unknown series of a recurrence, each [order + 1, …].

    Args:
        recurrence: its equations.
        order: of the last coefficient.
        limit: the order at run time, at most ``order``; coefficients above it are not to be used.
        first: the coefficients of order 0 of the unknown series, all of one shape.
        known: the known series, each [orders, …] with at most order + 1 coefficients.
        constants: arrays that the step receives at every order.
    """
    return _recurrence_p.bind(
        jnp.asarray(limit, jnp.int32),
        *first,
        *known,
        *constants,
        jvps=0,
        recurrence=recurrence,
        order=order,
        counts=(len(first), len(known), len(constants)),
    )


def _with_tangents(function: Callable[..., list[Array]], jvps: int, limit: Array, *operands: Array) -> list[Array]:
    """``function(limit, *operands)``, or its forward derivative, or that one's …, ``jvps`` times.

    Each time the operands are followed by their tangents, and the results by theirs.
    """
    if not jvps:
        return function(limit, *operands)
    half = len(operands) // 2
    inner = partial(_with_tangents, function, jvps - 1, limit)
    results, slopes = jax.jvp(inner, operands[:half], operands[half:])
    return [*results, *slopes]


def _loop(function: Callable[..., list[Array]]) -> Callable[..., list[Array]]:
    def computed(limit: Array, *operands: Array, jvps: int, **params: Any) -> list[Array]:
        return _with_tangents(partial(function, **params), jvps, limit, *operands)

    return computed


def _primitive(
    name: str,
    function: Callable[..., list[Array]],
    on_cpu: Callable[..., list[Array]],
    kinds: Callable[..., tuple[list[bool], list[ShapedArray]]],
) -> core.Primitive:
    """A JAX primitive that computes ``function``, whose first operand is the limit and whose results are [orders, …].

    ``on_cpu`` computes the same in a way that suits XLA:CPU. ``kinds(operands, **params)`` says for each operand
    without the limit whether it has the orders on its first axis, and of which shape and dtype the results are. Under
    ``vmap`` the points become the axis after the orders, or the first one of operands without orders. Forward mode
    gives the same primitive with one more of ``jvps``.
    """
    primitive = core.Primitive(name)
    primitive.multiple_results = True
    primitive.def_impl(lambda *args, **params: jax.jit(partial(primitive.bind, **params))(*args))
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=True))
    mlir.register_lowering(primitive, mlir.lower_fun(on_cpu, multiple_results=True), platform="cpu")

    def kinds_with_tangents(operands: Sequence[Any], jvps: int, **params: Any) -> tuple[list[bool], list[Any]]:
        copies = 2**jvps
        flags, results = kinds(operands[: len(operands) // copies], **params)
        return flags * copies, results * copies

    primitive.def_abstract_eval(lambda _, *operands, **params: kinds_with_tangents(operands, **params)[1])

    def batch(args: Sequence[Any], dims: Sequence[Any], **params: Any) -> tuple[list[Array], list[int]]:
        size = next(x.shape[d] for x, d in zip(args, dims, strict=True) if d is not None)
        moved = [args[0] if dims[0] is None else jnp.max(args[0])]
        has_orders, _ = kinds_with_tangents(args[1:], **params)
        for x, d, orders in zip(args[1:], dims[1:], has_orders, strict=True):
            axis = 1 if orders else 0
            if d is None:
                x = jnp.expand_dims(x, axis)
                moved.append(jnp.broadcast_to(x, (*x.shape[:axis], size, *x.shape[axis + 1 :])))
            else:
                moved.append(jnp.moveaxis(x, d, axis))
        found = primitive.bind(*moved, **params)
        return found, [1] * len(found)

    batching.primitive_batchers[primitive] = batch

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        dense = [ad.instantiate_zeros(t) for t in tangents[1:]]
        found = primitive.bind(*primals, *dense, **{**params, "jvps": params["jvps"] + 1})
        return found[: len(found) // 2], found[len(found) // 2 :]

    ad.primitive_jvps[primitive] = jvp
    return primitive


def _product_kinds(operands: Sequence[Any]) -> tuple[list[bool], list[ShapedArray]]:
    a, b = operands
    return [True, True], [ShapedArray(a.shape, jnp.result_type(a.dtype, b.dtype))]


def _recurrence_kinds(
    operands: Sequence[Any], *, recurrence: Recurrence, order: int, counts: tuple[int, int, int]
) -> tuple[list[bool], list[ShapedArray]]:
    del recurrence
    unknowns, knowns, constants = counts
    first = operands[0]
    dtype = jnp.result_type(*(x.dtype for x in operands[: unknowns + knowns]))
    flags = [False] * unknowns + [True] * knowns + [False] * constants
    return flags, [ShapedArray((order + 1, *first.shape), dtype)] * unknowns


def _recurrence_on_cpu(limit: Array, *operands: Array, **params: Any) -> list[Array]:
    computed = partial(LOOPS["series_recurrence"], **params)
    row = jax.ShapeDtypeStruct(operands[0].shape, operands[0].dtype)
    alike = row.size and all(x.dtype == row.dtype for x in operands)
    if alike and _is_elementwise(params["recurrence"], row, params["counts"]):
        return as_one_kernel(computed, limit, operands)
    return computed(limit, *operands)


_ELEMENTWISE = frozenset(
    [
        *("abs", "add", "add_any", "cos", "cosh", "div", "exp", "exp2", "expm1", "integer_pow", "log", "log1p"),
        *("logistic", "max", "min", "mul", "neg", "pow", "rsqrt", "select_n", "sign", "sin", "sinh", "sqrt"),
        *("square", "sub", "tanh", "broadcast_in_dim", "convert_element_type", "eq", "ge", "gt", "le", "lt", "ne"),
        *("jit", "pjit"),
    ]
)


def _is_elementwise(recurrence: Recurrence, row: jax.ShapeDtypeStruct, counts: tuple[int, int, int]) -> bool:
    """Whether the step of a recurrence computes every element by itself, with arithmetic that needs no library."""
    unknowns, knowns, constants = counts
    rows = [[row] * n for n in (len(recurrence.pairs), unknowns + knowns, knowns + constants)]
    step = jax.make_jaxpr(recurrence.step)(jax.ShapeDtypeStruct((), jnp.finfo(row.dtype).dtype), *rows)
    return all(equation.primitive.name in _ELEMENTWISE for equation in jaxpr_walk.equations(step))


LOOPS = {
    "series_product": _loop(partial(order_loops.product, keep=lambda x: x)),
    "series_recurrence": _loop(order_loops.recurrence),
}
"""The functions that the primitives compute, by the primitives' names."""

_product_p = _primitive(
    "series_product", LOOPS["series_product"], _loop(partial(order_loops.product, keep=stored_on_cpu)), _product_kinds
)
_recurrence_p = _primitive("series_recurrence", LOOPS["series_recurrence"], _recurrence_on_cpu, _recurrence_kinds)
