"""A function's value and derivatives at each point."""

import itertools
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core.primitives import custom_vjp_call_p

from jaxbatch import series
from jaxbatch.columns import Column, Maybe, Status
from jaxbatch.errors import JobError, nearest
from jaxbatch.jaxpr_walk import uses
from jaxbatch.kernels.base import Kernel, Row
from jaxbatch.kernels.bind_context import BindContext
from jaxbatch.kernels.bound_functions import FUNCTION, Choice, ScalarFunction, argument, choose, references
from jaxbatch.series import stable_derivatives

ORDER = "order"

SERIES_FROM = 3
"""The lowest total order at which a repeated argument is expanded in a series."""

MAX_ORDER = 1000
"""The highest order: long before it, derivatives leave the range of float64."""

REVERSE_FROM = 5
"""The least count of differentiated numbers for which the gradient is taken in reverse mode."""


@dataclass(frozen=True)
class Derivatives(Kernel):
    """A function's value and derivatives at each point.

    One differentiated number gives ``value`` and ``d1`` … ``d<order>``; several, or vectors, give ``value``,
    ``d_<arg>`` and at order 2 ``d_<arg>_<arg>`` (upper triangle, arguments in the function's order).

    Inputs: one column per argument, named as the argument, of numbers or of lists of one length; optionally
    an integer column ``order``, a row's own order; with ``functions`` a string column ``function``. With
    ``[compute] seed`` the argument ``key`` is the row's random key, the same for all its derivatives. Where the files
    have a column named as an argument with a default, or ``order``, the job says whether it is meant:
    ``[input] columns = { order = "order" }`` takes it, ``defaults = ["order"]`` leaves it.
    """

    function: str | None = None
    """The function: "package.module:name" or "file.py:name"."""
    functions: dict[str, str] | None = None
    """Instead of function: several by name; the column function picks one per row."""
    order: int = 1
    """The highest order."""
    wrt: list[str] | None = None
    """The arguments to differentiate in; by default every one that has a column."""
    partials: list[str] | None = None
    """Just these derivatives, each as "arg,arg,…", instead of all up to the order."""

    @property
    def references(self) -> tuple[str, ...]:
        """See :attr:`Kernel.references`."""
        return references(self.function, self.functions)

    def bind(self, context: BindContext) -> Kernel:
        """See :meth:`Kernel.bind`."""
        if not 0 <= self.order <= MAX_ORDER:
            raise JobError(f"[params] order is {self.order}.", f"Use 0 to {MAX_ORDER}.")
        highest = (
            self.order
            if self.partials is None
            else max((partial.count(",") + 1 for partial in self.partials), default=0)
        )
        chosen = choose(self.function, self.functions, context, optional={ORDER: highest})
        first = chosen.first
        numbers = tuple(name for name in first.columns if not context.is_random_key(name))
        wrt = numbers if self.wrt is None else tuple(self.wrt)
        for each in chosen.functions:
            for name in filter(context.is_random_key, wrt):
                raise JobError(f"[params] wrt: '{name}' is the row's random key, not a number.", nearest(name, numbers))
            unknown = [name for name in wrt if name not in each.arguments]
            if unknown or not wrt:
                raise JobError(
                    f"[params] wrt: '{each.reference}' has no argument '{''.join(unknown[:1])}' to differentiate in.",
                    nearest("".join(unknown[:1]), list(each.arguments)),
                )
        wrt = tuple(sorted(set(wrt), key=first.arguments.index))
        arguments = tuple(argument(name, context) for name in first.columns)
        dtype = jnp.dtype(context.precision)
        fixed = tuple(
            {name: _as_number(each.constants[name], name, dtype) for name in wrt if name in each.constants}
            for each in chosen.functions
        )
        shapes = {column.name: column.sized({}) for column in arguments if column.name in numbers}
        shapes |= {name: value.shape for name, value in fixed[0].items()}
        one_number = wrt[0] if len(wrt) == 1 and shapes[wrt[0]] == () and self.partials is None else None
        paths = self._paths(wrt, first.arguments, shapes)
        per_row = tuple(Column(name, "int") for name in chosen.supplied)
        for column in (*per_row, *chosen.column):
            context.require_input(column)
        if one_number:
            outputs = tuple(Column(f"d{k}") for k in range(1, self.order + 1))
        else:
            outputs = tuple(
                Column("_".join(("d", *path)), shape=sum((shapes[name] for name in path), ())) for path in paths
            )
        return _BoundDerivatives(
            inputs=(*arguments, *per_row, *chosen.column),
            outputs=(Column("value"), *outputs),
            buckets=len(chosen.functions),
            chosen=chosen,
            functions=tuple(ScalarFunction(function, dtype) for function in chosen.functions),
            constants=fixed,
            one_number=one_number,
            paths=paths,
            highest=highest,
        )

    def _paths(
        self, wrt: tuple[str, ...], arguments: tuple[str, ...], shapes: Mapping[str, tuple[int, ...]]
    ) -> tuple[tuple[str, ...], ...]:
        """The derivatives to compute, each as the arguments that it is taken in, one after the other."""
        if self.partials is not None:
            paths = tuple(tuple(name.strip() for name in partial.split(",")) for partial in self.partials)
            for path in paths:
                for name in path:
                    if name not in wrt:
                        raise JobError(
                            f"[params] partials: '{','.join(path)}' names '{name}', which is not in wrt.",
                            nearest(name, [n for n in arguments if n in shapes]),
                        )
            longest = max(map(len, paths), default=0)
            if longest > MAX_ORDER:
                raise JobError(
                    f"[params] partials has a derivative of order {longest}.", f"The highest order is {MAX_ORDER}."
                )
            if len(set(paths)) < len(paths):
                raise JobError("[params] partials names a derivative twice.", "Name each once.")
            return paths
        one_number = len(wrt) == 1 and not shapes[next(iter(wrt))]
        if self.order > 2 and not one_number:
            raise JobError(
                f"[params] order = {self.order} with {len(wrt)} differentiated arguments: all derivatives "
                "are given up to order 2.",
                'List the higher ones you need: partials = ["a,a,b"].',
            )
        return tuple(
            path for k in range(1, min(self.order, 2) + 1) for path in itertools.combinations_with_replacement(wrt, k)
        )


