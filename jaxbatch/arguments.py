"""The functions of a job, bound to its input: what ``derivatives``, ``taylor`` and ``apply`` share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxbatch import functions
from jaxbatch.columns import Column
from jaxbatch.errors import JobError
from jaxbatch.functions import BoundFunction
from jaxbatch.kernel import Source

FUNCTION = "function"
"""The string column that picks one of several functions per row."""


@dataclass(frozen=True)
class Choice:
    """One function, or several of which each row picks one by name."""

    functions: tuple[BoundFunction, ...]
    names: tuple[str, ...]

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
    function: str | None, several: Mapping[str, str] | None, source: Source, *, one_argument: bool = False
) -> Choice:
    """The job's ``function`` or ``functions``, bound to the input's columns and constants.

    With ``one_argument`` the argument that is free need not be a column of the input.

    Raises:
        JobError: neither or both are given, or the functions differ in their arguments.
    """
    if (function is None) == (not several):
        raise JobError("[params] needs either 'function' or 'functions'.", 'For example function = "file.py:name".')
    several = dict(sorted((several or {}).items()))  # their order in the job changes nothing
    references = [function] if function is not None else list(several.values())
    if one_argument:
        bound = tuple(functions.bind_one(r, source.folder, source.constants) for r in references)
    else:
        bound = tuple(functions.bind(r, source.folder, source.types, source.constants) for r in references)
    for each in bound:
        source.used.update(set(each.arguments) & set(source.constants))
        if not one_argument and each.columns != bound[0].columns:
            raise JobError(
                f"'{each.reference}' takes {', '.join(each.columns)} from the rows, "
                f"'{bound[0].reference}' {', '.join(bound[0].columns)}.",
                "The functions of one job take the same arguments.",
            )
    return Choice(bound, tuple(several))


def argument(name: str, source: Source) -> Column:
    """The column of one argument: a number, or a list of the one length that the input has."""
    depth = source.types[name].depth
    source.require(name, depth=min(depth, 1))
    return Column(name, shape=(source.length(name),) if depth else ())


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
