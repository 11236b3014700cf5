"""Programs within programs are opened; a function with a derivative of its own is expanded by that derivative."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import primitives

from jaxbatch.series import stable_derivatives
from jaxbatch.series.arithmetic import Arithmetic, Series, Value
from jaxbatch.series.derivative_rule import by_derivative, jvp_of, vjp_of
from jaxbatch.series.interpreter import DEFAULT_RULE, interpret, register_rule
from jaxbatch.series.loop_primitives import LOOPS
from jaxbatch.series.rules.elementary import logistic
from jaxbatch.series.rules.linear import of_one_shape
from jaxbatch.series.rules.powers import sqrt
from jaxbatch.series.rules.special import bessel_i0, sinc
from jaxbatch.series.stable_derivatives import call_matching, elementary


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
def jit(arithmetic: Arithmetic, *operands: Value, jaxpr: Any, **parameters: Any) -> Any:
    """Opened, but for functions of JAX that are no use opened."""
    rule = _known_rule({"jaxpr": jaxpr, **parameters})
    return rule(arithmetic, *operands) if rule else open_program(arithmetic, *operands, jaxpr=jaxpr)


@register_rule("custom_jvp_call")
def custom_jvp_call(arithmetic: Arithmetic, *operands: Value, call_jaxpr: Any, **parameters: Any) -> Any:
    """By the function's own derivative, but for those of JAX whose series is known."""
    described = {"call_jaxpr": call_jaxpr, **parameters}
    rule = _known_rule(described)
    if rule:
        return rule(arithmetic, *operands)
    return by_derivative(
        arithmetic,
        stable_derivatives.stable_primitive(primitives.custom_jvp_call_p, described),
        jvp_of,
        call_matching.call_identity(described),
        operands,
    )


@register_rule("custom_vjp_call")
def custom_vjp_call(arithmetic: Arithmetic, *operands: Value, call_jaxpr: Any, **parameters: Any) -> Any:
    """By the function's own pull-back, transposed."""
    described = {"call_jaxpr": call_jaxpr, **parameters}
    return by_derivative(
        arithmetic,
        stable_derivatives.stable_primitive(primitives.custom_vjp_call_p, described),
        vjp_of,
        call_matching.call_identity(described),
        operands,
    )


@register_rule(DEFAULT_RULE)
def differentiated(arithmetic: Arithmetic, *operands: Value, primitive: Any, parameters: Any) -> list[Value]:
    """Any other primitive, by its first derivative: erf, atan2, the inverse functions, factorizations."""
    key = (primitive.name, str(parameters))
    return by_derivative(arithmetic, stable_derivatives.stable_primitive(primitive, parameters), jvp_of, key, operands)


def _logaddexp(arithmetic: Arithmetic, a: Value, b: Value) -> Series:
    """ln(e^a + e^b): θy = θb + σ(a − b)·θ(a − b), which at a tie is the derivative that JAX gives."""
    return _log_of_sum(arithmetic, a, b, 1.0, elementary.logaddexp)


def _logaddexp2(arithmetic: Arithmetic, a: Value, b: Value) -> Series:
    """log2(2^a + 2^b), with σ((a − b)·ln 2)."""
    return _log_of_sum(arithmetic, a, b, math.log(2), elementary.logaddexp2)


def _log_of_sum(arithmetic: Arithmetic, a: Value, b: Value, unit: float, function: Callable[..., Any]) -> Series:
    left, right = arithmetic.series(a), arithmetic.series(b)
    difference = arithmetic.sub(left, right)
    gap = arithmetic.value(difference)
    finite = jnp.isfinite(gap)
    difference = arithmetic.with_value(difference, jnp.where(finite, gap, jnp.sign(gap) * jnp.finfo(gap.dtype).max))
    scaled = arithmetic.times(difference, unit)
    slope = logistic(arithmetic, scaled) if arithmetic.degree(scaled) else arithmetic.constant(jnp.zeros(()))
    theta = arithmetic.add(arithmetic.theta(right), arithmetic.product(slope, arithmetic.theta(difference)))
    return arithmetic.integral(theta, function(arithmetic.value(left), arithmetic.value(right)))


def _hypot(arithmetic: Arithmetic, a: Value, b: Value) -> Series:
    """√(a² + b²), scaled so that no square over- or underflows."""
    kind = jnp.result_type(arithmetic.value(a), arithmetic.value(b))
    a, b = (x if isinstance(x, Series) else jnp.asarray(x, kind) for x in of_one_shape(arithmetic, a, b))
    size = elementary.scale_of(arithmetic.value(a), arithmetic.value(b))
    size = jnp.where((size == 0) | ~jnp.isfinite(size), 1.0, size)
    left, right = (arithmetic.times(arithmetic.series(x), 1 / size) for x in (a, b))
    squared = arithmetic.add(arithmetic.product(left, left), arithmetic.product(right, right))
    root = arithmetic.times(sqrt(arithmetic, squared), size)
    return arithmetic.with_value(root, elementary.hypot(arithmetic.value(a), arithmetic.value(b)))


_KNOWN = {
    "sinc": (jnp.sinc, sinc),
    "hypot": (jnp.hypot, _hypot),
    "logaddexp": (jnp.logaddexp, _logaddexp),
    "logaddexp2": (jnp.logaddexp2, _logaddexp2),
    "_i0": (jnp.i0, bessel_i0),
}
"""By the names that programs within a program have: functions of JAX, and their rules."""


def _known_rule(parameters: Mapping[str, Any]) -> Callable[..., Any] | None:
    function, rule = _KNOWN.get(call_matching.called_name(parameters) or "", (None, None))
    return rule if function is not None and call_matching.is_call_of(parameters, function) else None