def _as_number(value: Any, name: str, dtype: Any) -> jax.Array:
    try:
        number = np.asarray(value)
    except ValueError:
        number = np.asarray(None)
    if number.dtype.kind not in "biuf":
        raise JobError(f"[params] wrt: the argument '{name}' is {value!r}, not a number.", "Leave it out.")
    return jnp.asarray(number.astype(dtype))


@dataclass(frozen=True, kw_only=True)
class _BoundDerivatives(Kernel):
    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    buckets: int
    chosen: Choice
    functions: tuple[ScalarFunction, ...]
    constants: tuple[Mapping[str, jax.Array], ...]
    """For each function, the constants that are differentiated in."""
    one_number: str | None
    paths: tuple[tuple[str, ...], ...]
    highest: int

    def bucket(self, columns: Mapping[str, Any]) -> Any:
        return columns[FUNCTION] if self.chosen.names else 0

    def describe_bucket(self, bucket: int) -> str:
        return self.chosen.functions[bucket].reference

    def program(self, bucket: int) -> Row:
        function, constants = self.functions[bucket], self.constants[bucket]

        def row(**columns: Any) -> dict[str, Any]:
            order = columns[ORDER] if ORDER in self.chosen.supplied else self.highest
            results = derivatives({**constants, **{name: columns[name] for name in self.chosen.first.columns}})
            valid = (order >= 0) & (order <= self.highest)
            present = {name: Maybe(value, order >= k) for name, (k, value) in results.items()}
            return {**present, "status": jnp.where(valid, Status.ok, Status.invalid_input)}

        def derivatives(values: Mapping[str, Any]) -> dict[str, tuple[int, Any]]:
            if self.one_number:
                return _one_number(function, values, self.one_number, self.highest)
            return _mixed(function, values, self.paths)

        return row


