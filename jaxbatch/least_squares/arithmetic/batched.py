"""Small matrices of many datasets at once, the datasets on the last axis, along which operations are vectorised."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from jaxbatch.least_squares.arithmetic.array_library import Array, namespace
from jaxbatch.least_squares.arithmetic.double_double import DoubleDouble, mapped, register_pytree
from jaxbatch.least_squares.arithmetic.memory import keep_freed_memory


def datasets_last(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with a ``vmap`` that calls it once, every array with the datasets on its last axis.

    NumPy arrays have their datasets there already, so that ``function`` is called as it is.

    ``function`` must work on arrays with the axes of one dataset first, and treat any further axes element by element.
    Its arguments and results are pytrees of arrays. For one dataset it is called as it is.
    """

    def called(*operands: Any) -> Any:
        if namespace(*_leaves(operands)) is np:
            keep_freed_memory()
            with np.errstate(all="ignore"):  # what is not finite in one dataset shows in its results
                return function(*operands)
        return _with_vmap(function)(*operands)

    return called


def _leaves(x: Any) -> list[Array]:
    """The arrays in nested tuples and double-double numbers."""
    found: list[Array] = []
    each_array(found.append, x)
    return found


def each_array(function: Callable[..., Any], *xs: Any) -> Any:
    """``function`` of the arrays at the same place in nested tuples and double-double numbers, in such a tuple."""
    if isinstance(xs[0], DoubleDouble):
        return mapped(function, *xs)
    if not isinstance(xs[0], tuple):
        return function(*xs)
    parts = [each_array(function, *parts) for parts in zip(*xs, strict=True)]
    return type(xs[0])(*parts) if hasattr(xs[0], "_fields") else tuple(parts)


def _with_vmap(function: Callable[..., Any]) -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp
    from jax.custom_batching import custom_vmap

    register_pytree()
    structures: list[Any] = []

    def flat(structure: Any, *leaves: Any) -> list[Any]:
        found, results = jax.tree.flatten(function(*structure.unflatten(leaves)))
        structures[:] = [results]
        return found

    def called(*operands: Any) -> Any:
        leaves, structure = jax.tree.flatten(jax.tree.map(jnp.asarray, operands))
        single = custom_vmap(partial(flat, structure))

        @single.def_vmap
        def _(datasets: int, in_batched: Any, *leaves: Any) -> tuple[list[Any], list[bool]]:
            last = [
                jnp.moveaxis(x, 0, -1) if batched else jnp.broadcast_to(x[..., None], (*x.shape, datasets))
                for x, batched in zip(leaves, in_batched, strict=True)
            ]
            found = [jnp.moveaxis(x, -1, 0) for x in flat(structure, *last)]
            return found, [True] * len(found)

        found = single(*leaves)
        return structures[0].unflatten(found)

    return called


def rows_of(length: int, like: Any) -> Any:
    """0 … length − 1 shaped [length, 1, …], to be compared with arrays [length, …] of as many axes as ``like``."""
    return np.arange(length).reshape(length, *(1,) * (like.ndim - 1))
