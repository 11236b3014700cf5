"""The entry: from a function to its Taylor coefficients along a line."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxbatch.large_constants import lifted
from jaxbatch.series.arithmetic import Arithmetic
from jaxbatch.series.chunks import in_chunks
from jaxbatch.series.data_dependent_loops import has_data_dependent_loop
from jaxbatch.series.expansion import Expansion
from jaxbatch.series.interpreter import MissingRule, interpret
from jaxbatch.series.looped import Looped
from jaxbatch.series.materialized import materialized
from jaxbatch.series.nested_jvp import highest_order, nested_jvp
from jaxbatch.series.scaling import PROBE_ORDER, scale_exponent, times_power_of_two
from jaxbatch.series.unrolled import Unrolled
from jaxbatch.series.unrolled_cost import count_products

UNROLLED_ALWAYS = 3
"""Up to this order every program is unrolled."""

UNROLLED_PRODUCTS = 1500
"""Above that order, a program is unrolled if at most this many products of two numbers are written out.

That many compile in 1.5 s.
"""

UNROLLED_ORDER = 16
"""Above this order only a program of a single product is unrolled: others would compile for too long, …"""

UNROLLED_LONGEST = 32
"""… and above this order none."""

UNROLLED_PROBE_PRODUCTS = 3
"""The scale of a program of at most this many products is found by unrolled code: looping twice took twice as long."""

UNSCALED_ORDER = 16
"""Above this order t is scaled: 16! is within the exponents of float32, and finding a scale takes time."""


REMEDY = "Use other functions, add a rule with jaxbatch.series.register_rule (docs/taylor-mode.md), or lower"
"""What to do about a :class:`SeriesError`; the name of the setting to lower is appended."""


class SeriesError(Exception):
    """The series of a function cannot be computed to the order asked for."""


def taylor(function: Callable[..., Any]) -> Callable[..., Any]:
    """The Taylor coefficients of a function along a line.

    ``taylor(f)(center, direction, order, *fixed)`` gives c_n = (d/dt)ⁿ ``f(center + t·direction, *fixed)``/n! at t = 0
    for n = 0 … order, on a trailing axis of every result of ``f``. See :func:`expand` for arguments, errors and method.
    """

    def coefficients(center: Any, direction: Any, order: int, *fixed: Any) -> Any:
        return expand(function, center, direction, order, *fixed).coefficients()

    return coefficients


def expand(function: Callable[..., Any], center: Any, direction: Any, order: int, *fixed: Any) -> Expansion:
    """The expansion of t ↦ ``function(center + t·direction, *fixed)``.

    Args:
        function: JAX code; its results may be any pytree of arrays.
        center: the point of expansion, a pytree of arrays; integers become floats.
        direction: the direction of the line, of the shapes of ``center``; ones for a function of one number.
        order: the order of the last coefficient, 0 or more.
        fixed: further arguments of ``function``, which do not depend on t.

    Returns:
        An :class:`Expansion` with arrays […, order + 1] for each result, of the dtype of the results.

    Raises:
        SeriesError: a primitive has no series rule, and ``order`` is above 4 or above what JAX itself differentiates.
        ValueError: the order is negative, or ``direction`` is not shaped like ``center``.

    The program of the function is run on truncated power series (Griewank and Walther, *Evaluating Derivatives*,
    2nd ed., §13.2; docs/taylor-mode.md has every recurrence). Short programs at low orders are unrolled; others loop
    over the order, and in them t is scaled by a power of two found from the first coefficients.
    """
    if order < 0:
        raise ValueError(f"order is {order}, and must be 0 or more")
    centers, structure = jax.tree.flatten(jax.tree.map(_floating, center))
    directions = [jnp.asarray(v, c.dtype) for c, v in zip(centers, structure.flatten_up_to(direction), strict=True)]
    for c, v in zip(centers, directions, strict=True):
        if c.shape != v.shape:
            raise ValueError(f"the direction has the shape {v.shape} and the center {c.shape}")
    fixed_leaves, fixed_structure = jax.tree.flatten(fixed)
    results: list[Any] = []

    def flat(leaves: Sequence[Any], others: Sequence[Any]) -> list[Array]:
        found, results_structure = jax.tree.flatten(
            function(structure.unflatten(leaves), *fixed_structure.unflatten(others))
        )
        results[:] = [results_structure]
        return [_floating(x) for x in found]

    program = lifted(jax.make_jaxpr(flat)(centers, fixed_leaves), differentiated=True)
    depends = [i < len(centers) for i in range(len(centers) + len(fixed_leaves))]
    products = count_products(program.jaxpr, depends)
    highest = UNROLLED_LONGEST if products <= 1 else UNROLLED_ORDER
    unrolled = order <= UNROLLED_ALWAYS or (order <= highest and products * order * order / 2 <= UNROLLED_PRODUCTS)
    compute = partial(_compute, flat, program, order, unrolled, products <= UNROLLED_PROBE_PRODUCTS)
    stacks, exponent = in_chunks(compute, program, order, looped=not unrolled)(
        program.consts, centers, directions, fixed_leaves
    )
    return Expansion(results[0].unflatten([jnp.moveaxis(x, 0, -1) for x in stacks]), exponent)


def _floating(x: Any) -> Array:
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.result_type(float))


def _compute(
    flat: Callable[..., list[Array]],
    program: Any,
    order: int,
    unrolled: bool,
    unrolled_probe: bool,
    consts: Sequence[Any],
    centers: Sequence[Any],
    directions: Sequence[Any],
    fixed: Sequence[Any],
) -> tuple[list[Array], Array | None]:
    """The coefficients of every result, [order + 1, …], and the exponent of the scale of t; None for no scale."""

    def run(arithmetic: Arithmetic, exponent: Any) -> list[Array]:
        scaled = [v if exponent is None else times_power_of_two(v, exponent) for v in directions]
        variables = [arithmetic.variable(c, v) for c, v in zip(centers, scaled, strict=True)]
        found = interpret(arithmetic, program.jaxpr, consts, [*variables, *fixed])
        return [arithmetic.stack(arithmetic.series(x)) for x in found]

    try:
        if order <= UNSCALED_ORDER:
            return run(Unrolled(order) if unrolled else Looped(order), None), None

        if unrolled or unrolled_probe:
            exponent = scale_exponent(run(Unrolled(PROBE_ORDER), None), order)
            if not unrolled:
                return run(Looped(order), exponent), exponent
            # Fused with what reads them, the scale and the coefficients would be computed again for each reader.
            exponent = materialized(exponent)
            return materialized(run(Unrolled(order), exponent)), exponent

        def scaled(exponent: Array, limit: Array) -> tuple[Array, list[Array]]:
            found = run(Looped(order, limit), exponent)
            return lax.select(limit < order, scale_exponent(found, order), exponent), found

        exponent, stacks = lax.scan(scaled, jnp.zeros((), jnp.int32), jnp.array([PROBE_ORDER, order]))
        return [x[-1] for x in stacks], exponent
    except MissingRule as error:

        def along(t: Array) -> list[Array]:
            return flat([c + t.astype(c.dtype) * v for c, v in zip(centers, directions, strict=True)], fixed)

        kind = jnp.finfo(jnp.result_type(*centers)).dtype
        reason = error.reason.splitlines()[:1]
        nestable = error.nestable
        if has_data_dependent_loop(program.jaxpr, [True] * len(centers) + [False] * len(fixed)):
            nestable, reason = False, [*reason, "and the number of passes of a while loop depends on the value"]
        highest = highest_order(along, kind) if nestable else 0
        if order <= highest:
            return nested_jvp(along, order, kind), None
        because = f" ({'; '.join(reason)})" if reason else ""
        raise SeriesError(
            f"order {order} needs a series rule for '{error.primitive}', at {error.place}{because}; "
            f"without one the highest order is {highest}"
        ) from error
