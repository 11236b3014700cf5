"""Loops that end when a value has converged: their coefficients converge later."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxbatch.series.arithmetic import Arithmetic, Series, Value

PASSES = 10_000
"""More passes than these after the loop's own end, and the coefficients count as diverging."""

AT_REST = 1e-3
"""A pass that changes no value by more than this share found a fixed point; one that does was only counting."""

SETTLED = 64
"""Coefficients have settled when a pass changes them by at most so many units in their last place."""


class _State(NamedTuple):
    carry: list[Value]
    ended: list[Value]
    """What the loop carried when its own condition ended it."""
    passes: Array
    """After that end."""
    moving: Array
    done: Array


def until_settled(
    arithmetic: Arithmetic,
    goes_on: Callable[[list[Value]], Array],
    step: Callable[[list[Value]], list[Value]],
    start: list[Value],
) -> list[Value]:
    """A while loop whose condition depends on t.

    When the condition ends it, the loop is at a fixed point or it is not. At one, as in Newton's method, each further
    pass makes more coefficients right: passes go on until none changes, and the coefficients are NaN if they never
    settle. Elsewhere the number of passes is the same all around the point, and the coefficients are right already.
    Values, and whatever does not depend on t, are those of the loop's own end.
    """

    def body(state: _State) -> _State:
        running = goes_on(state.carry) & (state.passes == 0)
        after = step(state.carry)
        at_fixed_point, settled, finite = _compare(arithmetic, state.carry, after)
        first = ~running & (state.passes == 0)
        stop = ~running & jnp.where(first & ~at_fixed_point, True, settled | ~finite | (state.passes >= PASSES))
        keep = ~running & first & ~at_fixed_point
        return _State(
            _select(keep, state.carry, after),
            _select(running, after, state.ended),
            jnp.where(running, 0, state.passes + 1),
            ~running & ~settled & ~keep,
            stop,
        )

    no = jnp.zeros((), bool)
    state = lax.while_loop(lambda s: ~s.done, body, _State(start, start, jnp.zeros((), jnp.int32), no, no))

    def result(end: Value, carry: Value) -> Value:
        if not isinstance(carry, Series):
            return end
        terms = arithmetic.stack(carry)
        terms = jnp.where(state.moving, jnp.nan, terms)
        return arithmetic.dense(arithmetic.with_value(arithmetic.unstack(terms), arithmetic.value(end)))

    return [result(end, carry) for end, carry in zip(state.ended, state.carry, strict=True)]


def _select(which: Array, yes: list[Value], no: list[Value]) -> list[Value]:
    return jax.tree.map(lambda a, b: jnp.where(which, a, b), yes, no)


def _compare(arithmetic: Arithmetic, before: list[Value], after: list[Value]) -> tuple[Array, Array, Array]:
    """Whether a pass left the values at rest; whether it left all coefficients where they were; whether all are finite.

    A change of order n is measured against C·R^n, where C is the largest value and R the smallest number for which
    every coefficient is below that: so at the radius of convergence.
    """
    old, new = (
        jnp.concatenate(
            [arithmetic.stack(x).reshape(arithmetic.order + 1, -1) for x in carry if isinstance(x, Series)], axis=1
        )
        for carry in (before, after)
    )
    change, size = jnp.max(jnp.abs(new - old), axis=1), jnp.max(jnp.abs(new), axis=1)
    largest = jnp.maximum(size[0], jnp.finfo(size.dtype).tiny)
    order = jnp.maximum(arithmetic.ramp(size.dtype), 1)
    growth = jnp.max(jnp.where(jnp.arange(len(size)) > 0, (size / largest) ** (1 / order), 0))
    bound = largest * growth ** arithmetic.ramp(size.dtype)
    settled = jnp.all(change <= SETTLED * jnp.finfo(size.dtype).eps * bound)
    return change[0] <= AT_REST * largest, settled, jnp.all(jnp.isfinite(change))
