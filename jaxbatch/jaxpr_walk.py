"""Walking a jaxpr, JAX's form of a traced program: its equations, and the jaxprs inside them.

A closed jaxpr is one with its constants. Every function here takes both kinds.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jax.extend import core


def uses(jaxpr: Any, primitive: "core.Primitive") -> bool:
    """Whether a jaxpr, or one inside it, has an equation of this primitive."""
    return any(equation.primitive is primitive for equation in equations(jaxpr))


def equations(jaxpr: Any) -> Iterator[Any]:
    """Every equation of a jaxpr and of those inside it, each before what is inside it."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in nested(equation.params.values()):
            yield from equations(inner)


def nested(parameters: Iterable[Any]) -> Iterator[Any]:
    """The jaxprs, open and closed, among an equation's parameters."""
    from jax.extend import core

    for parameter in parameters:
        if isinstance(parameter, core.Jaxpr | core.ClosedJaxpr):
            yield parameter
        elif isinstance(parameter, tuple | list):
            yield from nested(parameter)
        elif isinstance(parameter, Mapping):
            yield from nested(parameter.values())
