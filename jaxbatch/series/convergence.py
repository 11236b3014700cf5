"""While loops whose condition depends on t: where the value converges, its coefficients converge some passes later."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from jaxbatch.series.arithmetic import Arithmetic, Series, Value

MAX_PASSES = 10_000
"""Coefficients that have not converged this many passes after the loop's own end count as diverging."""

FIXED_POINT_TOLERANCE = 1e-3
"""At a fixed point no further pass moves a value by more than this fraction of the largest size it has had."""

CONVERGED_ULPS = 64
"""Coefficients have converged when a pass changes them by at most this many units in their last place."""

STALLED_PASSES = 32
"""They have converged too when a pass changes them by at most eps^0.75 and this many passes in a row brought no smaller
change."""

FROZEN_ULPS = 4
"""A coefficient keeps its value when it and all of lower order change by at most this many units in their last place.

One that swung by a unit for ever would make those above it swing by more with each order.
"""

Table = Float[Array, "orders size"]
"""The coefficients of one carried series, its values flattened."""


class _State(NamedTuple):
    carry: list[Value]
    ended: list[Value]
    """The carry when the loop's own condition ended it."""
    peaks: list[Array]
    """The largest finite absolute value that each carried series has had."""
    passes: Array
    """The number of passes after that end, int32."""
    smallest: Array
    """The smallest change of a pass after that end, as of :func:`_changes`."""
    stalled: Array
    """The number of passes since that smallest change, int32."""
    converged: Array
    """Whether the loop is at a fixed point and its coefficients no longer change."""
    departed: Array
    """Whether the values moved on after the end, so that the loop is at no fixed point."""


def while_until_converged(
    arithmetic: Arithmetic,
    condition: Callable[[list[Value]], Array],
    step: Callable[[list[Value]], list[Value]],
    start: list[Value],
) -> list[Value]:
    """A while loop whose condition depends on t, run until its coefficients have converged too.

    When the condition ends it, the loop is at a fixed point or it is not, and further passes show which. At a fixed
    point, as in Newton's method, they leave the values alone and make more coefficients right: passes go on until no
    coefficient changes, and the coefficients are NaN if they never converge. Elsewhere the values depart. Then the loop
    was only counting, the number of passes is the same all around the point, and the coefficients at its own end are
    right. Values, and whatever does not depend on t, are always those at that end.

    Args:
        arithmetic: of the series.
        condition: of the carried values, to a boolean; it reads coefficients of order 0 only.
        step: one pass, from carried values to the next ones.
        start: the carried values, at least one of them a series; every series dense.

    Returns:
        The carried values at the end, every series dense.
    """

    def body(state: _State) -> _State:
        running = condition(state.carry) & (state.passes == 0)
        after = step(state.carry)
        peaks = [jnp.maximum(p, _finite_size(x)) for p, x in zip(state.peaks, _tables(arithmetic, after), strict=True)]
        changes = _changes(_tables(arithmetic, state.carry), _tables(arithmetic, after), peaks)
        change, eps = jnp.max(changes), jnp.finfo(changes.dtype).eps
        closer = running | (change < state.smallest)
        stalled = jnp.where(closer, 0, state.stalled + 1)
        moved = [
            jnp.max(jnp.abs(now[0] - end[0]), initial=0) > FIXED_POINT_TOLERANCE * peak
            for now, end, peak in zip(_tables(arithmetic, after), _tables(arithmetic, state.ended), peaks, strict=True)
        ]
        after = _select(running, after, _frozen(arithmetic, changes <= FROZEN_ULPS * eps, state.carry, after))
        return _State(
            carry=after,
            ended=_select(running, after, state.ended),
            peaks=peaks,
            passes=jnp.where(running, 0, state.passes + 1),
            smallest=jnp.where(running, jnp.inf, jnp.where(closer, change, state.smallest)),
            stalled=stalled,
            converged=~running
            & ((change <= CONVERGED_ULPS * eps) | ((change <= eps**0.75) & (stalled >= STALLED_PASSES))),
            departed=~running & jnp.any(jnp.stack([*moved, ~jnp.isfinite(change)])),
        )

    def is_running(state: _State) -> Array:
        return ~state.converged & ~state.departed & (state.passes < MAX_PASSES)

    zero, no = jnp.zeros((), jnp.int32), jnp.zeros((), bool)
    peaks = [_finite_size(x) for x in _tables(arithmetic, start)]
    unknown = jnp.full_like(peaks[0], jnp.inf)
    state = lax.while_loop(is_running, body, _State(start, start, peaks, zero, unknown, zero, no, no))

    def result(end: Value, carry: Value) -> Value:
        if not isinstance(carry, Series):
            return end
        further = jnp.where(state.converged, arithmetic.stack(carry), jnp.nan)
        terms = arithmetic.unstack(jnp.where(state.departed, arithmetic.stack(end), further))
        return arithmetic.dense(arithmetic.with_value(terms, arithmetic.value(end)))

    return [result(end, carry) for end, carry in zip(state.ended, state.carry, strict=True)]


def _tables(arithmetic: Arithmetic, carry: list[Value]) -> list[Table]:
    return [arithmetic.stack(x).reshape(arithmetic.order + 1, -1) for x in carry if isinstance(x, Series)]


def _finite_size(table: Table) -> Array:
    size = jnp.abs(table[0])
    return jnp.max(jnp.where(jnp.isfinite(size), size, 0), initial=0)


def _changes(before: Sequence[Table], after: Sequence[Table], peaks: Sequence[Array]) -> Float[Array, "orders"]:
    """How much a pass changed the coefficients of each order: the largest relative change of any carried series.

    A change at order n is relative to P·R^n, where P is the largest value the series has had and R the smallest number
    for which no coefficient of any series is above P·R^n. So 1/R is an estimate of the radius of convergence.
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


def _frozen(arithmetic: Arithmetic, unchanged: Array, before: list[Value], after: list[Value]) -> list[Value]:
    """``after``, with the coefficients of ``before`` up to the first order that changes; see :data:`FROZEN_ULPS`."""
    kept = jnp.cumprod(unchanged).astype(bool)

    def merged(old: Value, new: Value) -> Value:
        if not isinstance(new, Series):
            return new
        terms = arithmetic.stack(new)
        return arithmetic.unstack(jnp.where(kept.reshape(-1, *(1,) * (terms.ndim - 1)), arithmetic.stack(old), terms))

    return [merged(old, new) for old, new in zip(before, after, strict=True)]
