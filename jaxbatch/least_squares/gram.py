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
    exponent_of,
    fast_two_sum,
    power_of_two,
    two_product,
    two_sum,
)

BLOCK_ROWS = 256
"""So many rows of a short dataset are added up one after the other; more are cut, and their blocks added by halves."""

LONG_ROWS = 4096
"""From here on a dataset's own rows are taken side by side: then nothing has to be transposed."""

PASS_SIZE = 8192
"""So many sums are kept side by side in one pass over them: they stay in the cache of one processor, and XLA does not
divide a pass among threads, whose meeting would take longer than the pass."""

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
        observed: which elements of the padded columns are there, and have a weight.
        weights: of the observations, 1 each by default.
        plain: in plain arithmetic, which is faster, and no better than the square of the condition allows.
        shifted: whether y may be taken from its first observation on: it needs an intercept, the first column.
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


def _blocked(Z: Float[Array, "B k n"], weights: Float[Array, "B n"] | None) -> tuple[Array, Array]:
    """High and low parts [B, k, k]: of short datasets many side by side, of long ones the rows of each."""
    datasets, k, n = Z.shape
    if n >= LONG_ROWS:
        high, low = _of_long(Z, weights)
    else:
        high, low = _of_short(Z, weights)
    i, j = np.indices((k, k))
    stored = (j - i) % k <= k // 2
    place = np.where(stored, (j - i) % k * k + i, (i - j) % k * k + j)
    return high.reshape(datasets, -1)[:, place], low.reshape(datasets, -1)[:, place]


def _of_short(Z: Float[Array, "B k n"], weights: Float[Array, "B n"] | None) -> tuple[Array, Array]:
    """Sums by diagonals [B, D, k], high and low: blocks of rows side by side; each dataset's added by halves."""
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
    return _by_halves(*(jnp.moveaxis(x.reshape(datasets, blocks, -1, k), 1, -1) for x in sums))


def _of_long(Z: Float[Array, "B k n"], weights: Float[Array, "B n"] | None) -> tuple[Array, Array]:
    """The same: one dataset after the other, its rows side by side in as many lanes."""
    _, k, n = Z.shape
    lanes = _lanes(k)
    steps = -(-n // lanes)

    def cut(x: Array) -> Array:
        """[…, n] → […, steps, lanes]."""
        x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, steps * lanes - n)])
        return x.reshape(*x.shape[:-1], steps, lanes)

    def of_one(dataset: Any) -> tuple[Array, Array]:
        return _by_halves(*_diagonals(*map(cut, dataset), axis=-2))

    return lax.map(of_one, [Z, *([] if weights is None else [weights])])


def _by_halves(high: Array, low: Array) -> tuple[Array, Array]:
    """Sums along the last axis, which is no longer there then."""
    while (count := high.shape[-1]) > 1:
        half = count // 2
        total, error = two_sum(high[..., :half], high[..., half : 2 * half])
        total, error = fast_two_sum(total, error + (low[..., :half] + low[..., half : 2 * half]))
        high = jnp.concatenate([total, high[..., 2 * half :]], axis=-1)
        low = jnp.concatenate([error, low[..., 2 * half :]], axis=-1)
    return high[..., 0], low[..., 0]


def _group(k: int) -> int:
    """How many diagonals of a k×k matrix one pass takes."""
    return max(4, -(-(k // 2 + 1) // PASSES))


def _lanes(k: int) -> int:
    """How many sums are kept side by side."""
    fitting = max(PASS_SIZE // (k * _group(k)), 1)
    return min(128, max(8, 1 << fitting.bit_length() - 1))


def _diagonals(Z: Array, weights: Array | None = None, *, axis: int = 0) -> tuple[Array, Array]:
    """Sums over the rows of z_i·z_{i+d}, d = 0 … k/2, i + d taken modulo k: [D, k, L], the lanes last.

    Args:
        Z: [n, k, L], or [k, n, L] if the axis is −2.
        weights: [n, L].
        axis: of the rows.
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
