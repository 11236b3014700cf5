"""Loops that end when a value has converged: their coefficients converge later."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from jaxbatch.series.arithmetic import Arithmetic, Series, Value

PASSES = 10_000
"""More passes than these after the loop's own end, and the coefficients count as diverging."""

AT_REST = 1e-3
"""At a fixed point no further pass moves a value by more than this share of the largest it has had."""

SETTLED = 64
"""Coefficients have settled when a pass changes them by at most so many units in their last place …"""

STALLED = 32
"""… or by not much more, and by no less in so many passes."""

FROZEN = 4
"""A coefficient that changes by at most so many units, and all below it too, is left as it was.

One that swung by a unit for ever would make those above it swing by more with each order.
"""

Table = Float[Array, "orders size"]


class _State(NamedTuple):
    carry: list[Value]
    ended: list[Value]
    """What the loop carried when its own condition ended it."""
    peaks: list[Array]
    """The largest finite size that the value of each carried series has had."""
    passes: Array
    """After that end."""
    smallest: Array
    """The smallest change of a pass after that end."""
    stalled: Array
    """Passes since that one."""
    settled: Array
    departed: Array


def until_settled(
    arithmetic: Arithmetic,
    goes_on: Callable[[list[Value]], Array],
    step: Callable[[list[Value]], list[Value]],
    start: list[Value],
) -> list[Value]:
    """A while loop whose condition depends on t.

    When the condition ends it, the loop is at a fixed point or it is not, and further passes tell. At one, as in
    Newton's method, they leave the values and make more coefficients right: they go on until none changes, and the
    coefficients are NaN if they never settle. Elsewhere the values depart; then the loop was only counting, the number
    of passes is the same all around the point, and the coefficients of its own end are right. Values, and whatever does
    not depend on t, are those of that end.
    """

    def body(state: _State) -> _State:
        running = goes_on(state.carry) & (state.passes == 0)
        after = step(state.carry)
        peaks = [jnp.maximum(p, _finite_size(x)) for p, x in zip(state.peaks, _tables(arithmetic, after), strict=True)]
        changes = _changes(_tables(arithmetic, state.carry), _tables(arithmetic, after), peaks)
        change, eps = jnp.max(changes), jnp.finfo(changes.dtype).eps
        closer = running | (change < state.smallest)
        stalled = jnp.where(closer, 0, state.stalled + 1)
        moved = [
            jnp.max(jnp.abs(now[0] - end[0]), initial=0) > AT_REST * peak
            for now, end, peak in zip(_tables(arithmetic, after), _tables(arithmetic, state.ended), peaks, strict=True)
        ]
        after = _select(running, after, _frozen(arithmetic, changes <= FROZEN * eps, state.carry, after))
        return _State(
            carry=after,
            ended=_select(running, after, state.ended),
            peaks=peaks,
            passes=jnp.where(running, 0, state.passes + 1),
            smallest=jnp.where(running, jnp.inf, jnp.where(closer, change, state.smallest)),
            stalled=stalled,
            settled=~running & ((change <= SETTLED * eps) | ((change <= eps**0.75) & (stalled >= STALLED))),
            departed=~running & jnp.any(jnp.stack([*moved, ~jnp.isfinite(change)])),
        )

    def unfinished(state: _State) -> Array:
        return ~state.settled & ~state.departed & (state.passes < PASSES)

    zero, no = jnp.zeros((), jnp.int32), jnp.zeros((), bool)
    peaks = [_finite_size(x) for x in _tables(arithmetic, start)]
    unknown = jnp.full_like(peaks[0], jnp.inf)
    state = lax.while_loop(unfinished, body, _State(start, start, peaks, zero, unknown, zero, no, no))

    def result(end: Value, carry: Value) -> Value:
        if not isinstance(carry, Series):
            return end
        further = jnp.where(state.settled, arithmetic.stack(carry), jnp.nan)
        terms = arithmetic.unstack(jnp.where(state.departed, arithmetic.stack(end), further))
        return arithmetic.dense(arithmetic.with_value(terms, arithmetic.value(end)))

    return [result(end, carry) for end, carry in zip(state.ended, state.carry, strict=True)]


def _tables(arithmetic: Arithmetic, carry: list[Value]) -> list[Table]:
    return [arithmetic.stack(x).reshape(arithmetic.order + 1, -1) for x in carry if isinstance(x, Series)]


def _finite_size(table: Table) -> Array:
    size = jnp.abs(table[0])
    return jnp.max(jnp.where(jnp.isfinite(size), size, 0), initial=0)


def _changes(before: Sequence[Table], after: Sequence[Table], peaks: Sequence[Array]) -> Float[Array, "orders"]:
    """By how much a pass changed the coefficients of each order, the most of any carried series.

    A change of order n is measured against P·R^n, where P is the largest value the series has had and R the smallest
    number for which no coefficient of any series is above that: so at the radius of convergence.
    """
    orders = jnp.arange(len(after[0]), dtype=peaks[0].dtype)
    floors = [jnp.maximum(peak, jnp.finfo(peak.dtype).tiny) for peak in peaks]
    sizes = [jnp.max(jnp.abs(x), axis=1, initial=0) / floor for x, floor in zip(after, floors, strict=True)]
    growth = jnp.max(jnp.stack([jnp.max(size[1:] ** (1 / orders[1:])) for size in sizes]))
    bound = jnp.maximum(growth**orders, jnp.finfo(growth.dtype).tiny)
    moved = [
        jnp.max(jnp.abs(new - old), axis=1, initial=0) / floor
        for old, new, floor in zip(before, after, floors, strict=True)
    ]
    return jnp.max(jnp.stack(moved), axis=0) / bound


def _select(which: Array, yes: list[Value], no: list[Value]) -> list[Value]:
    return jax.tree.map(lambda a, b: jnp.where(which, a, b), yes, no)


def _frozen(arithmetic: Arithmetic, at_rest: Array, before: list[Value], after: list[Value]) -> list[Value]:
    """``after``, with the coefficients of ``before`` up to the first order that is not at rest; see :data:`FROZEN`."""
    kept = jnp.cumprod(at_rest).astype(bool)

    def merged(old: Value, new: Value) -> Value:
        if not isinstance(new, Series):
            return new
        terms = arithmetic.stack(new)
        return arithmetic.unstack(jnp.where(kept.reshape(-1, *(1,) * (terms.ndim - 1)), arithmetic.stack(old), terms))

    return [merged(old, new) for old, new in zip(before, after, strict=True)]
