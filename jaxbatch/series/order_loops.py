"""Products and recurrences of series as loops over the order: programs of the same size at any order.

Coefficients lie in rows, one row per order, with many points side by side. Both loops add several products to a sum
each time that they read and write it.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxbatch.series.arithmetic import Recurrence

BLOCK = 8
"""The orders of a product that are summed at a time: so many products for each row that is read, and for each sum."""

STRIP = 4
"""The products that a recurrence adds to a sum at a time. With 6 or 8 it took 1.1 times as long."""

SHORT = 4
"""A series of at most this many terms is multiplied term by term, without a loop; no more than :data:`STRIP`."""

Keep = Callable[[Any], Any]
"""The identity; what it returns is stored, and not computed again by whatever reads it."""


def product(limit: Array, a: Array, b: Array, *, keep: Keep) -> list[Array]:
    """Σ_j a_j b_{n−j} for n = 0 … len(a) − 1, right up to order ``limit``.

    Args:
        limit: the order at run time, an int32.
        a: the coefficients of one factor, [orders, …].
        b: those of the other, of the same shape.
        keep: stores the rows that a block is computed from. Kernels whose operands begin at an offset that is known at
            run time only are not vectorised by XLA:CPU; and stored, all blocks of all products share one kernel.

    Returns:
        The product, in a list.
    """
    length = len(a)
    size = BLOCK * -(-length // BLOCK)
    left, right = _rows(a, 0, size), _rows(b, BLOCK - 1, size + BLOCK)
    none = jnp.zeros((BLOCK, *a.shape[1:]), jnp.result_type(a, b))

    def block(k: Array, found: Array) -> Array:
        def add(i: Array, total: Array) -> Array:
            factors, window = keep((_slice(left, i * BLOCK, BLOCK), _slice(right, (k - i) * BLOCK, 2 * BLOCK - 1)))
            for s in range(BLOCK):  # row r of the block: Σ_s a_{i·BLOCK + s} b_{(k − i)·BLOCK + r − s}
                total = total + factors[s] * window[BLOCK - 1 - s : 2 * BLOCK - 1 - s]
            return total

        return _store(found, lax.fori_loop(0, k + 1, add, none), k * BLOCK)

    blocks = jnp.minimum(limit, length - 1) // BLOCK + 1
    return [lax.fori_loop(0, blocks, block, jnp.zeros((size, *none.shape[1:]), none.dtype))[:length]]


def recurrence(
    limit: Array, *operands: Array, recurrence: Recurrence, order: int, counts: tuple[int, int, int]
) -> list[Array]:
    """Every unknown series of a recurrence, each [order + 1, …], right up to order ``limit``.

    Args:
        limit: the order at run time, at most ``order``, an int32.
        operands: the coefficients of order 0 of the unknown series, all of one shape; the known series, each
            [orders, …] with at most order + 1 coefficients; arrays that the step receives at every order.
        recurrence: its equations.
        order: of the last coefficient.
        counts: how many operands there are of each of the three kinds.
    """
    unknowns, knowns, _ = counts
    first, known, constants = (
        operands[:unknowns],
        operands[unknowns : unknowns + knowns],
        operands[unknowns + knowns :],
    )
    starts = [*first, *(terms[0] for terms in known)]
    dtype, shape = jnp.result_type(*starts), first[0].shape
    # The row of order n is STRIP + n, and that of order 0 is zero like those before it: sums leave out their ends.
    rows = STRIP + order + 1 + STRIP
    tables = [_rows(terms[1:].astype(dtype), STRIP + 1, rows) for terms in known]
    lengths = [*(max(order, SHORT) + 1 for _ in first), *map(len, known)]  # unknown series are never short
    pairs = [(min(pair), max(pair)) for pair in recurrence.pairs]  # an unknown series first
    long = [p for p, pair in enumerate(pairs) if min(lengths[i] for i in pair) > SHORT]

    def add_order(n: Array, state: tuple[list[Array], list[Array]]) -> tuple[list[Array], list[Array]]:
        """Stores the coefficients of order n − 1 and computes those of n.

        Stored one pass late, they are read after the write only, which needs no copy of the table.
        """
        found = [_store(table, x[None], STRIP + n - 1) for table, x in zip(*state, strict=True)]
        series = [*found, *tables]

        def add_strip(i: Array, totals: list[Array]) -> list[Array]:
            return [
                _add_products(
                    total, _slice(series[a], i * STRIP + STRIP + 1, STRIP), _slice(series[b], n - i * STRIP, STRIP)
                )
                for total, (a, b) in zip(totals, (pairs[p] for p in long), strict=True)
            ]

        strips = (n + STRIP - 2) // STRIP  # beyond j = n − 1 the unknown series has zeros
        totals = lax.fori_loop(0, strips, add_strip, [jnp.zeros(shape, dtype) for _ in long]) if long else []
        sums = dict(zip(long, totals, strict=True))

        def sum_of_few(a: int, b: int) -> Array:
            few, other = sorted((a, b), key=lambda i: lengths[i])
            total = jnp.zeros(shape, dtype)
            for j in range(1, lengths[few]):
                total += known[few - unknowns][j] * _row(series[other], STRIP + n - j)
            return total

        each = [sums[p] if p in sums else sum_of_few(*pair) for p, pair in enumerate(pairs)]
        at_n = [_row(table, STRIP + n).astype(terms.dtype) for table, terms in zip(tables, known, strict=True)]
        latest = recurrence.step(n.astype(jnp.finfo(dtype).dtype), each, starts, [*at_n, *constants])
        return found, [x.astype(dtype) for x in latest]

    empty = [jnp.zeros((rows, *shape), dtype) for _ in first]
    found, _ = lax.fori_loop(1, limit + 2, add_order, (empty, [jnp.zeros(shape, dtype) for _ in first]))
    return [
        jnp.concatenate([start.astype(dtype)[None], table[STRIP + 1 : STRIP + 1 + order]])
        for start, table in zip(first, found, strict=True)
    ]


def _rows(terms: Array, before: int, total: int) -> Array:
    """``terms`` [orders, …] with rows of zeros before and after, [total, …]."""
    return jnp.pad(terms, [(before, total - before - len(terms))] + [(0, 0)] * (terms.ndim - 1))


def _start(x: Array, row: Array) -> list[Any]:
    return [row.astype(np.int32), *[np.int32(0)] * (x.ndim - 1)]


def _slice(x: Array, row: Array, size: int) -> Array:
    """``size`` rows from ``row`` on, which is never negative."""
    return lax.dynamic_slice(x, _start(x, row), (size, *x.shape[1:]), allow_negative_indices=False)


def _row(x: Array, row: Array) -> Array:
    return _slice(x, row, 1)[0]


def _store(x: Array, rows: Array, row: Array) -> Array:
    return lax.dynamic_update_slice(x, rows, _start(x, row), allow_negative_indices=False)


def _add_products(total: Array, a: Array, b: Array) -> Array:
    """``total`` […] and Σ_s a_s b_{STRIP − 1 − s}, for a and b [STRIP, …]."""
    for s in range(STRIP):
        total = total + a[s] * b[STRIP - 1 - s]
    return total
