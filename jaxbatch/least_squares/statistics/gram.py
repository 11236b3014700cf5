"""The Gram matrix of one dataset in twice the precision: the statistic that every fit follows from.

Every product of two columns is computed without error and added in double-double, so the matrix differs from the exact
one by less than 2⁻¹⁰⁰ of its diagonal, and the matrices of parts of the data add up to that of the whole.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.custom_batching import custom_vmap
from jaxtyping import Bool, Float

from jaxbatch.least_squares.arithmetic.double_double import (
    DoubleDouble,
    exponent_of,
    fast_two_sum,
    power_of_two,
    register_pytree,
    two_product,
    two_sum,
)
from jaxbatch.least_squares.statistics.sufficient import Statistic

register_pytree()

BLOCK_ROWS = 256
"""Rows of a short dataset are summed one after the other in blocks of at most this many; blocks are added pairwise."""

LONG_ROWS = 4096
"""From this many rows on the lanes of a pass hold rows of one dataset, not of many: then nothing is transposed."""

PASS_SIZE = 8192
"""The most sums that one pass over rows keeps. They stay in the cache of one core, and XLA does not divide the pass
among threads, whose synchronisation would take longer than the pass."""

PASSES = 4
"""The diagonals of the matrix are computed in at most this many groups, each one fused loop."""


def statistic(
    Z: Float[Array, "k n"],
    observed: Bool[Array, " n"],
    weights: Float[Array, " n"] | None = None,
    *,
    plain: bool = False,
    shifted: bool = False,
) -> Statistic:
    """The statistic of one dataset.

    Args:
        Z: the columns of [1 X y], zero where nothing was observed.
        observed: which elements of the padded columns are observations of weight above 0.
        weights: w of the observations, 1 each by default.
        plain: in plain float64, which is faster but loses twice the digits of the condition number.
        shifted: whether the first observed y is subtracted from all; this needs an intercept, the first column.
    """
    y, shift = Z[-1], jnp.zeros((), Z.dtype)
    if shifted:
        shift = y[jnp.argmax(observed)]
        Z = Z.at[-1].set(jnp.where(observed, y - shift, 0.0))
    exponents = exponent_of(jnp.max(jnp.abs(Z), axis=1))
    scaled = Z * power_of_two(-exponents)[:, None]
    n = observed.sum()
    used = None if weights is None else jnp.where(observed, weights, 0.0)
    divided = used
    if used is not None:
        half = (exponent_of(jnp.max(jnp.abs(used))) + 1) >> 1
        divided = used * power_of_two(-half) * power_of_two(-half)
        exponents = exponents + half
    if plain:
        products: Any = scaled @ (scaled if divided is None else divided * scaled).T
    elif divided is None:
        products = DoubleDouble(*_gram(scaled))
    else:
        products = DoubleDouble(*_weighted_gram(scaled, divided))
    return Statistic(
        products,
        exponents,
        n,
        weight=n.astype(Z.dtype) if used is None else used.sum(),
        y_min=jnp.min(jnp.where(observed, y, jnp.inf)),
        y_max=jnp.max(jnp.where(observed, y, -jnp.inf)),
        shift=shift,
    )


@custom_vmap
def _gram(Z: Array) -> tuple[Array, Array]:
    high, low = _blocked(Z[None], None)
    return high[0], low[0]


@_gram.def_vmap
def _(axis_size: int, in_batched: Any, Z: Array) -> tuple[Any, Any]:
    del axis_size, in_batched
    return _blocked(Z, None), (True, True)


@custom_vmap
def _weighted_gram(Z: Array, weights: Array) -> tuple[Array, Array]:
    high, low = _blocked(Z[None], weights[None])
    return high[0], low[0]


@_weighted_gram.def_vmap
def _(axis_size: int, in_batched: Any, Z: Array, weights: Array) -> tuple[Any, Any]:
    Z, weights = (
        x if batched else jnp.broadcast_to(x, (axis_size, *x.shape))
        for x, batched in zip((Z, weights), in_batched, strict=True)
    )
    return _blocked(Z, weights), (True, True)


def _blocked(Z: Float[Array, "B k n"], weights: Float[Array, "B n"] | None) -> tuple[Array, Array]:
    """The high and low parts of the Gram matrices, [B, k, k]."""
    datasets, k, n = Z.shape
    if n >= LONG_ROWS:
        high, low = _sums_of_long(Z, weights)
    else:
        high, low = _sums_of_short(Z, weights)
    i, j = np.indices((k, k))
    stored = (j - i) % k <= k // 2
    place = np.where(stored, (j - i) % k * k + i, (i - j) % k * k + j)
    return high.reshape(datasets, -1)[:, place], low.reshape(datasets, -1)[:, place]


def _sums_of_short(Z: Float[Array, "B k n"], weights: Float[Array, "B n"] | None) -> tuple[Array, Array]:
    """The sums by diagonals, high and low parts [B, D, k]: lanes hold blocks of rows of many datasets."""
    datasets, k, n = Z.shape
    rows = min(n, BLOCK_ROWS)
    blocks = -(-n // rows)
    lanes = min(_lanes(k), datasets * blocks)
    chunks = -(-datasets * blocks // lanes)

    def cut(x: Array) -> Array:
        """[B, …, n] → [chunks, rows, …, lanes]."""
        x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, blocks * rows - n)])
        x = jnp.moveaxis(x.reshape(*x.shape[:-1], blocks, rows), -2, 1).reshape(-1, *x.shape[1:-1], rows)
        x = jnp.pad(x, [(0, chunks * lanes - datasets * blocks)] + [(0, 0)] * (x.ndim - 1))
        return jnp.moveaxis(x.reshape(chunks, lanes, *x.shape[1:]), (1, -1), (-1, 1))

    cuts = [cut(Z), *([] if weights is None else [cut(weights)])]
    sums = lax.map(lambda chunk: _diagonals(*chunk), cuts)  # [chunks, D, k, lanes] twice
    sums = (jnp.moveaxis(x, 3, 1).reshape(chunks * lanes, -1, k)[: datasets * blocks] for x in sums)
    return _pairwise_sum(*(jnp.moveaxis(x.reshape(datasets, blocks, -1, k), 1, -1) for x in sums))


def _sums_of_long(Z: Float[Array, "B k n"], weights: Float[Array, "B n"] | None) -> tuple[Array, Array]:
    """The same as of short datasets, one dataset after the other: lanes hold rows of one dataset."""
    _, k, n = Z.shape
    lanes = _lanes(k)
    steps = -(-n // lanes)

    def cut(x: Array) -> Array:
        """[…, n] → […, steps, lanes]."""
        x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, steps * lanes - n)])
        return x.reshape(*x.shape[:-1], steps, lanes)

    def sum_of_one(dataset: Any) -> tuple[Array, Array]:
        return _pairwise_sum(*_diagonals(*map(cut, dataset), axis=-2))

    return lax.map(sum_of_one, [Z, *([] if weights is None else [weights])])


def _pairwise_sum(high: Array, low: Array) -> tuple[Array, Array]:
    """Pairwise double-double sums over the last axis."""
    while (count := high.shape[-1]) > 1:
        half = count // 2
        total, error = two_sum(high[..., :half], high[..., half : 2 * half])
        total, error = fast_two_sum(total, error + (low[..., :half] + low[..., half : 2 * half]))
        high = jnp.concatenate([total, high[..., 2 * half :]], axis=-1)
        low = jnp.concatenate([error, low[..., 2 * half :]], axis=-1)
    return high[..., 0], low[..., 0]


def _group(k: int) -> int:
    """The number of diagonals of a k×k matrix in one pass."""
    return max(4, -(-(k // 2 + 1) // PASSES))


def _lanes(k: int) -> int:
    """The number of lanes, a power of two from 8 to 128: the sums of one pass fill ``PASS_SIZE`` where they can."""
    fitting = max(PASS_SIZE // (k * _group(k)), 1)
    return min(128, max(8, 1 << fitting.bit_length() - 1))


def _diagonals(Z: Array, weights: Array | None = None, *, axis: int = 0) -> tuple[Array, Array]:
    """Sums over the rows of z_i·z_{i+d} for the D diagonals d = 0 … k/2, i + d taken modulo k.

    Args:
        Z: [n, k, L], or [k, n, L] if the axis is −2, with the lanes last.
        weights: [n, L].
        axis: of the rows.

    Returns:
        High and low parts, [D, k, L] each.
    """
    lanes, rows, k = Z.shape[-1], Z.shape[axis], Z.shape[1 if axis == 0 else 0]
    distances, group = k // 2 + 1, _group(k)
    groups = [range(start, min(start + group, distances)) for start in range(0, distances, group)]

    def add_row(row: Array, sums: list[tuple[Array, Array]]) -> list[tuple[Array, Array]]:
        z = lax.dynamic_index_in_dim(Z, row, axis, keepdims=False)
        around = jnp.concatenate([z, z[:distances]])
        weighted, rest = (z, None) if weights is None else two_product(weights[row], z)
        found = []
        for distance, (high, low) in zip(groups, sums, strict=True):
            other = jnp.stack([around[d : d + k] for d in distance])
            product, error = two_product(jnp.broadcast_to(weighted, other.shape), other)
            if rest is not None:
                error = error + rest * other
            high, lost = two_sum(high, product)
            found.append((high, low + (lost + error)))
        return found

    zeros = [(jnp.zeros((len(distance), k, lanes), Z.dtype),) * 2 for distance in groups]
    sums = lax.fori_loop(0, rows, add_row, zeros)
    high, low = (jnp.concatenate(parts) for parts in zip(*sums, strict=True))
    return fast_two_sum(high, low)
