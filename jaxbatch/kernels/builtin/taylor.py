"""The expansion of a function about one point, evaluated at another, order by order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxbatch import series
from jaxbatch.columns import Column, Status
from jaxbatch.errors import InputError, JobError
from jaxbatch.kernels import random_keys
from jaxbatch.kernels.base import Kernel, Row
from jaxbatch.kernels.bind_context import BindContext
from jaxbatch.kernels.bound_functions import Choice, ScalarFunction, argument, choose, references

LADDER = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Rungs of the order: a row is computed to the lowest rung that is not below its own order."""


@dataclass(frozen=True)
class Taylor(Kernel):
    """The expansion about ``center``, evaluated at ``point``, order by order.

    ``coefficients`` are f⁽ᵏ⁾(center)/k!, or for vectors those along the line to ``point``, so that they sum to
    the ``approximations``; ``errors`` are ``true_value`` − approximation. Each is a list of the row's order + 1
    numbers.

    Inputs: ``center`` and ``point``, numbers or lists of one length; an integer ``order``; with ``functions``
    a string column ``function``. With ``[compute] seed`` an argument ``key`` is the row's random key, the same in all
    the expansion.
    """

    function: str | None = None
    """The function of one argument: "package.module:name" or "file.py:name"."""
    functions: dict[str, str] | None = None
    """Instead of function: several by name; the column function picks one per row."""
    max_order: int | None = None
    """The highest order a row may ask for; by default the largest in the data."""

    @property
    def references(self) -> tuple[str, ...]:
        """See :attr:`Kernel.references`."""
        return references(self.function, self.functions)

    def bind(self, context: BindContext) -> Kernel:
        """See :meth:`Kernel.bind`."""
        if self.max_order is not None and self.max_order < 0:
            raise JobError(f"[params] max_order is {self.max_order}.", "Use 0 or more.")
        chosen = choose(self.function, self.functions, context, one_argument=True)
        context.require_columns("center", "point", "order", *(column.name for column in chosen.column))
        points = tuple(_point(name, context) for name in ("center", "point"))
        if points[0].shape != points[1].shape:
            raise InputError(
                f"'center' has the shape {points[0].shape} and 'point' {points[1].shape}.", "Give both the same shape."
            )
        random = {name for each in chosen.functions for name in each.columns if context.is_random_key(name)}
        order = Column("order", "int")
        for column in (order, *chosen.column):
            context.require_input(column)
        if self.max_order is not None:
            highest = self.max_order
        elif "order" in context.constants:
            given = context.constants["order"]
            highest = given if isinstance(given, int) else 0  # any other constant is refused later
        else:
            highest = context.maximum("order")
        if highest > LADDER[-1]:
            raise JobError(
                f"The input asks for order {highest}, and the highest is {LADDER[-1]}.",
                "Set [params] max_order: rows with a higher order get the status invalid_input.",
            )
        rungs = (*(rung for rung in LADDER if rung < highest), max(highest, 0))
        dtype = jnp.dtype(context.precision)
        per_order = tuple(Column(name, shape=("terms",)) for name in ("coefficients", "approximations", "errors"))
        return _BoundTaylor(
            inputs=(*points, order, *chosen.column, *(argument(name, context) for name in random)),
            outputs=(*per_order, Column("true_value")),
            buckets=len(chosen.functions) * len(rungs),
            chosen=chosen,
            functions=tuple(ScalarFunction(function, dtype) for function in chosen.functions),
            rungs=rungs,
        )


def _point(name: str, context: BindContext) -> Column:
    if name in context.constants:
        return Column(name, shape=np.shape(context.constants[name]))
    return argument(name, context)


@dataclass(frozen=True, kw_only=True)
class _BoundTaylor(Kernel):
    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    buckets: int
    chosen: Choice
    functions: tuple[ScalarFunction, ...]
    rungs: tuple[int, ...]

    def bucket(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        order = np.clip(columns["order"], 0, self.rungs[-1])
        rung = np.searchsorted(self.rungs, order)
        return columns.get("function", 0) * len(self.rungs) + rung

    def origin(self, bucket: int) -> int:
        return bucket // len(self.rungs)

    def describe_bucket(self, bucket: int) -> str:
        function, rung = divmod(bucket, len(self.rungs))
        return f"{self.chosen.functions[function].reference}, order ≤ {self.rungs[rung]}"

    def program(self, bucket: int) -> Row:
        index, rung = divmod(bucket, len(self.rungs))
        evaluated, computed, highest = self.functions[index], self.rungs[rung], self.rungs[-1]
        columns = evaluated.function.columns
        keys = set(random_keys.key_columns(self.inputs)) & set(columns)
        (name,) = set(columns) - keys

        def row(*, center: Any, point: Any, order: Any, function: Any = None, **random: Any) -> dict[str, Any]:
            del function
            given = {key: random[key] for key in keys}

            def at(x: Any) -> Any:
                return evaluated({name: x, **given})

            step = point - center
            vector = bool(step.shape)
            direction = step if vector else jnp.ones_like(step)
            try:
                expansion = series.expand(at, center, direction, computed)
            except series.SeriesError as error:
                raise JobError(
                    f"'{self.chosen.functions[index].reference}': {error}.", series.REMEDY + " [params] max_order."
                ) from error
            coefficients = expansion.coefficients()
            approximations = jnp.cumsum(coefficients if vector else expansion.terms(step))
            true_value = at(point)
            return {
                "coefficients": coefficients,
                "approximations": approximations,
                "errors": true_value - approximations,
                "true_value": true_value,
                "terms": jnp.clip(order, 0, computed) + 1,
                "status": jnp.where((order >= 0) & (order <= highest), Status.ok, Status.invalid_input),
            }

        return row
