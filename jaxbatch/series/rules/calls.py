"""Calls of other programs, and every primitive that has no rule of its own.

``jit``, ``checkpoint`` and other plain calls are opened. A function with a derivative of its own (``custom_jvp``,
``custom_vjp``) is expanded by that derivative: opened, relu'(0) would be 0.5. Functions of JAX that lose digits either
way (sinc, hypot, logaddexp, i0) have rules here, with their formulas beside them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import primitives

from jaxbatch.series import stable_derivatives
from jaxbatch.series.arithmetic import Arithmetic, Series, Value
from jaxbatch.series.derivative_rule import Tangent, by_derivative, jvp_of, vjp_of
from jaxbatch.series.interpreter import DEFAULT_RULE, interpret, register_rule
from jaxbatch.series.loop_primitives import LOOPS
from jaxbatch.series.rules.elementary import logistic
from jaxbatch.series.rules.linear import broadcast_series
from jaxbatch.series.rules.powers import sqrt
from jaxbatch.series.rules.special import bessel_i0, sinc
from jaxbatch.series.stable_derivatives import call_matching, elementary


def open_program(arithmetic: Arithmetic, *operands: Value, jaxpr: Any, **_: Any) -> list[Value]:
    """The results of an inner jaxpr, open or closed, run in place."""
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
    """Opened; its own way of being batched does not apply to series."""
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
    """Opened, except calls of the functions of JAX in ``_JAX_FUNCTIONS``."""
    rule = _rule_of_call({"jaxpr": jaxpr, **parameters})
    return rule(arithmetic, *operands) if rule else open_program(arithmetic, *operands, jaxpr=jaxpr)


@register_rule("custom_jvp_call")
def custom_jvp_call(arithmetic: Arithmetic, *operands: Value, call_jaxpr: Any, **parameters: Any) -> Any:
    """By the function's own derivative, except calls of the functions of JAX in ``_JAX_FUNCTIONS``."""
    described = {"call_jaxpr": call_jaxpr, **parameters}
    rule = _rule_of_call(described)
    if rule:
        return rule(arithmetic, *operands)
    return _by_custom_rule(arithmetic, primitives.custom_jvp_call_p, jvp_of, described, operands)


@register_rule("custom_vjp_call")
def custom_vjp_call(arithmetic: Arithmetic, *operands: Value, call_jaxpr: Any, **parameters: Any) -> Any:
    """By the function's own reverse-mode rule, transposed to a forward one."""
    described = {"call_jaxpr": call_jaxpr, **parameters}
    return _by_custom_rule(arithmetic, primitives.custom_vjp_call_p, vjp_of, described, operands)


def _by_custom_rule(
    arithmetic: Arithmetic, primitive: Any, tangent: Tangent, parameters: Mapping[str, Any], operands: Sequence[Value]
) -> list[Value]:
    function = stable_derivatives.stable_primitive(primitive, parameters)
    return by_derivative(arithmetic, function, tangent, call_matching.call_identity(parameters), operands)


@register_rule(DEFAULT_RULE)
def by_first_derivative(arithmetic: Arithmetic, *operands: Value, primitive: Any, parameters: Any) -> list[Value]:
    """Any primitive without a rule, by its first derivative: erf, atan2, asin, the factorizations …"""
    key = (primitive.name, str(parameters))
    return by_derivative(arithmetic, stable_derivatives.stable_primitive(primitive, parameters), jvp_of, key, operands)


def _logaddexp(arithmetic: Arithmetic, a: Value, b: Value) -> Series:
    """ln(e^a + e^b): θy = θb + σ(a − b)·θ(a − b), with θ = t·d/dt and the logistic σ; at a tie as ``jax.grad``."""
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
    a, b = (x if isinstance(x, Series) else jnp.asarray(x, kind) for x in broadcast_series(arithmetic, a, b))
    size = elementary.scale_of(arithmetic.value(a), arithmetic.value(b))
    size = jnp.where((size == 0) | ~jnp.isfinite(size), 1.0, size)
    left, right = (arithmetic.times(arithmetic.series(x), 1 / size) for x in (a, b))
    squared = arithmetic.add(arithmetic.product(left, left), arithmetic.product(right, right))
    root = arithmetic.times(sqrt(arithmetic, squared), size)
    return arithmetic.with_value(root, elementary.hypot(arithmetic.value(a), arithmetic.value(b)))


_JAX_FUNCTIONS = {
    "sinc": (jnp.sinc, sinc),
    "hypot": (jnp.hypot, _hypot),
    "logaddexp": (jnp.logaddexp, _logaddexp),
    "logaddexp2": (jnp.logaddexp2, _logaddexp2),
    "_i0": (jnp.i0, bessel_i0),
}
"""Functions of JAX, by the names that their calls have in a program, and their rules."""


def _rule_of_call(parameters: Mapping[str, Any]) -> Callable[..., Any] | None:
    function, rule = _JAX_FUNCTIONS.get(call_matching.called_name(parameters) or "", (None, None))
    return rule if function is not None and call_matching.is_call_of(parameters, function) else None
