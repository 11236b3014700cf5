"""Large constants of a traced program, such as the weights of a model that a function closes over.

JAX leaves a constant where it meets it: among the constants of the program, or among those of a program inside it, as
those of a ``jit`` in the body of a loop. :func:`lifted` brings the large ones together.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.extend import core, source_info_util

from jaxbatch import jaxpr_walk

LARGE_BYTES = 16 * 2**10
"""From this size on an array counts as large. Nothing else decides it, so that bits follow from the job. What is
smaller stays in the program, which XLA may simplify with it."""

_CALLS = frozenset({"jit", "closed_call", "core_call"})
"""Equations that do no more than call the program inside them."""

_DIFFERENTIATED = frozenset({"remat2", "checkpoint", "custom_jvp_call", "custom_vjp_call"})
"""Those that matter to whoever differentiates the program, and otherwise only call the program inside them."""

_LOOPS = frozenset({"scan", "while", "cond"})


def is_large(value: Any) -> bool:
    """Whether a constant is an array of ``LARGE_BYTES`` or more. Keys of random numbers never are."""
    if not isinstance(value, jax.Array | np.ndarray) or isinstance(value, Tracer):
        return False
    return isinstance(value.dtype, np.dtype) and value.size * value.dtype.itemsize >= LARGE_BYTES


def lifted(program: Any, *, differentiated: bool = False) -> Any:
    """A closed jaxpr in which large constants of the programs inside it are constants of its own.

    Calls that hold such constants are replaced by what they call, and loops and branches get them as operands. If there
    are none, the program is returned as it is. Where none of these is the way in, as in a function with a batching rule
    of its own, constants stay.

    Args:
        program: a closed jaxpr.
        differentiated: whether it is yet to be differentiated. Then functions with a derivative of their own stay.
    """
    opened = _CALLS | _LOOPS | (frozenset() if differentiated else _DIFFERENTIATED)
    if not any(_holds_large(equation, opened) for equation in program.eqns):
        return program
    lifter = _Lifter(opened)
    return jax.make_jaxpr(lambda *inputs: lifter.evaluate(program, inputs))(*program.in_avals)


def _holds_large(equation: Any, opened: frozenset[str]) -> bool:
    """Whether programs inside an equation have large constants that can be lifted out of it."""
    by_platform = "branches_platforms" in equation.params
    if equation.primitive.name not in opened or by_platform:
        return False
    return any(
        any(map(is_large, getattr(inner, "consts", ()))) or any(_holds_large(each, opened) for each in inner.eqns)
        for inner in jaxpr_walk.nested(equation.params.values())
    )


class _Lifter:
    """Evaluates a program while it is traced anew, so that JAX makes the constants inside it those of the whole.

    Args:
        opened: the names of the primitives whose programs are evaluated too, where they hold large constants.
    """

    def __init__(self, opened: frozenset[str]):
        self._opened = opened
        self._loops: Mapping[str, Callable[..., Sequence[Any]]]
        self._loops = {"scan": self._scan, "while": self._while, "cond": self._cond}

    def evaluate(self, program: Any, inputs: Sequence[Any]) -> list[Any]:
        """The results of a jaxpr, closed or without constants."""
        jaxpr = getattr(program, "jaxpr", program)
        values = dict(zip(jaxpr.constvars, getattr(program, "consts", ()), strict=True))
        values.update(zip(jaxpr.invars, inputs, strict=True))

        def read(variable: Any) -> Any:
            return variable.val if isinstance(variable, core.Literal) else values[variable]

        for equation in jaxpr.eqns:
            with source_info_util.user_context(equation.source_info.traceback), equation.ctx.manager:
                results = self._results(equation, [read(variable) for variable in equation.invars])
            values.update(zip(equation.outvars, results, strict=True))
        return [read(variable) for variable in jaxpr.outvars]

    def _results(self, equation: Any, inputs: list[Any]) -> Sequence[Any]:
        primitive, parameters = equation.primitive, equation.params
        if not _holds_large(equation, self._opened):
            results = primitive.bind(*inputs, **primitive.get_bind_params(parameters))
            return results if primitive.multiple_results else [results]
        if primitive.name in _LOOPS:
            return self._loops[primitive.name](inputs, **parameters)
        (inner,) = jaxpr_walk.nested(parameters.values())
        return self.evaluate(inner, inputs)

    def _scan(self, inputs: list[Any], *, jaxpr: Any, num_consts: int, num_carry: int, **options: Any) -> Sequence[Any]:
        fixed, inputs = inputs[:num_consts], inputs[num_consts:]

        def step(carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
            results = self.evaluate(jaxpr, [*fixed, *carry, *row])
            return results[:num_carry], results[num_carry:]

        length, reverse, unroll = (options[name] for name in ("length", "reverse", "unroll"))
        carry, stacked = lax.scan(
            step, inputs[:num_carry], inputs[num_carry:], length=length, reverse=reverse, unroll=unroll
        )
        return [*carry, *stacked]

    def _while(
        self, inputs: list[Any], *, cond_jaxpr: Any, cond_nconsts: int, body_jaxpr: Any, body_nconsts: int
    ) -> Sequence[Any]:
        of_condition, inputs = inputs[:cond_nconsts], inputs[cond_nconsts:]
        of_body, start = inputs[:body_nconsts], inputs[body_nconsts:]

        def goes_on(carry: Sequence[Any]) -> Any:
            return self.evaluate(cond_jaxpr, [*of_condition, *carry])[0]

        def step(carry: Sequence[Any]) -> Sequence[Any]:
            results = self.evaluate(body_jaxpr, [*of_body, *carry])
            going_on = goes_on(carry)
            if not going_on.shape:
                return results
            # Batched by the user: the loop goes on while any of the batch does, and what has ended stays as it is.
            of_all = [lax.broadcast_in_dim(going_on, each.shape, range(going_on.ndim)) for each in results]
            return [lax.select(*each) for each in zip(of_all, results, carry, strict=True)]

        return lax.while_loop(lambda carry: jnp.any(goes_on(carry)), step, start)

    def _cond(self, inputs: list[Any], *, branches: Sequence[Any], **_: Any) -> Sequence[Any]:
        index, *operands = inputs
        functions = [lambda *values, branch=branch: self.evaluate(branch, values) for branch in branches]
        return lax.switch(index, functions, *operands)
