"""What keeps XLA:CPU from fusing code that would be computed again, and from splitting what belongs together."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.custom_batching import custom_vmap
from jax.experimental.scheduling_groups import xla_metadata_call
from jax.extend.backend import get_default_device


@custom_vmap
def materialized(x: Any) -> Any:
    """``x``, any pytree of arrays, stored for a batch of points so that no fused kernel computes it again.

    XLA's compiler for CPUs drops optimization barriers before it fuses, but never fuses into or out of a call that it
    may not inline; other devices take a barrier. The choice is made when points are batched, so that the trace of one
    point, from which a job's fingerprint follows, is the same on every device.
    """
    return x


@materialized.def_vmap
def _(axis_size: int, in_batched: Any, x: Any) -> tuple[Any, Any]:
    del axis_size
    return (stored_on_cpu(x) if get_default_device().platform == "cpu" else lax.optimization_barrier(x)), in_batched[0]


stored_on_cpu = xla_metadata_call(lambda x: x, inlineable="false")
"""The identity on any pytree of arrays, as a call of XLA:CPU's."""


def as_one_kernel(function: Callable[..., Any], limit: Array, operands: Sequence[Array]) -> Any:
    """``function(limit, *operands)``, of element-wise operations, slices and loops, as one function of machine code.

    XLA:CPU runs each operation in a loop as a kernel of its own, and looks up where a slice begins for every element,
    which is then not vectorised. A call that is marked as small is compiled as a whole by other code, which does
    neither. Such calls are not shared: each is compiled for itself.

    Args:
        function: called with arrays like the operands.
        limit: an int32.
        operands: arrays of one dtype, each […] or [orders, …] for one shape […], the first one […]. They are passed as
            one array: with several, jaxlib 0.10 ended the process on some calls, as it seems where XLA drops one.
    """
    shape = operands[0].shape
    counts = [x.size // operands[0].size for x in operands]
    packed = jnp.concatenate([x.reshape(count, *shape) for x, count in zip(operands, counts, strict=True)])

    def unpacked(limit: Array, packed: Array) -> Any:
        ends = np.cumsum(counts)
        parts = [packed[end - count : end] for end, count in zip(ends, counts, strict=True)]
        return function(limit, *(x.reshape(like.shape) for x, like in zip(parts, operands, strict=True)))

    call: Any = xla_metadata_call(unpacked, xla_cpu_small_call="true", inlineable="false")
    return call(limit, packed)
