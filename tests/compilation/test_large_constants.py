"""Large constants are taken out of a program wherever JAX has left them, and nothing else changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.custom_batching import custom_vmap
from jax.extend import core

from jaxbatch.jaxpr_walk import equations, nested
from jaxbatch.large_constants import LARGE_BYTES, is_large, lifted

W = jnp.asarray(np.random.default_rng(0).uniform(-0.1, 0.1, (64, 64)), "float32")
V = np.random.default_rng(1).uniform(-0.1, 0.1, (64, 64)).astype("float32")
X = jnp.linspace(-1, 1, 64, dtype="float32")


def times(array):
    """x ↦ array·x, in a call that has the array for its own constant."""
    return jax.jit(lambda x: array @ x)


def with_a_rule(x):
    """W·x, of which the derivative is said to be V·x."""

    @jax.custom_jvp
    def function(x):
        return times(W)(x)

    function.defjvp(lambda primals, tangents: (function(*primals), times(V)(*tangents)))
    return function(x)


def _halve_and_add(_, carry):
    return carry / 2 + 0.1 * times(V)(X * carry).sum()


def _grow(carry):
    count, x = carry
    return count + 0.4, x + 0.1 * times(W)(x)


FUNCTIONS = {
    "call": times(W),
    "calls in calls": jax.jit(lambda x: jax.jit(lambda x: times(W)(x) + V @ x)(x)),
    "scan": lambda x: lax.scan(lambda x, y: (times(W)(x) + y, times(V)(x)), x, jnp.arange(3.0), reverse=True),
    "fori_loop": lambda x: lax.fori_loop(0, 3, lambda i, x: times(V)(x) + i, x),
    "while": lambda x: lax.while_loop(lambda x: times(W)(x).sum() < 1, lambda x: 2 * times(V)(x) + 1, x),
    "a batch of fori_loops": jax.vmap(lambda x: lax.fori_loop(0, jnp.abs(x * 3).astype(int), _halve_and_add, x)),
    "a batch of whiles": jax.vmap(lambda x: lax.while_loop(lambda c: c[0] < 1, _grow, (x, X + x))[1].sum()),
    "cond": lambda x: lax.cond(x[0] < 0, times(W), lambda x: x, x),
    "switch": lambda x: lax.switch(jnp.argmax(x[:3]), [times(W), lambda x: x, times(V)], x),
    "checkpoint": jax.checkpoint(lambda x: jnp.sin(times(W)(x))),
    "derivative": jax.jacfwd(lambda x: jnp.sin(times(W)(x)) * with_a_rule(x)),
    "custom_jvp": with_a_rule,
    "vmap": lambda x: jax.vmap(times(W))(jnp.stack([x, 2 * x])),
}


def inside(program):
    """The large constants of the programs inside a program."""
    jaxprs = (each for equation in equations(program) for each in nested(equation.params.values()))
    return [each for jaxpr in jaxprs for each in getattr(jaxpr, "consts", ()) if is_large(each)]


def bits(program):
    return [np.asarray(each).tobytes() for each in jax.jit(core.jaxpr_as_fun(program))(X)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_they_become_the_constants_of_the_whole(name):
    program = jax.make_jaxpr(FUNCTIONS[name])(X)
    assert inside(program)
    found = lifted(program)
    assert not inside(found)
    assert {id(W), id(V)} >= {id(getattr(each, "base", each)) for each in found.consts if is_large(each)}
    assert found.out_avals == program.out_avals
    assert bits(found) == bits(program)


def test_a_program_without_any_is_left_alone():
    small = jnp.ones(LARGE_BYTES // 4 - 1, "float32")
    for function in (lambda x: jax.jit(lambda x: x[0] * small)(x), lambda x: W @ x, lambda x: times(W[0])(x)):
        program = jax.make_jaxpr(function)(X)
        assert lifted(program) is program


def test_the_bytes_decide_what_is_large():
    assert is_large(np.zeros(LARGE_BYTES, "int8"))
    assert is_large(jnp.zeros(LARGE_BYTES // 2, "bfloat16"))
    assert not is_large(np.zeros(LARGE_BYTES - 1, "int8"))
    assert not is_large(jax.random.split(jax.random.key(0), LARGE_BYTES))
    assert not is_large([0.0] * LARGE_BYTES)


def test_what_is_yet_to_be_differentiated_keeps_its_rule():
    program = jax.make_jaxpr(lambda x: with_a_rule(x) + times(W)(x))(X)
    slope = jax.jacfwd(core.jaxpr_as_fun(lifted(program, differentiated=True)))(X)[0]
    np.testing.assert_allclose(slope, V + W, atol=1e-7)


def test_where_there_is_no_way_in_they_stay():
    function = custom_vmap(times(W))
    function.def_vmap(lambda _, __, x: (x, True))
    program = jax.make_jaxpr(function)(X)
    assert lifted(program) is program


def test_a_choice_by_platform_stays_one():
    program = jax.make_jaxpr(lambda x: lax.platform_dependent(x, cpu=times(W), default=lambda x: x))(X)
    assert inside(program)
    assert lifted(program) is program


def test_lines_of_the_users_code_are_still_known():
    program = lifted(jax.make_jaxpr(lambda x: jnp.tan(times(W)(x)))(X))
    (equation,) = (each for each in program.eqns if each.primitive.name == "tan")
    assert "test_large_constants.py" in str(equation.source_info.traceback)
