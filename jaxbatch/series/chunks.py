"""Under ``vmap``, points are computed in chunks: the coefficients of one stay in the processor's cache."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.custom_batching import custom_vmap
from jax.extend.backend import get_default_device

from jaxbatch import jaxpr_walk

LOOPED_BYTES = 1 << 17
"""The most bytes that the coefficients of a chunk's widest value may take on a CPU, for looped code: each of its loops
passes over all of them."""

UNROLLED_BYTES = 1 << 22
"""The same for unrolled code, which reads each coefficient a few times only."""

ACCELERATOR_BYTES = 1 << 28
"""The same on other devices, where memory is the limit and not the cache."""


def in_chunks(function: Callable[..., Any], program: Any, order: int, *, looped: bool) -> Callable[..., Any]:
    """``function`` with a ``vmap`` that takes the points chunk by chunk; for one point it is unchanged.

    Args:
        function: computes the coefficients of one point, of and to any pytrees of arrays.
        program: the closed jaxpr of the function that is expanded, for the size of its values.
        order: the order of the last coefficient.
        looped: whether ``function`` loops over the order.
    """
    cpu_bytes = LOOPED_BYTES if looped else UNROLLED_BYTES
    point_bytes = (order + 1) * _widest(program)

    def batched(axis_size: int, in_batched: Any, *operands: Any) -> tuple[Any, Any]:
        leaves, structure = jax.tree.flatten(operands)
        flags = jax.tree.leaves(in_batched)
        if not any(flags):
            results = function(*operands)
            return results, jax.tree.map(lambda _: False, results)
        batched_leaves = [x for x, ok in zip(leaves, flags, strict=True) if ok]

        def at_point(*point: Any) -> Any:
            remaining = iter(point)
            filled = [next(remaining) if ok else x for x, ok in zip(leaves, flags, strict=True)]
            return function(*structure.unflatten(filled))

        budget = cpu_bytes if get_default_device().platform == "cpu" else ACCELERATOR_BYTES
        count = math.ceil(axis_size * point_bytes / budget)
        at_points = jax.vmap(at_point)
        results = at_points(*batched_leaves) if count <= 1 else _map_chunks(at_points, batched_leaves, axis_size, count)
        return results, jax.tree.map(lambda _: True, results)

    chunked = custom_vmap(function)
    chunked.def_vmap(batched)
    return chunked


def _map_chunks(function: Callable[..., Any], points: list[Any], total: int, count: int) -> Any:
    """``function`` on about ``count`` chunks of one size, one after the other; the last is padded with its last point.

    ``points`` and the results are arrays [total, …].
    """
    size = math.ceil(total / count)
    count = math.ceil(total / size)

    def cut(x: Any) -> Array:
        missing = count * size - total
        padded = jnp.concatenate([x, jnp.broadcast_to(x[-1:], (missing, *x.shape[1:]))]) if missing else x
        return padded.reshape(count, size, *x.shape[1:])

    results = lax.map(lambda chunk: function(*chunk), [cut(x) for x in points])
    return jax.tree.map(lambda x: x.reshape(count * size, *x.shape[2:])[:total], results)


def _widest(program: Any) -> int:
    """Bytes of the largest value that a program computes at one point."""
    values = [v.aval for e in jaxpr_walk.equations(program) for v in e.outvars if hasattr(v.aval, "size")]
    return max((value.size * value.dtype.itemsize for value in values), default=8)
