"""A program run on series: one rule per primitive."""

from collections.abc import Callable, Sequence
from typing import Any

from jax.extend import core, source_info_util

from jaxbatch.series import stable_derivatives
from jaxbatch.series.arithmetic import Arithmetic, Value, is_series

Rule = Callable[..., Any]
"""``rule(arithmetic, *operands, **parameters)``: a :class:`Value` for each result, or the only one.

At least one operand is a series; the parameters are those of the equation.
"""

DEFAULT_RULE = "others"
"""The name of the rule for every primitive that has none of its own; it is given ``primitive`` and ``parameters``."""

_RULES: dict[Any, Rule] = {}


class NoRule(Exception):
    """What a rule raises for operands that it does not cover, with the reason."""


class Unsafe(NoRule):
    """A construct that no rule follows, and of which nested forward mode would give wrong numbers without a word."""


class MissingRule(Exception):
    """A primitive that is met on the way has no rule for series."""

    def __init__(self, primitive: str, place: str, reason: str = "", *, nestable: bool = True) -> None:
        super().__init__(primitive, place, reason)
        self.nestable = nestable
        self.primitive = primitive
        self.place = place
        self.reason = reason


def register_rule(primitive: core.Primitive | str) -> Callable[[Rule], Rule]:
    """Teach series a primitive: a decorator for its :data:`Rule`.

    A primitive registered as an object goes before one registered by name. See docs/taylor-mode.md for an example.
    """

    def register(rule: Rule) -> Rule:
        _RULES[primitive] = rule
        return rule

    return register


def interpret(arithmetic: Arithmetic, jaxpr: Any, consts: Sequence[Any], operands: Sequence[Value]) -> list[Value]:
    """Run a jaxpr whose operands may be series.

    Equations that no series enters are run as they are, to be differentiated by exact rules in other arguments.

    Raises:
        MissingRule: a primitive that a series enters has no rule.
    """
    values: dict[Any, Value] = dict(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, operands, strict=True))

    def read(variable: Any) -> Value:
        return variable.val if isinstance(variable, core.Literal) else values[variable]

    for equation in jaxpr.eqns:
        inputs = [read(variable) for variable in equation.invars]
        results = _apply(arithmetic, equation, inputs)
        values.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _apply(arithmetic: Arithmetic, equation: Any, inputs: list[Value]) -> Sequence[Value]:
    primitive = equation.primitive
    if not any(map(is_series, inputs)):
        return stable_derivatives.applied(equation, inputs)
    rule = _RULES.get(primitive) or _RULES.get(primitive.name)
    try:
        if rule is None:
            results = _RULES[DEFAULT_RULE](arithmetic, *inputs, primitive=primitive, parameters=equation.params)
        else:
            results = rule(arithmetic, *inputs, **equation.params)
    except MissingRule as error:  # within this equation; JAX does not say where the parts of its own derivatives are
        error.place = error.place or place_of(equation)
        raise
    except (NoRule, NotImplementedError) as error:  # the second is JAX's, for a derivative that it lacks
        nestable = not isinstance(error, Unsafe)
        raise MissingRule(primitive.name, place_of(equation), str(error), nestable=nestable) from error
    return results if isinstance(results, list | tuple) else [results]


def place_of(equation: Any) -> str:
    """Where in the user's code an equation comes from: "file.py:12 (function)"."""
    return source_info_util.summarize(equation.source_info)
