"""Runs a program on series instead of numbers, by one rule per primitive."""

from collections.abc import Callable, Sequence
from typing import Any

from jax.extend import core, source_info_util

from jaxbatch.series import stable_derivatives
from jaxbatch.series.arithmetic import Arithmetic, Value, is_series

Rule = Callable[..., Any]
"""``rule(arithmetic, *operands, **parameters)`` gives a list with a :class:`Value` for each result, or the only one.

At least one operand is a series; the parameters are those of the equation.
"""

DEFAULT_RULE = "others"
"""The name of the rule for every primitive that has none of its own; it receives ``primitive`` and ``parameters``."""

_RULES: dict[Any, Rule] = {}


class NoRule(Exception):
    """Raised by a rule for operands that it does not cover, with the reason."""


class Unsafe(NoRule):
    """A construct that no rule covers, and for which nested forward mode would silently give wrong numbers."""


class MissingRule(Exception):
    """A primitive of the program has no rule for its operands.

    Attributes:
        primitive: its name.
        place: where in the user's code it is, as :func:`place_of` says; "" where JAX does not know.
        reason: why no rule covers it; "" if there is none at all.
        nestable: whether nested forward mode may take the rule's place.
    """

    def __init__(self, primitive: str, place: str, reason: str = "", *, nestable: bool = True) -> None:
        super().__init__(primitive, place, reason)
        self.nestable = nestable
        self.primitive = primitive
        self.place = place
        self.reason = reason


def register_rule(primitive: core.Primitive | str) -> Callable[[Rule], Rule]:
    """A decorator that registers a function as the series rule of a primitive.

    Args:
        primitive: the primitive itself or its name; a rule for the object is preferred to one for the name.

    The decorated function is called ``rule(arithmetic, *operands, **parameters)``: an :class:`Arithmetic` whose methods
    work on :class:`Series`, the operands of the equation (each a series or an array, at least one a series) and its
    parameters. It returns the result, or a list of them. docs/taylor-mode.md has an example.
    """

    def register(rule: Rule) -> Rule:
        _RULES[primitive] = rule
        return rule

    return register


def interpret(arithmetic: Arithmetic, jaxpr: Any, consts: Sequence[Any], operands: Sequence[Value]) -> list[Value]:
    """The results of an open jaxpr for operands that may be series.

    Equations without a series among their operands are evaluated as usual, but with stable derivatives, in case the
    caller differentiates in other arguments.

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
        return stable_derivatives.eval_equation(equation, inputs)
    rule = _RULES.get(primitive) or _RULES.get(primitive.name)
    try:
        if rule is None:
            results = _RULES[DEFAULT_RULE](arithmetic, *inputs, primitive=primitive, parameters=equation.params)
        else:
            results = rule(arithmetic, *inputs, **equation.params)
    except MissingRule as error:  # inside this equation; JAX knows no source line for parts of its own derivatives
        error.place = error.place or place_of(equation)
        raise
    except (NoRule, NotImplementedError) as error:  # the second is JAX's, for a derivative that it lacks
        nestable = not isinstance(error, Unsafe)
        raise MissingRule(primitive.name, place_of(equation), str(error), nestable=nestable) from error
    return results if isinstance(results, list | tuple) else [results]


def place_of(equation: Any) -> str:
    """The line of the user's code that an equation comes from: "file.py:12:5 (function)"."""
    return source_info_util.summarize(equation.source_info)
