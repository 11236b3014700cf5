"""Values that are computed once and stored, however many results are computed from them."""

from typing import Any

from jax import lax
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
    return (_call(x) if get_default_device().platform == "cpu" else lax.optimization_barrier(x)), in_batched[0]


_call = xla_metadata_call(lambda x: x, inlineable="false")
