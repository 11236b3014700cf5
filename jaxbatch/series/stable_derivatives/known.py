"""Which calls within a program are of functions of JAX that are known by name."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

import jax


def name(parameters: Mapping[str, Any]) -> str | None:
    """What the function was called that an equation calls, if it is a ``jit`` or a ``custom_jvp_call``."""
    program = _program(parameters)
    return program.jaxpr.debug_info.func_name if hasattr(program, "jaxpr") else None


def calls(parameters: Mapping[str, Any], function: Callable[..., Any]) -> bool:
    """Whether an equation with these parameters, a ``jit`` or ``custom_jvp_call``, is one that ``function`` makes."""
    return identity(parameters) in _calls_within(function, _kinds(_program(parameters)))


def identity(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """A called program's text, and where the derivative that it brings along was written."""
    rules = [parameters[name] for name in ("jvp_jaxpr_fun", "bwd") if name in parameters]
    return (str(_program(parameters)), *(rule.debug_info.func_src_info for rule in rules))


def _program(parameters: Mapping[str, Any]) -> Any:
    return parameters.get("call_jaxpr", parameters.get("jaxpr"))


def _kinds(program: Any) -> tuple[Any, ...]:
    return tuple((x.shape, x.dtype, x.weak_type) for x in program.in_avals)


@lru_cache(maxsize=256)
def _calls_within(function: Callable[..., Any], kinds: tuple[Any, ...]) -> frozenset[tuple[str, ...]]:
    """The identities of all programs that a function of JAX calls on such operands."""
    found: set[tuple[str, ...]] = set()

    def collect(jaxpr: Any) -> None:
        for equation in jaxpr.eqns:
            inner = _program(equation.params)
            if hasattr(inner, "jaxpr"):
                found.add(identity(equation.params))
                collect(inner.jaxpr)

    operands = [jax.ShapeDtypeStruct(shape, dtype, weak_type=weak) for shape, dtype, weak in kinds]
    with suppress(TypeError, ValueError):  # it takes no such operands: somebody else's function has the same name
        collect(jax.make_jaxpr(function)(*operands).jaxpr)
    return frozenset(found)
