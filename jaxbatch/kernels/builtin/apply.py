"""Any pure JAX function of named columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from jaxbatch.columns import STATUS, Column
from jaxbatch.errors import JobError, nearest
from jaxbatch.kernels import random_keys
from jaxbatch.kernels.base import Kernel
from jaxbatch.kernels.bind_context import BindContext
from jaxbatch.kernels.bound_functions import argument, choose
from jaxbatch.kernels.functions import BoundFunction
from jaxbatch.kernels.trace_errors import explain_trace_error


@dataclass(frozen=True)
class Apply(Kernel):
    """Any pure JAX function of named columns: its dict or NamedTuple of results becomes columns.

    Inputs: one column per argument, named as the argument, of numbers, booleans, or lists of one length of them.
    Numbers come in the precision, and an integer beyond ±2⁵³ makes its row ``invalid_input``; booleans come as
    bool. With ``[compute] seed`` the argument ``key`` is the row's random key. A column named as an argument that has
    a default is taken where ``[input] columns`` names it, and left where ``[input] defaults`` does.

    Outputs: one column per result, a number or a list (of lists) of a fixed length; a function that returns a
    single array gives the column ``value``.
    """

    function: str
    """The function: "package.module:name" or "file.py:name"."""
    integers: list[str] | None = None
    """The arguments that come as int64 instead, in float32 runs as int32: identifiers, seeds, codes."""

    @property
    def references(self) -> tuple[str, ...]:
        """See :attr:`Kernel.references`."""
        return (self.function,)

    def bind(self, context: BindContext) -> Kernel:
        """See :meth:`Kernel.bind`."""
        function = choose(self.function, None, context).first
        if not function.columns:
            raise JobError(
                f"'{self.function}' takes no argument from a column.",
                "Use a function with an argument that has a column.",
            )
        self._check_integers(function, context)
        inputs = tuple(self._input(name, context) for name in function.columns)
        structs = {
            column.name: random_keys.struct(column, {}, column.numpy_type(context.precision, x64=self.needs_x64))
            for column in inputs
        }
        results = _evaluate(function, inputs, structs)
        return _BoundApply(
            inputs=inputs,
            outputs=tuple(_column(self.function, name, result) for name, result in results.items()),
            function=function,
        )

    def _check_integers(self, function: BoundFunction, context: BindContext) -> None:
        for name in self.integers or ():
            if name not in function.arguments:
                raise JobError(
                    f"[params] integers: '{function.reference}' has no argument '{name}'.",
                    nearest(name, list(function.arguments)),
                )
            if name not in function.columns:
                fixed = "a constant" if name in function.given else "its default"
                raise JobError(
                    f"[params] integers: the argument '{name}' has no column, but {fixed}, which is passed unchanged.",
                    nearest(name, list(function.columns)),
                )
            if context.is_random_key(name):
                raise JobError(f"[params] integers: '{name}' is the row's random key.", "Leave it out.")
            if not context.types[name].whole:
                raise JobError(
                    f"[params] integers: the column of '{name}' is {context.types[name].name}, not integers.",
                    nearest(name, [each for each in function.columns if context.types[each].whole])
                    or "Leave it out, or store integers.",
                )

    def _input(self, name: str, context: BindContext) -> Column:
        if context.is_random_key(name):
            return argument(name, context)
        kind = context.types[name].kind
        column = argument(name, context, "bool" if kind == "bool" else "float")
        if name in (self.integers or ()):
            return replace(column, dtype="int")
        return replace(column, exact=kind == "int")


@dataclass(frozen=True, kw_only=True)
class _BoundApply(Kernel):
    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    function: BoundFunction

    def row(self, **columns: Any) -> Mapping[str, Any]:
        return _named(self.function(columns))


def _evaluate(
    function: BoundFunction, inputs: Sequence[Column], structs: Mapping[str, jax.ShapeDtypeStruct]
) -> Mapping[str, Any]:
    names: list[str] = []  # in the function's own order, which eval_shape does not keep

    def traced(values: Mapping[str, Any]) -> dict[str, Any]:
        results = _named(function(random_keys.with_typed_keys(values, inputs)))
        names[:] = results
        return results

    try:
        results = jax.eval_shape(traced, structs)
        return {name: results[name] for name in names}
    except JobError:
        raise
    except (Exception, SystemExit) as error:
        what, hint = explain_trace_error(error, structs)
        raise JobError(f"'{function.reference}' cannot be traced{what}.", hint) from error


def _named(results: Any) -> dict[str, Any]:
    """The results by name: those of a dict or a NamedTuple, or a single array as ``value``."""
    if isinstance(results, Mapping):
        return dict(results)
    if isinstance(results, tuple) and hasattr(results, "_asdict"):
        return results._asdict()  # type: ignore[attr-defined]
    return {"value": results}


def _column(reference: str, name: Any, result: Any) -> Column:
    if not isinstance(name, str) or name == STATUS or not name:
        raise JobError(f"'{reference}' names a result {name!r}.", f"Names must be strings, and '{STATUS}' is reserved.")
    if not isinstance(result, jax.ShapeDtypeStruct) or not _is_number(result.dtype):
        found = result.dtype if isinstance(result, jax.ShapeDtypeStruct) else type(result).__name__
        raise JobError(
            f"'{reference}' returns {found} as '{name}', which cannot be a column.",
            "Return a dict or NamedTuple of real arrays: split complex ones into two, cast bfloat16, and of a random "
            "key return jax.random.key_data(key).",
        )
    return Column(name, str(result.dtype), shape=result.shape)


def _is_number(dtype: Any) -> bool:
    """Whether it is a type of real numbers of NumPy's own, unlike bfloat16 and types of few bits."""
    return isinstance(dtype, np.dtype) and dtype.isbuiltin == 1 and dtype.kind in "biuf"
