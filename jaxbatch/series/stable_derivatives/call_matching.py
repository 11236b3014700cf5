"""Recognises calls of JAX's own functions in a program, such as ``jnp.sinc``, by name and by what they compute.

A name alone would not do: a user's function may be called ``sinc`` too.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

import jax

from jaxbatch import jaxpr_walk


def called_name(parameters: Mapping[str, Any]) -> str | None:
    """The name of the function that an equation calls; None if the equation calls no closed jaxpr.

    Args:
        parameters: of a ``jit`` or ``custom_jvp_call`` equation, or of any other.
    """
    program = _called_program(parameters)
    return program.jaxpr.debug_info.func_name if hasattr(program, "jaxpr") else None


def is_call_of(parameters: Mapping[str, Any], function: Callable[..., Any]) -> bool:
    """Whether an equation with these parameters, a ``jit`` or ``custom_jvp_call``, is one that ``function`` makes."""
    return call_identity(parameters) in _calls_within(function, _operand_types(_called_program(parameters)))


def call_identity(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The text of a called program, and the source location of each derivative rule that comes with the call."""
    rules = [parameters[name] for name in ("jvp_jaxpr_fun", "bwd") if name in parameters]
    return (str(_called_program(parameters)), *(rule.debug_info.func_src_info for rule in rules))


def _called_program(parameters: Mapping[str, Any]) -> Any:
    return parameters.get("call_jaxpr", parameters.get("jaxpr"))


def _operand_types(program: Any) -> tuple[Any, ...]:
    return tuple((x.shape, x.dtype, x.weak_type) for x in program.in_avals)


@lru_cache(maxsize=256)
def _calls_within(function: Callable[..., Any], types: tuple[Any, ...]) -> frozenset[tuple[str, ...]]:
    """The identities of all calls that a function of JAX makes for operands of these types."""
    operands = [jax.ShapeDtypeStruct(shape, dtype, weak_type=weak) for shape, dtype, weak in types]
    with suppress(TypeError, ValueError):  # it takes no such operands: the call is of another function of that name
        program = jax.make_jaxpr(function)(*operands)
        calls = [e.params for e in jaxpr_walk.equations(program) if hasattr(_called_program(e.params), "jaxpr")]
        return frozenset(map(call_identity, calls))
    return frozenset()
