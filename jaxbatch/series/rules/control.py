"""Branches and loops (cond, scan, while) that carry series; integers and predicates take the value alone."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend import core

from jaxbatch.series.arithmetic import Arithmetic, Value, is_series
from jaxbatch.series.convergence import while_until_converged
from jaxbatch.series.data_dependent_loops import is_data_dependent_while
from jaxbatch.series.interpreter import Unsafe, interpret, register_rule

Body = Callable[..., list[Value]]


def _results(body: Body, *operands: Any) -> list[bool]:
    """Which results of ``body`` are series."""
    shapes = jax.eval_shape(body, *operands)
    return [is_series(x) for x in shapes]


def _dense(arithmetic: Arithmetic, values: Sequence[Value], series: Sequence[bool]) -> list[Value]:
    return [arithmetic.dense(x) if ok else x for x, ok in zip(values, series, strict=True)]


def _carried(arithmetic: Arithmetic, body: Body, start: Sequence[Value]) -> list[bool]:
    """Which carried values are series: those that start as one, and those that one pass or more turn into one."""
    series = [is_series(x) for x in start]
    while True:
        after = _results(body, *_dense(arithmetic, start, series))[: len(start)]
        union = [a or b for a, b in zip(series, after, strict=True)]
        if union == series:
            return series
        series = union


@register_rule("cond")
def cond(arithmetic: Arithmetic, index: Value, *operands: Value, branches: Any, **parameters: Any) -> list[Value]:
    """The branch that the value of the index picks; of branches per platform, the one for any platform."""
    platforms = parameters.get("branches_platforms")
    if platforms is not None:
        branch = branches[platforms.index(None)]
        return interpret(arithmetic, branch.jaxpr, branch.consts, operands)
    functions = [
        lambda *xs, branch=branch: interpret(arithmetic, branch.jaxpr, branch.consts, xs) for branch in branches
    ]
    series = [any(flags) for flags in zip(*(_results(function, *operands) for function in functions), strict=True)]
    alike = [lambda *xs, f=f: _dense(arithmetic, f(*xs), series) for f in functions]
    return lax.switch(arithmetic.value(index), alike, *operands)


@register_rule("scan")
def scan(arithmetic: Arithmetic, *operands: Value, jaxpr: Any, **parameters: Any) -> list[Value]:
    """A scan over series: it carries, slices and stacks every coefficient."""
    consts = list(operands[: parameters["num_consts"]])
    start = list(operands[len(consts) : len(consts) + parameters["num_carry"]])
    rows = [_rows_first(arithmetic, x) for x in operands[len(consts) + len(start) :]]

    def body(*values: Value) -> list[Value]:
        return interpret(arithmetic, jaxpr.jaxpr, jaxpr.consts, [*consts, *values])

    first = [jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), x) for x in rows]
    series = _carried(arithmetic, lambda *carry: body(*carry, *_zeros(first)), start)

    def step(carry: list[Value], row: list[Value]) -> tuple[list[Value], list[Value]]:
        results = body(*carry, *row)
        stacked = [arithmetic.dense(x) if is_series(x) else x for x in results[len(start) :]]
        return _dense(arithmetic, results[: len(start)], series), stacked

    carry, stacked = lax.scan(
        step,
        _dense(arithmetic, start, series),
        rows,
        length=parameters["length"],
        reverse=parameters["reverse"],
        unroll=parameters["unroll"],
    )
    return [*carry, *(_orders_first(arithmetic, x) for x in stacked)]


def _zeros(shapes: Any) -> Any:
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)


def _rows_first(arithmetic: Arithmetic, x: Value) -> Value:
    """``x`` with the scanned axis of its values first, where the orders of a series may be."""
    return jax.tree.map(lambda a: jnp.moveaxis(a, arithmetic.axis(0), 0), x) if is_series(x) else x


def _orders_first(arithmetic: Arithmetic, x: Value) -> Value:
    return jax.tree.map(lambda a: jnp.moveaxis(a, 0, arithmetic.axis(0)), x) if is_series(x) else x


@register_rule("while")
def while_(
    arithmetic: Arithmetic,
    *operands: Value,
    cond_jaxpr: Any,
    cond_nconsts: int,
    body_jaxpr: Any,
    body_nconsts: int,
) -> list[Value]:
    """A loop; one whose condition depends on t runs until its coefficients have converged too.

    Raises:
        Unsafe: the loop was batched by a ``vmap`` of the user's function, and its condition depends on t.
    """
    cond_consts = list(operands[:cond_nconsts])
    body_consts = list(operands[cond_nconsts : cond_nconsts + body_nconsts])
    start = list(operands[cond_nconsts + body_nconsts :])

    def body(*carry: Value) -> list[Value]:
        return interpret(arithmetic, body_jaxpr.jaxpr, body_jaxpr.consts, [*body_consts, *carry])

    series = _carried(arithmetic, body, start)

    def condition(carry: Sequence[Value]) -> Array:
        values = [arithmetic.value(x) for x in (*cond_consts, *carry)]
        return core.jaxpr_as_fun(cond_jaxpr)(*values)[0]

    def step(carry: list[Value]) -> list[Value]:
        return _dense(arithmetic, body(*carry), series)

    first = _dense(arithmetic, start, series)
    marked = [*map(is_series, (*cond_consts, *body_consts)), *series]
    on_t = is_data_dependent_while(marked, cond_jaxpr, cond_nconsts, body_jaxpr, body_nconsts)
    if cond_jaxpr.out_avals[0].shape:
        if on_t:
            raise Unsafe("a vmap in the function batches this loop, and its condition depends on the value")
        return lax.while_loop(
            lambda c: jnp.any(condition(c)), lambda c: _where(arithmetic, condition(c), step(c), c), first
        )
    if arithmetic.order and on_t:
        return while_until_converged(arithmetic, condition, step, first)
    return lax.while_loop(condition, step, first)


def _where(arithmetic: Arithmetic, which: Array, yes: list[Value], no: list[Value]) -> list[Value]:
    """``yes`` or ``no`` for each point of a ``vmap`` of the user's; its axis is the first of every batched value."""

    def select(axis: int, a: Array, b: Array) -> Array:
        flags = which.reshape(*(1,) * axis, *which.shape, *(1,) * (a.ndim - axis - which.ndim))
        return jnp.where(flags, a, b)

    axes = [arithmetic.axis(0) if is_series(x) else 0 for x in yes]
    return [
        jax.tree.map(lambda x, y, axis=axis: select(axis, x, y), a, b) for axis, a, b in zip(axes, yes, no, strict=True)
    ]
