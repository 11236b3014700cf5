"""The Gram matrix of one dataset in twice the precision: the one statistic of least squares.

Every product of two columns is taken without error and added in double-double, so what the matrix has lost against
the exact one is below 2⁻¹⁰⁰ of its diagonal, and matrices of parts of the data add up to that of the whole.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.custom_batching import custom_vmap
from jaxtyping import Bool, Float, Int

from jaxbatch.least_squares.double_double import (
    DoubleDouble,
    contracted_product,
    contracts,
    exponent_of,
    fast_two_sum,
    power_of_two,
    two_product,
    two_sum,
)

BLOCK_ROWS = 256
"""So many rows are added up one after the other; longer datasets are cut, and their blocks added by halves."""

PASS_SIZE = 8192
"""Blocks are added up side by side, as many as make one pass over so many sums: they stay in the cache of one
processor, and XLA does not divide a pass among threads, whose meeting would take longer than the pass."""

PASSES = 4
"""The diagonals of the matrix are taken in at most so many groups, each one fused loop."""


class Statistic(NamedTuple):
    """All that a fit needs to know of a dataset: [1 X y]'W[1 X y] of its columns divided by powers of two.

    Columns are those of the terms, the intercept's ones first where there is one, and y last.
    """

    products: DoubleDouble | Float[Array, "k k"]
    exponents: Int[Array, " k"]
    """Column i was divided by 2^exponents[i], so that its largest element, times the root of the largest weight, is
    about 1."""
    n: Int[Array, ""]
    """Observations; those of weight 0 are none."""
    weight: Float[Array, ""]
    """The sum of their weights; n without weights."""
    least: Float[Array, ""]
    most: Float[Array, ""]
    """The range of y, as it was."""
    shift: Float[Array, ""]
    """What was subtracted from y, so that a plain matrix does not lose the digits of a large mean; 0 otherwise."""


def statistic(
    Z: Float[Array, "n k"],
    observed: Bool[Array, " n"],
    weights: Float[Array, " n"] | None = None,
    *,
    plain: bool = False,
    shifted: bool = False,
) -> Statistic:
    """The statistic of one dataset.

    Args:
        Z: [1 X y], zero where nothing was observed.
        observed: which rows of the padded arrays are there, and have a weight.
        weights: of the observations, 1 each by default.
        plain: in plain arithmetic, which is faster, and no better than the square of the condition allows.
        shifted: whether y may be taken from its first observation on: it needs an intercept, the first column.
    """
    y, shift = Z[:, -1], jnp.zeros((), Z.dtype)
    if shifted:
        shift = y[jnp.argmax(observed)]
        Z = Z.at[:, -1].set(jnp.where(observed, y - shift, 0.0))
    exponents = exponent_of(jnp.max(jnp.abs(Z), axis=0))
    scaled = Z * power_of_two(-exponents)
    n = observed.sum()
    used = None if weights is None else jnp.where(observed, weights, 0.0)
    divided = used
    if used is not None:
        half = (exponent_of(jnp.max(jnp.abs(used))) + 1) >> 1
        divided = used * power_of_two(-half) * power_of_two(-half)
        exponents = exponents + half
    if plain:
        products: Any = scaled.T @ (scaled if divided is None else divided[:, None] * scaled)
    elif divided is None:
        products = DoubleDouble(*_gram(scaled))
    else:
        products = DoubleDouble(*_weighted_gram(scaled, divided))
    return Statistic(
        products,
        exponents,
        n,
        weight=n.astype(Z.dtype) if used is None else used.sum(),
        least=jnp.min(jnp.where(observed, y, jnp.inf)),
        most=jnp.max(jnp.where(observed, y, -jnp.inf)),
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


def _blocked(Z: Float[Array, "B n k"], weights: Float[Array, "B n"] | None) -> tuple[Array, Array]:
    """High and low parts [B, k, k]: blocks of rows side by side, in chunks; then each dataset's blocks by halves."""
    datasets, n, k = Z.shape
    rows = min(n, BLOCK_ROWS)
    blocks = -(-n // rows)
    lanes = min(_lanes(k), datasets * blocks)
    chunks = -(-datasets * blocks // lanes)

    def cut(x: Array) -> Array:
        x = jnp.pad(x, [(0, 0), (0, blocks * rows - n)] + [(0, 0)] * (x.ndim - 2))
        x = x.reshape(datasets * blocks, rows, *x.shape[2:])
        x = jnp.pad(x, [(0, chunks * lanes - datasets * blocks)] + [(0, 0)] * (x.ndim - 1))
        return x.reshape(chunks, lanes, *x.shape[1:])

    cuts = [cut(Z), *([] if weights is None else [cut(weights)])]
    sums = lax.map(lambda chunk: _diagonals(*chunk), cuts)  # [chunks, D, k, lanes] twice
    high, low = (
        jnp.moveaxis(x, 3, 1).reshape(chunks * lanes, -1)[: datasets * blocks].reshape(datasets, blocks, -1)
        for x in sums
    )
    while (count := high.shape[1]) > 1:
        half = count // 2
        odd_high, odd_low = high[:, 2 * half :], low[:, 2 * half :]
        total, error = two_sum(high[:, : 2 * half : 2], high[:, 1 : 2 * half : 2])
        total, error = fast_two_sum(total, error + (low[:, : 2 * half : 2] + low[:, 1 : 2 * half : 2]))
        high = jnp.concatenate([total, odd_high], axis=1)
        low = jnp.concatenate([error, odd_low], axis=1)
    i, j = np.indices((k, k))
    there = (j - i) % k <= k // 2
    place = np.where(there, (j - i) % k * k + i, (i - j) % k * k + j)
    return high[:, 0][:, place], low[:, 0][:, place]


def _group(k: int) -> int:
    """How many diagonals of a k×k matrix one pass takes."""
    return max(4, -(-(k // 2 + 1) // PASSES))


def _lanes(k: int) -> int:
    """How many blocks are added up side by side."""
    fitting = max(PASS_SIZE // (k * _group(k)), 1)
    return min(128, max(8, 1 << fitting.bit_length() - 1))


def _diagonals(Z: Float[Array, "L n k"], weights: Float[Array, "L n"] | None = None) -> tuple[Array, Array]:
    """Sums over the rows of z_i·z_{i+d}, d = 0 … k/2, i + d taken modulo k: [D, k, L], the lanes last."""
    lanes, rows, k = Z.shape
    Z = jnp.transpose(Z, (1, 2, 0))
    weights = None if weights is None else jnp.transpose(weights)
    distances, group = k // 2 + 1, _group(k)
    groups = [range(start, min(start + group, distances)) for start in range(0, distances, group)]

    multiply = contracted_product if contracts() else two_product

    def add_row(row: Array, sums: list[tuple[Array, Array]]) -> list[tuple[Array, Array]]:
        z = lax.dynamic_index_in_dim(Z, row, keepdims=False)
        around = jnp.concatenate([z, z[:distances]])
        weighted, rest = (z, None) if weights is None else two_product(weights[row], z)
        found = []
        for distance, (high, low) in zip(groups, sums, strict=True):
            other = jnp.stack([around[d : d + k] for d in distance])
            product, error = multiply(jnp.broadcast_to(weighted, other.shape), other)
            if rest is not None:
                error = error + rest * other
            high, lost = two_sum(high, product)
            found.append((high, low + (lost + error)))
        return found

    zeros = [(jnp.zeros((len(distance), k, lanes), Z.dtype),) * 2 for distance in groups]
    sums = lax.fori_loop(0, rows, add_row, zeros)
    high, low = (jnp.concatenate(parts) for parts in zip(*sums, strict=True))
    return fast_two_sum(high, low)
