"""What the digest of a traced program tells apart, and when it does not tell all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.custom_batching import custom_vmap
from jax.extend import core

from jaxbatch.errors import JobError
from jaxbatch.jaxprs import digest


def of(function, *at):
    return digest(jax.make_jaxpr(function)(*(at or (0.5,))))


def scaled(by):
    large = np.full(5000, by)
    return lambda x: (x * large).sum()


@pytest.mark.parametrize(
    "function",
    [
        jnp.sqrt,
        jax.nn.relu,
        jax.nn.softplus,
        jax.scipy.stats.norm.cdf,
        jax.grad(jnp.logaddexp),
        scaled(2.0),
        lambda x: jnp.linalg.solve(jnp.eye(2) + x, jnp.ones(2)).sum(),
        lambda x: jax.lax.while_loop(lambda y: y < 3, lambda y: y + x, x),
    ],
)
def test_what_is_made_of_jaxs_own_primitives_is_told_whole(function):
    arguments = (0.5, 0.5) if "logaddexp" in str(function) else (0.5,)
    found = of(function, *arguments)
    assert found.complete
    assert found == of(function, *arguments)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (jnp.sin, jnp.cos),
        (scaled(2.0), scaled(3.0)),
        (lambda x: x + 1.0, lambda x: x + 2.0),
        (lambda x: jax.lax.cond(x > 0, jnp.sin, jnp.cos, x), lambda x: jax.lax.cond(x > 0, jnp.cos, jnp.sin, x)),
        (jax.nn.relu, lambda x: jnp.maximum(x, 1.0)),
        (lambda x: (x + x) * x, lambda x: x + x * x),
    ],
)
def test_what_computes_something_else_has_another(one, other):
    assert of(one) != of(other)


def test_names_do_not_count():
    def one(x):
        first = jnp.sin(x)
        return first * 2

    def other(renamed):
        return jnp.sin(renamed) * 2  # and comments

    assert of(one) == of(other)


def batched_by_a_rule():
    function = custom_vmap(lambda x: x + 1)
    function.def_vmap(lambda _size, _batched, x: (x + 2, True))
    return function


def test_a_rule_for_batching_is_known_by_its_name_alone():
    assert not of(batched_by_a_rule()).complete


def test_nor_is_anything_that_has_one_inside():
    inner = batched_by_a_rule()
    outer = jax.custom_jvp(inner)
    outer.defjvp(lambda primals, tangents: (inner(*primals), tangents[0]))
    assert not of(outer).complete
    assert not of(lambda x: jax.lax.scan(lambda carry, _: (inner(carry), None), x, length=3)[0]).complete


def test_nor_somebodys_own_primitive():
    own = core.Primitive("sqrt")  # so called, but not JAX's
    own.def_abstract_eval(lambda aval: aval)
    assert not of(own.bind, jnp.float32(1)).complete


def test_a_callback_is_refused():
    shape = jax.ShapeDtypeStruct((), "float32")
    with pytest.raises(JobError, match="calls back into Python"):
        of(lambda x: jax.pure_callback(lambda y: y, shape, x))
