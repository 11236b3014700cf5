"""Many points at once: in chunks whose coefficients stay in the processor's cache."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.custom_batching import custom_vmap
from jax.extend.backend import get_default_device

LOOPED_BYTES = 1 << 17
"""Bytes of the coefficients of the widest value that a chunk may have on a CPU, for loops that pass over them …"""

UNROLLED_BYTES = 1 << 22
"""… for unrolled code, which reads them a few times …"""

ACCELERATOR_BYTES = 1 << 28
"""… and on other devices, where memory is the limit and not the cache."""


def in_chunks(function: Callable[..., Any], program: Any, order: int, *, looped: bool) -> Callable[..., Any]:
    """``function`` as it is, but for ``vmap``, which takes the points chunk by chunk.

    Args:
        function: computes one point's coefficients.
        program: the traced function whose coefficients they are, for the size of its values.
        order: the last coefficient's order.
        looped: whether it loops over the order.
    """
    cached = LOOPED_BYTES if looped else UNROLLED_BYTES
    row_bytes = (order + 1) * _widest(program.jaxpr)

    def batched(axis_size: int, in_batched: Any, *operands: Any) -> tuple[Any, Any]:
        leaves, structure = jax.tree.flatten(operands)
        flags = jax.tree.leaves(in_batched)
        if not any(flags):
            results = function(*operands)
            return results, jax.tree.map(lambda _: False, results)
        moving = [x for x, ok in zip(leaves, flags, strict=True) if ok]

        def at(*points: Any) -> Any:
            remaining = iter(points)
            filled = [next(remaining) if ok else x for x, ok in zip(leaves, flags, strict=True)]
            return function(*structure.unflatten(filled))

        budget = cached if get_default_device().platform == "cpu" else ACCELERATOR_BYTES
        count = math.ceil(axis_size * row_bytes / budget)
        results = jax.vmap(at)(*moving) if count <= 1 else _map(jax.vmap(at), moving, axis_size, count)
        return results, jax.tree.map(lambda _: True, results)

    chunked = custom_vmap(function)
    chunked.def_vmap(batched)
    return chunked


def _map(function: Callable[..., Any], points: list[Any], total: int, count: int) -> Any:
    """``function`` on ``count`` chunks of one size in turn; the last is filled up with its last point."""
    size = math.ceil(total / count)
    count = math.ceil(total / size)

    def cut(x: Any) -> Array:
        missing = count * size - total
        padded = jnp.concatenate([x, jnp.broadcast_to(x[-1:], (missing, *x.shape[1:]))]) if missing else x
        return padded.reshape(count, size, *x.shape[1:])

    results = lax.map(lambda chunk: function(*chunk), [cut(x) for x in points])
    return jax.tree.map(lambda x: x.reshape(count * size, *x.shape[2:])[:total], results)


def _widest(jaxpr: Any) -> int:
    """Bytes of the largest value that the program computes."""
    sizes = [v.aval.size * v.aval.dtype.itemsize for e in jaxpr.eqns for v in e.outvars if hasattr(v.aval, "size")]
    for equation in jaxpr.eqns:
        for parameter in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
            if hasattr(parameter, "eqns"):
                sizes.append(_widest(getattr(parameter, "jaxpr", parameter)))
    return max(sizes, default=8)
