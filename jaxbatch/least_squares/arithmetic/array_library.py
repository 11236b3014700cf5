"""The few operations that NumPy and JAX spell differently, so that one source serves both.

On NumPy arrays the loops here are loops of Python, and JAX is not imported. An array is a NumPy array, a JAX array or a
tracer; where any argument is of JAX, all are taken as such.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any
"""A NumPy array, a JAX array or a tracer; ``Float[Array, "p ..."]`` of jaxtyping checks its shape and dtype."""


def namespace(*arrays: Array) -> Any:
    """``numpy`` if all arguments are NumPy's or plain numbers, else ``jax.numpy``."""
    return np if all(isinstance(x, np.ndarray | np.generic | bool | int | float) for x in arrays) else _jax_numpy()


@functools.cache
def _jax_numpy() -> Any:
    import jax.numpy as jnp

    return jnp


def fori_loop(xp: Any, count: int, step: Callable[[Any, Any], Any], state: Any) -> Any:
    """``state`` after ``state = step(j, state)`` for j = 0 … count − 1."""
    if xp is not np:
        from jax import lax

        return lax.fori_loop(0, count, step, state)
    for j in range(count):
        state = step(j, state)
    return state


def row(x: Array, j: Any) -> Array:
    """x[j] along the first axis."""
    if isinstance(x, np.ndarray):
        return x[j]
    from jax import lax

    return lax.dynamic_index_in_dim(x, j, keepdims=False)


def with_row(x: Array, new: Array, j: Any) -> Array:
    """``x`` with x[j] replaced; a NumPy array is changed in place."""
    if isinstance(x, np.ndarray):
        x[j] = new
        return x
    from jax import lax

    return lax.dynamic_update_index_in_dim(x, new, j, 0)


def only_if(condition: Array, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    """``then()`` where the one ``condition`` holds, else ``otherwise()``; but one of them is computed."""
    if isinstance(condition, np.bool):
        return then() if condition else otherwise()
    from jax import lax

    return lax.cond(condition, then, otherwise)


def total(x: Array) -> Array:
    """The sum over the leading axis.

    NumPy's own sum takes another order where the other axes have but one element. Here the order is that of the length
    alone: halves are added until one element is left.
    """
    if not isinstance(x, np.ndarray):
        return x.sum(axis=0)
    if len(x) < 2:
        return x[0] if len(x) else np.zeros(x.shape[1:], x.dtype)
    half = len(x) // 2
    found = x[: len(x) - half].copy()
    found[:half] += x[len(x) - half :]
    while (length := len(found)) > 1:
        half = length // 2
        found[:half] += found[length - half :]
        found = found[: length - half]
    return found[0]


def iterated(
    xp: Any,
    step: Callable[[tuple[Array, ...], tuple[Array, ...]], tuple[Array, ...]],
    unfinished: Callable[[tuple[Array, ...]], Array],
    constants: tuple[Array, ...],
    state: tuple[Array, ...],
    *,
    most: int,
) -> tuple[Array, ...]:
    """``state`` after ``state = step(constants, state)``, for each dataset until it is no longer ``unfinished``.

    A dataset that has ended changes no more while others go on. In NumPy those that have ended leave the batch
    in time.

    Args:
        xp: the library.
        step: the next state of all datasets, each by itself.
        unfinished: which datasets go on; it is asked before every step.
        constants: arrays that ``step`` needs, the datasets on the last axis.
        state: likewise; all have that axis.
        most: the largest number of steps.
    """
    if xp is not np:
        return _iterated_by_jax(step, unfinished, constants, state, most)
    return _iterated_by_numpy(step, unfinished, constants, state, most)


_SPARSE = 0.75
"""Datasets leave a batch when no more than this fraction of it goes on."""


def _iterated_by_numpy(step: Any, unfinished: Any, constants: Any, state: Any, most: int) -> Any:
    ended = tuple(part.copy() for part in state)
    places = np.arange(state[0].shape[-1])  # of the batch among all datasets
    present = np.ones(len(places), bool)  # the others have ended, and what becomes of their numbers is of no account
    for _ in range(most):
        going = present & unfinished(state)
        _put(ended, state, places, np.flatnonzero(present & ~going))
        if (left := np.count_nonzero(going)) == 0:
            return ended
        if left <= _SPARSE * len(places):
            chosen = np.flatnonzero(going)
            places, going = places[chosen], going[chosen]
            constants, state = (tuple(x.take(chosen, axis=-1) for x in arrays) for arrays in (constants, state))
        present = going
        state = step(constants, state)
    _put(ended, state, places, np.flatnonzero(present))
    return ended


def _put(ended: tuple[Array, ...], state: tuple[Array, ...], places: Array, chosen: Array) -> None:
    if len(chosen):
        for old, new in zip(ended, state, strict=True):
            old[..., places[chosen]] = new.take(chosen, axis=-1)


def _iterated_by_jax(step: Any, unfinished: Any, constants: Any, state: Any, most: int) -> Any:
    import jax.numpy as jnp
    from jax import lax

    def going(counted: tuple[Array, tuple[Array, ...]]) -> Array:
        return jnp.any(unfinished(counted[1])) & (counted[0] < most)

    def masked(counted: tuple[Array, tuple[Array, ...]]) -> tuple[Array, tuple[Array, ...]]:
        count, state = counted
        moving = unfinished(state)
        new = step(constants, state)
        return count + 1, tuple(jnp.where(moving, after, before) for after, before in zip(new, state, strict=True))

    return lax.while_loop(going, masked, (jnp.zeros((), jnp.int32), state))[1]
