"""The functions of a job, bound to its input: shared by the kernels ``derivatives``, ``taylor`` and ``apply``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

import jax
import jax.numpy as jnp

from jaxbatch.columns import Column
from jaxbatch.errors import JobError
from jaxbatch.kernels import functions
from jaxbatch.kernels.bind_context import BindContext, shown
from jaxbatch.kernels.functions import BoundFunction
from jaxbatch.kernels.random_keys import DTYPE

FUNCTION = "function"
"""The string column that picks one of several functions per row."""


@dataclass(frozen=True)
class Choice:
    """One function, or several from which each row picks one by name."""

    functions: tuple[BoundFunction, ...]
    names: tuple[str, ...]
    """The functions' names, in the same order; none if there is one function."""
    supplied: tuple[str, ...]
    """The kernel's own optional inputs that a column or a constant supplies."""

    @property
    def first(self) -> BoundFunction:
        """The first function: all take the same columns."""
        return self.functions[0]

    @property
    def column(self) -> tuple[Column, ...]:
        """The column by which a row picks its function, if there are several."""
        return (Column(FUNCTION, "string", choices=self.names),) if self.names else ()


def references(function: str | None, several: Mapping[str, str] | None) -> tuple[str, ...]:
    """The references in the parameters ``function`` and ``functions``."""
    return (*([] if function is None else [function]), *(several or {}).values())


def choose(
    function: str | None,
    several: Mapping[str, str] | None,
    context: BindContext,
    *,
    one_argument: bool = False,
    optional: Mapping[str, Any] | None = None,
) -> Choice:
    """Bind the parameter ``function`` or ``functions`` to the input's columns and constants.

    Args:
        function: the reference to the only function.
        several: the references to several functions, by name.
        context: what is known of the input.
        one_argument: whether each function has one free argument, which need not be a column of the input.
        optional: the kernel's own optional inputs with their defaults; an argument of such a name replaces one.

    Raises:
        JobError: neither or both are given; the functions take different columns; or the job does not say whether an
            argument with a default takes the column of its name.
    """
    if (function is None) == (not several):
        raise JobError("[params] needs either 'function' or 'functions'.", 'For example: function = "file.py:name".')
    several = dict(sorted((several or {}).items()))  # their order in the job changes nothing
    references = [function] if function is not None else list(several.values())
    supplied: tuple[str, ...] = ()
    parameters = {r: functions.arguments(r, context.folder) for r in references}
    random = {r: [p.name for p in its if context.is_random_key(p.name)] for r, its in parameters.items()}
    if one_argument:
        bound = tuple(functions.bind_one(r, context.folder, context.constants, random[r]) for r in references)
        for name in dict.fromkeys(name for each in bound for name in each.constants if name not in each.given):
            values = {each.reference: each.constants[name] for each in bound if name in each.constants}
            context.optional[name] = shown(_merged(values))
    else:
        supplied = _supplied(parameters, optional or {}, context)
        bound = tuple(
            functions.bind(r, context.folder, _offered(its, supplied, random[r], context), context.constants)
            for r, its in parameters.items()
        )
    for each in bound:
        context.used.update(set(each.arguments) & set(context.constants))
        if not one_argument and each.columns != bound[0].columns:
            raise JobError(
                f"'{each.reference}' takes {', '.join(each.columns)} from the rows, "
                f"'{bound[0].reference}' {', '.join(bound[0].columns)}.",
                "The functions of one job must take the same arguments.",
            )
    own = {name for each in bound for name in each.arguments}
    return Choice(bound, tuple(several), tuple(name for name in supplied if name not in own))


def _supplied(
    parameters: Mapping[str, Sequence[Parameter]], optional: Mapping[str, Any], context: BindContext
) -> tuple[str, ...]:
    """The arguments with a default, and the kernel's optional inputs, that a constant or a column supplies."""
    defaults: dict[str, dict[str, Any]] = {}
    required: dict[str, str] = {}
    for reference, its in parameters.items():
        for parameter in its:
            if parameter.default is parameter.empty:
                required[parameter.name] = reference
            elif not context.is_random_key(parameter.name):
                defaults.setdefault(parameter.name, {})[reference] = parameter.default
    for name in context.defaults:
        if name in defaults and name in required:
            raise JobError(
                f"[input] defaults: '{name}' has no default in '{required[name]}'.",
                "The functions of one job must take the same arguments: map a column to it, or give a constant.",
            )
    of_functions = {name: _merged(each) for name, each in defaults.items()}
    of_kernel = {name: value for name, value in optional.items() if name not in {*defaults, *required}}
    return context.supplied({**of_functions, **of_kernel}, required)


def _merged(defaults: Mapping[str, Any]) -> Any:
    """The one default that an argument has in several functions; if they differ, the default by function."""
    values = list(defaults.values())
    return values[0] if len(set(map(shown, values))) == 1 else defaults


def _offered(
    parameters: Sequence[Parameter], supplied: Sequence[str], random: Sequence[str], context: BindContext
) -> list[str]:
    """What a function's arguments may take from a row: its random key, and columns that are not of arguments that keep
    their defaults."""
    left = {p.name for p in parameters if p.default is not p.empty and p.name not in supplied}
    return [*random, *(name for name in context.types if name not in (*left, *random))]


def argument(name: str, context: BindContext, dtype: str = "float") -> Column:
    """The kernel's input for one argument: a number, a list as long as the input's lists are, or a random key."""
    if context.is_random_key(name):
        return Column(name, DTYPE)
    depth = context.types[name].depth
    context.require(name, depth=min(depth, 1), dtype=dtype)
    return Column(name, dtype, shape=(context.length(name),) if depth else ())


@dataclass(frozen=True)
class ScalarFunction:
    """A bound function that must return one real number, cast to ``dtype``."""

    function: BoundFunction
    dtype: Any

    def __call__(self, values: Mapping[str, Any]) -> jax.Array:
        """The value for one row.

        Raises:
            JobError: the function returns anything but a real scalar.
        """
        result = self.function(values)
        try:
            value = jnp.asarray(result)
        except TypeError:
            value = None
        if value is None or value.shape != () or jnp.issubdtype(value.dtype, jnp.complexfloating):
            found = type(result).__name__ if value is None else f"{value.dtype}{list(value.shape)}"
            if isinstance(result, tuple | list):
                found = f"a {type(result).__name__} of {len(result)}"
            raise JobError(
                f"'{self.function.reference}' returns {found}, not one real number per row.",
                "Return a scalar; for several results use the kernel 'apply'.",
            )
        return value.astype(self.dtype)
