"""A program run with exact derivative rules in the place of JAX's own."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from jaxbatch import jaxpr_walk
from jaxbatch.series.stable_derivatives import elementary, known, special

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
_CALLS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sinc": (jnp.sinc, partial(special.sinc, 0)),
    "hypot": (jnp.hypot, elementary.hypot),
    "logaddexp": (jnp.logaddexp, elementary.logaddexp),
    "logaddexp2": (jnp.logaddexp2, elementary.logaddexp2),
    "_i0": (jnp.i0, partial(special.unscaled_bessel, 0)),
}
"""By the names that programs within a program have: functions of JAX, and what is taken for them."""

_OWN_RULE = frozenset({"custom_jvp_call", "custom_vjp_call", "custom_vmap_call"})
"""What is differentiated or batched by a rule of its own: the program within is not what is differentiated."""

_OPENED = frozenset({"jit", "remat2", "checkpoint", "closed_call", "core_call"})


def bind(primitive: core.Primitive, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """A primitive as a function, of exact derivatives where we have them."""
    exact = _PRIMITIVES.get(primitive.name)

    def function(*values: Any) -> Any:
        if exact is not None and _replaceable(parameters, values):
            return exact(*values)
        return primitive.bind(*values, **primitive.get_bind_params(parameters))

    return function


def exactly(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, to be differentiated once or more often by exact rules."""

    def run(*arguments: Any) -> Any:
        program, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        results = _evaluate(program.jaxpr, program.consts, jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return run


def concerns(jaxpr: Any) -> bool:
    """Whether :func:`exactly` can change any derivative of this program: it, or a rule that it brings along, may have
    functions that are replaced."""
    equations = getattr(jaxpr, "jaxpr", jaxpr).eqns
    return any(
        replacement(equation) is not None
        or equation.primitive.name in _OWN_RULE
        or any(map(concerns, jaxpr_walk.nested(equation.params.values())))
        for equation in equations
    )


def replacement(equation: Any) -> Callable[..., Any] | None:
    """The function of exact derivatives that an equation of a program can be replaced by."""
    exact = _PRIMITIVES.get(equation.primitive.name)
    called = known.name(equation.params)
    if called in _CALLS and known.calls(equation.params, _CALLS[called][0]):
        exact = _CALLS[called][1]
    variables = [variable.aval for variable in equation.invars]
    return exact if exact is not None and _replaceable(equation.params, variables) else None


def _replaceable(parameters: Mapping[str, Any], values: Sequence[Any]) -> bool:
    """Only real functions are replaced, and not those that are to be computed with less than the full accuracy."""
    return parameters.get("accuracy") is None and jnp.issubdtype(jnp.result_type(*values), jnp.floating)


def applied(equation: Any, inputs: Sequence[Any]) -> list[Any]:
    """The results of one equation, replaced if it can be."""
    with equation.ctx.manager:
        exact = replacement(equation)
        return [exact(*_alike(inputs))] if exact is not None else _bound(equation, inputs)


def _alike(inputs: Sequence[Any]) -> list[Any]:
    """The inputs in one type: ``hypot(x, 1)`` has an integer."""
    kind = jnp.result_type(*inputs)
    return [x if jnp.result_type(x) == kind else jnp.asarray(x, kind) for x in inputs]


def _bound(equation: Any, inputs: Sequence[Any]) -> list[Any]:
    """The results of an equation as it is, but for the programs within it."""
    primitive, parameters = equation.primitive, equation.params
    if primitive.name not in _OWN_RULE and any(map(concerns, jaxpr_walk.nested(parameters.values()))):
        if primitive.name in _OPENED:
            (inner,) = jaxpr_walk.nested(parameters.values())
            return _evaluate(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), inputs)
        parameters = {name: _replaced(value) for name, value in parameters.items()}
    results = primitive.bind(*inputs, **primitive.get_bind_params(parameters))
    return list(results) if primitive.multiple_results else [results]


def _evaluate(jaxpr: Any, consts: Sequence[Any], operands: Sequence[Any]) -> list[Any]:
    values = dict(zip(jaxpr.constvars, consts, strict=True)) | dict(zip(jaxpr.invars, operands, strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, core.Literal) else values[variable]

    for equation in jaxpr.eqns:
        values.update(zip(equation.outvars, applied(equation, [read(v) for v in equation.invars]), strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _replaced(parameter: Any) -> Any:
    """The closed programs within an equation's parameter, replaced."""
    if isinstance(parameter, core.ClosedJaxpr):
        return jax.make_jaxpr(lambda *xs: _evaluate(parameter.jaxpr, parameter.consts, xs))(*parameter.in_avals)
    return tuple(map(_replaced, parameter)) if type(parameter) is tuple else parameter
