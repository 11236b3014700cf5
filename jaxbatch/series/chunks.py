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

LOOPED_ELEMENTS = 264
"""The elements of a coefficient of a chunk's widest value on a CPU, for looped code: it passes over some twenty such
rows again and again, which stay in the innermost cache."""

UNROLLED_BYTES = 1 << 25
"""The most bytes that all coefficients of a chunk's widest value may take on a CPU, for unrolled code, which reads each
coefficient a few times only."""

VECTOR = 8
"""Rows of looped code are a multiple of this many elements, a vector in any instructions, …"""

SET = 64
"""… and no multiple of this many: a few rows at such a distance would fill the same places of the cache."""

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
    width, point_bytes = _widest(program, order)

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

        on_cpu = get_default_device().platform == "cpu"
        if on_cpu and looped:
            size = _row_of_points(axis_size, width)
        else:
            budget = UNROLLED_BYTES if on_cpu else ACCELERATOR_BYTES
            size = math.ceil(axis_size / math.ceil(axis_size * point_bytes / budget))
        at_points = jax.vmap(at_point)
        results = at_points(*batched_leaves) if size >= axis_size else _map_chunks(at_points, batched_leaves, size)
        return results, jax.tree.map(lambda _: True, results)

    chunked = custom_vmap(function)
    chunked.def_vmap(batched)
    return chunked


def _row_of_points(total: int, width: int) -> int:
    """How many points looped code takes at a time, of ``total`` points with ``width`` elements each."""
    size = math.ceil(total / math.ceil(total * width / LOOPED_ELEMENTS))
    step = VECTOR // math.gcd(VECTOR, width)
    size = step * math.ceil(size / step)
    return size + step if size * width % SET == 0 else size


def _map_chunks(function: Callable[..., Any], points: list[Any], size: int) -> Any:
    """``function`` on chunks of ``size`` points, one after the other; the last is padded with its last point.

    ``points`` and the results are arrays [total, …].
    """
    total = len(points[0])
    count = math.ceil(total / size)

    def cut(x: Any) -> Array:
        missing = count * size - total
        padded = jnp.concatenate([x, jnp.broadcast_to(x[-1:], (missing, *x.shape[1:]))]) if missing else x
        return padded.reshape(count, size, *x.shape[1:])

    results = lax.map(lambda chunk: function(*chunk), [cut(x) for x in points])
    return jax.tree.map(lambda x: x.reshape(count * size, *x.shape[2:])[:total], results)


def _widest(program: Any, order: int) -> tuple[int, int]:
    """The elements of the largest value that a program computes at one point, and the bytes of its coefficients."""
    values = [v.aval for e in jaxpr_walk.equations(program) for v in e.outvars if hasattr(v.aval, "size")]
    size, item = max(((value.size, value.dtype.itemsize) for value in values), default=(1, 8))
    return max(size, 1), (order + 1) * size * item
