"""The functions of a job, bound to its input: what ``derivatives``, ``taylor`` and ``apply`` share."""

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

FUNCTION = "function"
"""The string column that picks one of several functions per row."""


@dataclass(frozen=True)
class Choice:
    """One function, or several of which each row picks one by name."""

    functions: tuple[BoundFunction, ...]
    names: tuple[str, ...]
    supplied: tuple[str, ...]
    """The kernel's own optional inputs that a column or a constant supplies."""

    @property
    def first(self) -> BoundFunction:
        """The function whose arguments stand for all."""
        return self.functions[0]

    @property
    def column(self) -> tuple[Column, ...]:
        """The column that picks, if there is a choice."""
        return (Column(FUNCTION, "string", choices=self.names),) if self.names else ()


def references(function: str | None, several: Mapping[str, str] | None) -> tuple[str, ...]:
    """What the job's ``function`` or ``functions`` name."""
    return (*([] if function is None else [function]), *(several or {}).values())


def choose(
    function: str | None,
    several: Mapping[str, str] | None,
    source: BindContext,
    *,
    one_argument: bool = False,
    optional: Mapping[str, Any] | None = None,
) -> Choice:
    """The job's ``function`` or ``functions``, bound to the input's columns and constants.

    With ``one_argument`` the argument that is free need not be a column of the input, and no other is one.
    ``optional`` are inputs of the kernel's own with their defaults; an argument of such a name comes before them.

    Raises:
        JobError: neither or both are given, the functions differ in their arguments, or the job does not say whether
            one that has a default takes the column of its name.
    """
    if (function is None) == (not several):
        raise JobError("[params] needs either 'function' or 'functions'.", 'For example: function = "file.py:name".')
    several = dict(sorted((several or {}).items()))  # their order in the job changes nothing
    references = [function] if function is not None else list(several.values())
    supplied: tuple[str, ...] = ()
    if one_argument:
        bound = tuple(functions.bind_one(r, source.folder, source.constants) for r in references)
        for name in dict.fromkeys(name for each in bound for name in each.constants if name not in each.given):
            values = {each.reference: each.constants[name] for each in bound if name in each.constants}
            source.optional[name] = shown(_told(values))
    else:
        parameters = {r: functions.arguments(r, source.folder) for r in references}
        supplied = _supplied(parameters, optional or {}, source)
        bound = tuple(
            functions.bind(r, source.folder, _offered(parameters[r], supplied, source), source.constants)
            for r in references
        )
    for each in bound:
        source.used.update(set(each.arguments) & set(source.constants))
        if not one_argument and each.columns != bound[0].columns:
            raise JobError(
                f"'{each.reference}' takes {', '.join(each.columns)} from the rows, "
                f"'{bound[0].reference}' {', '.join(bound[0].columns)}.",
                "The functions of one job must take the same arguments.",
            )
    own = {name for each in bound for name in each.arguments}
    return Choice(bound, tuple(several), tuple(name for name in supplied if name not in own))


def _supplied(
    parameters: Mapping[str, Sequence[Parameter]], optional: Mapping[str, Any], source: BindContext
) -> tuple[str, ...]:
    """Of all arguments that have a default in a function, and the kernel's optional inputs, those not left at it."""
    defaults: dict[str, dict[str, Any]] = {}
    required: dict[str, str] = {}
    for reference, its in parameters.items():
        for parameter in its:
            if parameter.default is parameter.empty:
                required[parameter.name] = reference
            else:
                defaults.setdefault(parameter.name, {})[reference] = parameter.default
    for name in source.defaults:
        if name in defaults and name in required:
            raise JobError(
                f"[input] defaults: '{name}' has no default in '{required[name]}'.",
                "The functions of one job must take the same arguments: map a column to it, or give a constant.",
            )
    told = {name: _told(each) for name, each in defaults.items()}
    of_kernel = {name: value for name, value in optional.items() if name not in {*defaults, *required}}
    return source.supplied({**told, **of_kernel}, required)


def _told(defaults: Mapping[str, Any]) -> Any:
    """The default of several functions' argument, or each function's."""
    values = list(defaults.values())
    return values[0] if len(set(map(shown, values))) == 1 else defaults


def _offered(parameters: Sequence[Parameter], supplied: Sequence[str], source: BindContext) -> list[str]:
    """The columns that a function's arguments may take: not those that are left at their defaults."""
    left = {p.name for p in parameters if p.default is not p.empty and p.name not in supplied}
    return [name for name in source.types if name not in left]


def argument(name: str, source: BindContext, dtype: str = "float") -> Column:
    """The column of one argument: a number, or a list of the one length that the input has."""
    depth = source.types[name].depth
    source.require(name, depth=min(depth, 1), dtype=dtype)
    return Column(name, dtype, shape=(source.length(name),) if depth else ())


@dataclass(frozen=True)
class ScalarFunction:
    """A bound function that must return one real number, which is cast to ``dtype``."""

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
