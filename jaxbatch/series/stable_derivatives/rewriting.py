"""Rewrites a program so that it is differentiated by stable rules where those of JAX lose digits.

An equation is replaced if it is a primitive of ``_PRIMITIVES`` or a call of a function in ``_CALLS``. The values stay
those of JAX; only derivatives of the rewritten program differ.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from jaxbatch import jaxpr_walk
from jaxbatch.series.stable_derivatives import call_matching, elementary, special

_PRIMITIVES: dict[str, Callable[..., Any]] = {
    "tanh": elementary.tanh,
    "logistic": elementary.logistic,
    "expm1": elementary.expm1,
    "asin": elementary.asin,
    "acos": elementary.acos,
    "atanh": elementary.atanh,
    "asinh": elementary.asinh,
    "acosh": elementary.acosh,
    "atan2": elementary.atan2,
    "lgamma": special.lgamma,
    "digamma": special.digamma,
    "polygamma": special.polygamma,
    "zeta": special.zeta,
    "bessel_i0e": partial(special.bessel, 0),
    "bessel_i1e": partial(special.bessel, 1),
}
"""Primitives, by name, and their replacements."""

_CALLS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sinc": (jnp.sinc, partial(special.sinc, 0)),
    "hypot": (jnp.hypot, elementary.hypot),
    "logaddexp": (jnp.logaddexp, elementary.logaddexp),
    "logaddexp2": (jnp.logaddexp2, elementary.logaddexp2),
    "_i0": (jnp.i0, partial(special.unscaled_bessel, 0)),
}
"""Functions of JAX, by the names that their calls have in a program, and their replacements."""

_CUSTOM_RULE = frozenset({"custom_jvp_call", "custom_vjp_call", "custom_vmap_call"})
"""Differentiated or batched by a rule of their own: the jaxpr inside is not what is differentiated."""

_INLINED = frozenset({"jit", "remat2", "checkpoint", "closed_call", "core_call"})
"""Calls whose program is rewritten in their place."""


def with_stable_derivatives(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function of pytrees of arrays, to be differentiated once or more often by stable rules."""

    def rewritten(*arguments: Any) -> Any:
        program, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        results = _eval_jaxpr(program.jaxpr, program.consts, jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return rewritten


def needs_rewriting(jaxpr: Any) -> bool:
    """Whether :func:`with_stable_derivatives` can change any derivative of this program.

    It can if the program has an equation that is replaced, or a custom rule, which may bring such equations in.
    """
    return any(
        stable_replacement(equation) is not None or equation.primitive.name in _CUSTOM_RULE
        for equation in jaxpr_walk.equations(jaxpr)
    )


def stable_primitive(primitive: core.Primitive, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """A primitive with its parameters as a function of arrays, differentiated by a stable rule if it has one here."""
    stable = _PRIMITIVES.get(primitive.name)

    def function(*values: Any) -> Any:
        if stable is not None and _is_replaceable(parameters, values):
            return stable(*values)
        return primitive.bind(*values, **primitive.get_bind_params(parameters))

    return function


def stable_replacement(equation: Any) -> Callable[..., Any] | None:
    """The function with stable derivatives that an equation can be replaced by, if any."""
    stable = _PRIMITIVES.get(equation.primitive.name)
    called = call_matching.called_name(equation.params)
    if called in _CALLS and call_matching.is_call_of(equation.params, _CALLS[called][0]):
        stable = _CALLS[called][1]
    variables = [variable.aval for variable in equation.invars]
    return stable if stable is not None and _is_replaceable(equation.params, variables) else None


def _is_replaceable(parameters: Mapping[str, Any], values: Sequence[Any]) -> bool:
    """Only functions of real floats are replaced, and none that is asked for at a reduced ``accuracy``."""
    return parameters.get("accuracy") is None and jnp.issubdtype(jnp.result_type(*values), jnp.floating)


def eval_equation(equation: Any, inputs: Sequence[Any]) -> list[Any]:
    """The results of one equation for these inputs, by its replacement if it has one."""
    with equation.ctx.manager:
        stable = stable_replacement(equation)
        return [stable(*_in_one_dtype(inputs))] if stable is not None else _bind_equation(equation, inputs)


def _in_one_dtype(inputs: Sequence[Any]) -> list[Any]:
    """The inputs in their common dtype: one operand of ``hypot(x, 1)`` is an integer."""
    dtype = jnp.result_type(*inputs)
    return [x if jnp.result_type(x) == dtype else jnp.asarray(x, dtype) for x in inputs]


def _bind_equation(equation: Any, inputs: Sequence[Any]) -> list[Any]:
    """The results of an equation that is not replaced itself; the jaxprs inside it are rewritten where needed."""
    primitive, parameters = equation.primitive, equation.params
    if primitive.name not in _CUSTOM_RULE and any(map(needs_rewriting, jaxpr_walk.nested(parameters.values()))):
        if primitive.name in _INLINED:
            (inner,) = jaxpr_walk.nested(parameters.values())
            return _eval_jaxpr(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), inputs)
        parameters = {name: _rewrite_parameter(value) for name, value in parameters.items()}
    results = primitive.bind(*inputs, **primitive.get_bind_params(parameters))
    return list(results) if primitive.multiple_results else [results]


def _eval_jaxpr(jaxpr: Any, consts: Sequence[Any], operands: Sequence[Any]) -> list[Any]:
    values = dict(zip(jaxpr.constvars, consts, strict=True)) | dict(zip(jaxpr.invars, operands, strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, core.Literal) else values[variable]

    for equation in jaxpr.eqns:
        values.update(zip(equation.outvars, eval_equation(equation, [read(v) for v in equation.invars]), strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _rewrite_parameter(parameter: Any) -> Any:
    """A parameter of an equation with every closed jaxpr in it rewritten."""
    if isinstance(parameter, core.ClosedJaxpr):
        return jax.make_jaxpr(lambda *xs: _eval_jaxpr(parameter.jaxpr, parameter.consts, xs))(*parameter.in_avals)
    return tuple(map(_rewrite_parameter, parameter)) if type(parameter) is tuple else parameter
