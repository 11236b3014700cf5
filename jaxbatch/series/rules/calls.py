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
from jaxbatch.series.rules.elementary import logistic
from jaxbatch.series.rules.special import sinc


def open_program(arithmetic: Arithmetic, *operands: Value, jaxpr: Any, **_: Any) -> list[Value]:
    """Run the inner program in place."""
    if hasattr(jaxpr, "jaxpr"):
        return interpret(arithmetic, jaxpr.jaxpr, jaxpr.consts, operands)
    return interpret(arithmetic, jaxpr, (), operands)


def _call(arithmetic: Arithmetic, *operands: Value, call_jaxpr: Any, **_: Any) -> list[Value]:
    return open_program(arithmetic, *operands, jaxpr=call_jaxpr)


for _name in ("remat", "remat2", "checkpoint"):
    register_rule(_name)(open_program)
for _name in ("closed_call", "core_call", "call"):
    register_rule(_name)(_call)


@register_rule("jit")
@register_rule("pjit")
def jit(arithmetic: Arithmetic, *operands: Value, jaxpr: Any, name: str, **_: Any) -> Any:
    """Opened, but for the one function of JAX that is no use opened."""
    if name == "sinc" and _is_program_of(jaxpr, jnp.sinc):
        return sinc(arithmetic, *operands)  # pyright: ignore[reportArgumentType]
    return open_program(arithmetic, *operands, jaxpr=jaxpr)


@register_rule("custom_jvp_call")
def custom_jvp_call(arithmetic: Arithmetic, *operands: Value, call_jaxpr: Any, **parameters: Any) -> Any:
    """By the function's own derivative, but for those of JAX whose series is known."""
    if len(operands) == 2 and _is_program_of(call_jaxpr, jnp.logaddexp):
        return _logaddexp(arithmetic, *operands)
    primitive = primitives.custom_jvp_call_p
    bind_parameters = primitive.get_bind_params({"call_jaxpr": call_jaxpr, **parameters})

    def function(*values: Any) -> Any:
        return primitive.bind(*values, **bind_parameters)

    return by_derivative(arithmetic, function, jvp_of, ("custom_jvp", str(call_jaxpr)), operands)


@register_rule("custom_vjp_call")
def custom_vjp_call(arithmetic: Arithmetic, *operands: Value, call_jaxpr: Any, **parameters: Any) -> Any:
    """By the function's own pull-back, transposed."""
    primitive = primitives.custom_vjp_call_p
    bind_parameters = primitive.get_bind_params({"call_jaxpr": call_jaxpr, **parameters})

    def function(*values: Any) -> Any:
        return primitive.bind(*values, **bind_parameters)

    return by_derivative(arithmetic, function, vjp_of, ("custom_vjp", str(call_jaxpr)), operands)


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


def _is_program_of(program: Any, function: Callable[..., Any]) -> bool:
    """Whether a traced program is that of ``function`` of JAX, whatever it is called."""
    return str(program) in _programs_within(function, tuple((x.shape, x.dtype) for x in program.in_avals))


@lru_cache(maxsize=256)
def _programs_within(function: Callable[..., Any], kinds: tuple[Any, ...]) -> frozenset[str]:
    found: set[str] = set()

    def collect(jaxpr: Any) -> None:
        for equation in jaxpr.eqns:
            for name in ("jaxpr", "call_jaxpr"):
                inner = equation.params.get(name)
                if inner is not None and hasattr(inner, "jaxpr"):
                    found.add(str(inner))
                    collect(inner.jaxpr)

    collect(jax.make_jaxpr(function)(*(jax.ShapeDtypeStruct(*kind) for kind in kinds)).jaxpr)
    return frozenset(found)