def _one_number(
    function: ScalarFunction, values: Mapping[str, Any], name: str, order: int
) -> dict[str, tuple[int, Any]]:
    terms = _along(function, values, name, order)
    return {"value": (0, terms[0])} | {f"d{k}": (k, terms[k]) for k in range(1, order + 1)}


def _along(function: ScalarFunction, values: Mapping[str, Any], name: str, order: int) -> Any:
    """The derivatives of orders 0 … ``order`` in the argument ``name``, one number; of shape [order + 1]."""
    center = values[name]
    others = {n: value for n, value in values.items() if n != name}

    def at(x: Any, others: Mapping[str, Any]) -> Any:
        return function({**others, name: x})

    try:
        return series.expand(at, center, jnp.ones_like(center), order, others).derivatives()
    except series.SeriesError as error:
        raise JobError(f"'{function.function.reference}': {error}.", series.REMEDY + " [params] order.") from error


def _mixed(
    function: ScalarFunction, values: Mapping[str, Any], paths: tuple[tuple[str, ...], ...]
) -> dict[str, tuple[int, Any]]:
    """Every derivative of ``paths``; ``d_a_b`` has the shape of ``a`` followed by that of ``b``.

    If a derivative's total order is ``SERIES_FROM`` or more and it is taken in one number more than once, the part
    in that number is the coefficient of a series, and the other arguments are nested around it.

    Before each derivative is taken, functions whose rules in JAX lose digits are replaced by exact ones: a rule of the
    user's may have brought new ones in. Forward mode cannot pass a ``custom_vjp``: if there is one, the first
    derivative is taken in reverse mode, in all arguments of the path at once, and the others around it.
    """
    results = {"value": (0, function(values))}
    program = jax.make_jaxpr(function)(values)
    forward = not uses(program, custom_vjp_call_p)
    exactly = stable_derivatives.with_stable_derivatives if stable_derivatives.needs_rewriting(program) else _unchanged
    numbers = sum(jnp.size(values[name]) for name in {name for path in paths for name in path})

    def derivative(path: tuple[str, ...], among: frozenset[str]) -> Callable[[Mapping[str, Any]], Any]:
        if not path:
            return function
        often = max(path, key=path.count)
        numbers_only = all(jnp.shape(values[name]) == () for name in path)
        repeated = len(path) >= SERIES_FROM and path.count(often) > 1
        if repeated and numbers_only and (forward or len(set(path)) == 1):
            rest = [name for name in path if name != often]
            return _nested_around(lambda at: _along(function, at, often, path.count(often))[-1], rest, exactly)
        *inner, last = path
        before = derivative(tuple(inner), among)
        reverse = not inner and (numbers >= REVERSE_FROM or not forward)

        def after(at: Mapping[str, Any]) -> Any:
            alone = exactly(lambda x: before({**at, last: x}))
            if reverse:
                chosen = {name: at[name] for name in ({last} if forward else among)}
                with suppress(ValueError):  # a while loop has no reverse mode
                    return jax.jacrev(exactly(lambda chosen: before({**at, **chosen})))(chosen)[last]
            return _slope(alone, at[last]) if jnp.shape(at[last]) == () else jax.jacfwd(alone)(at[last])

        return after

    for path in paths:
        results["_".join(("d", *path))] = (len(path), derivative(path, frozenset(path))(values))
    return results


def _nested_around(
    function: Callable[[Mapping[str, Any]], Any], names: list[str], exactly: Callable[..., Any]
) -> Callable[..., Any]:
    """The derivative of ``function`` in each of ``names``, which are numbers, one after the other by forward mode."""
    for name in names:

        def once_more(at: Mapping[str, Any], inner: Any = function, name: str = name) -> Any:
            return _slope(exactly(lambda x: inner({**at, name: x})), at[name])

        function = once_more
    return function


def _unchanged(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _slope(function: Callable[[Any], Any], at: Any) -> Any:
    """The derivative in one number, as by ``jacfwd`` but without its batch of one, which takes another trace."""
    return jax.jvp(function, (at,), (jnp.ones_like(at),))[1]
