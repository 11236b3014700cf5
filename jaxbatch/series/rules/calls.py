"""Programs within programs are opened; a function with a derivative of its own is expanded by that derivative."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import primitives

from jaxbatch.series.arithmetic import Arithmetic, Series, Value
from jaxbatch.series.derivative_rule import by_derivative, jvp_of, vjp_of
from jaxbatch.series.interpreter import OTHERS, interpret, register_rule
from jaxbatch.series.loops import LOOPS
from jaxbatch.series.rules.elementary import logistic
from jaxbatch.series.rules.special import sinc


def open_program(arithmetic: Arithmetic, *operands: Value, jaxpr: Any, **_: Any) -> list[Value]:
    """Run the inner program in place."""
    if hasattr(jaxpr, "jaxpr"):
        return interpret(arithmetic, jaxpr.jaxpr, jaxpr.consts, operands)
    return interpret(arithmetic, jaxpr, (), operands)


def _call(arithmetic: Arithmetic, *operands: Value, call_jaxpr: Any, **_: Any) -> list[Value]:
    return open_program(arithmetic, *operands, jaxpr=call_jaxpr)


for _name in ("remat", "remat2", "checkpoint", "xla_metadata_call"):
    register_rule(_name)(open_program)
for _name in ("closed_call", "core_call", "call"):
    register_rule(_name)(_call)


@register_rule("custom_vmap_call")
def custom_vmap_call(arithmetic: Arithmetic, *operands: Value, call: Any, **_: Any) -> list[Value]:
    """Opened: how it is batched is another matter."""
    return open_program(arithmetic, *operands, jaxpr=call)


def _loop(function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(arithmetic: Arithmetic, *operands: Value, **parameters: Any) -> list[Value]:
        program = jax.make_jaxpr(lambda *xs: function(*xs, **parameters))(*map(arithmetic.value, operands))
        return open_program(arithmetic, *operands, jaxpr=program)

    return rule


for _name, _function in LOOPS.items():
    register_rule(_name)(_loop(_function))


@register_rule("jit")
@register_rule("pjit")
def jit(arithmetic: Arithmetic, *operands: Value, jaxpr: Any, name: str, **_: Any) -> Any:
    """Opened, but for the one function of JAX that is no use opened."""
    if name == "sinc" and _identity({"jaxpr": jaxpr}) in _calls_within(jnp.sinc, _kinds(jaxpr)):
        return sinc(arithmetic, *operands)  # pyright: ignore[reportArgumentType]
    return open_program(arithmetic, *operands, jaxpr=jaxpr)


@register_rule("custom_jvp_call")
def custom_jvp_call(arithmetic: Arithmetic, *operands: Value, call_jaxpr: Any, **parameters: Any) -> Any:
    """By the function's own derivative, but for those of JAX whose series is known."""
    key = _identity({"call_jaxpr": call_jaxpr, **parameters})
    if len(operands) == 2 and key in _calls_within(jnp.logaddexp, _kinds(call_jaxpr)):
        return _logaddexp(arithmetic, *operands)
    primitive = primitives.custom_jvp_call_p
    bind_parameters = primitive.get_bind_params({"call_jaxpr": call_jaxpr, **parameters})

    def function(*values: Any) -> Any:
        return primitive.bind(*values, **bind_parameters)

    return by_derivative(arithmetic, function, jvp_of, key, operands)


@register_rule("custom_vjp_call")
def custom_vjp_call(arithmetic: Arithmetic, *operands: Value, call_jaxpr: Any, **parameters: Any) -> Any:
    """By the function's own pull-back, transposed."""
    primitive = primitives.custom_vjp_call_p
    bind_parameters = primitive.get_bind_params({"call_jaxpr": call_jaxpr, **parameters})

    def function(*values: Any) -> Any:
        return primitive.bind(*values, **bind_parameters)

    return by_derivative(arithmetic, function, vjp_of, _identity({"call_jaxpr": call_jaxpr, **parameters}), operands)


@register_rule(OTHERS)
def differentiated(arithmetic: Arithmetic, *operands: Value, primitive: Any, parameters: Any) -> list[Value]:
    """Any other primitive, by the derivative that JAX has of it: erf, atan2, the inverse functions, factorizations."""
    bind_parameters = primitive.get_bind_params(parameters)

    def function(*values: Any) -> Any:
        return primitive.bind(*values, **bind_parameters)

    return by_derivative(arithmetic, function, jvp_of, (primitive.name, str(parameters)), operands)


def _logaddexp(arithmetic: Arithmetic, a: Value, b: Value) -> Series:
    """ln(e^a + e^b): θy = θb + σ(a − b)·θ(a − b), which at a tie is the derivative that JAX gives."""
    left, right = arithmetic.series(a), arithmetic.series(b)
    difference = arithmetic.sub(left, right)
    gap = arithmetic.value(difference)
    finite = jnp.isfinite(gap)
    difference = arithmetic.with_value(difference, jnp.where(finite, gap, jnp.sign(gap) * jnp.finfo(gap.dtype).max))
    slope = logistic(arithmetic, difference) if arithmetic.degree(difference) else arithmetic.constant(jnp.zeros(()))
    theta = arithmetic.add(arithmetic.theta(right), arithmetic.product(slope, arithmetic.theta(difference)))
    return arithmetic.integral(theta, jnp.logaddexp(arithmetic.value(left), arithmetic.value(right)))


def _identity(parameters: Any) -> tuple[str, ...]:
    """A called program's text, and where the derivative that it brings along was written."""
    program = parameters.get("call_jaxpr", parameters.get("jaxpr"))
    rules = [parameters[name] for name in ("jvp_jaxpr_fun", "bwd") if name in parameters]
    return (str(program), *(rule.debug_info.func_src_info for rule in rules))


def _kinds(program: Any) -> tuple[Any, ...]:
    return tuple((x.shape, x.dtype) for x in program.in_avals)


@lru_cache(maxsize=256)
def _calls_within(function: Callable[..., Any], kinds: tuple[Any, ...]) -> frozenset[tuple[str, ...]]:
    """The identities of all programs that a function of JAX calls."""
    found: set[tuple[str, ...]] = set()

    def collect(jaxpr: Any) -> None:
        for equation in jaxpr.eqns:
            inner = equation.params.get("call_jaxpr", equation.params.get("jaxpr"))
            if hasattr(inner, "jaxpr"):
                found.add(_identity(equation.params))
                collect(inner.jaxpr)

    collect(jax.make_jaxpr(function)(*(jax.ShapeDtypeStruct(*kind) for kind in kinds)).jaxpr)
    return frozenset(found)
