"""What the digest of a traced program tells apart, and when it does not tell all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.custom_batching import custom_vmap
from jax.experimental.xla_metadata import set_xla_metadata
from jax.extend import core

from jaxbatch.compilation.digest import digest
from jaxbatch.errors import JobError


def of(function, *at):
    return digest(jax.make_jaxpr(function)(*(at or (0.5,))))


def scaled(by):
    large = np.full(5000, by)
    return lambda x: (x * large).sum()


def squared(backward):
    function = jax.custom_vjp(lambda x: x * x)
    function.defvjp(lambda x: (x * x, x), lambda x, slope: (backward * x * slope,))
    return function


@pytest.mark.parametrize(
    "function",
    [
        jnp.sqrt,
        jax.nn.relu,
        jax.nn.softplus,
        jax.scipy.stats.norm.cdf,
        jax.grad(jax.nn.softplus),
        squared(2.0),
        scaled(2.0),
        lambda x: jnp.zeros(3).at[1].add(x),
        lambda x: jnp.linalg.solve(jnp.eye(2) + x, jnp.ones(2)).sum(),
        lambda x: jax.lax.while_loop(lambda y: y < 3, lambda y: y + x, x),
    ],
)
def test_what_is_made_of_jaxs_own_primitives_is_told_whole(function):
    found = of(function)
    assert found.complete
    assert found == of(function)


def uniform(partitionable):
    def function(x):
        with jax.threefry_partitionable(partitionable):
            return x + jax.random.uniform(jax.random.key(0), (3,)).sum()

    return function


def marked(value):
    def function(x):
        with set_xla_metadata(mark=value):
            return jnp.sin(x)

    return function


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (jnp.sin, jnp.cos),
        (scaled(2.0), scaled(3.0)),
        (lambda x: x + 1.0, lambda x: x + 2.0),
        (lambda x: jax.lax.cond(x > 0, jnp.sin, jnp.cos, x), lambda x: jax.lax.cond(x > 0, jnp.cos, jnp.sin, x)),
        (jax.nn.relu, lambda x: jnp.maximum(x, 1.0)),
        (lambda x: (x + x) * x, lambda x: x + x * x),
        (lambda x: x * np.array([1.0, 2.0]), lambda x: x * np.array([1.0, 2.0 + 1e-6])),
        (lambda x: x * np.array([1, 2], "int8"), lambda x: x * np.array([1, 2], "int16")),
        (lambda x: x.astype("int8"), lambda x: x.astype("int16")),
        (uniform(True), uniform(False)),
        (marked("1"), marked("2")),
    ],
)
def test_what_computes_something_else_has_another(one, other):
    assert of(one) != of(other)


def test_how_to_differentiate_does_not_count():
    assert of(squared(2.0)) == of(squared(3.0))


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


def test_random_numbers_are_known_by_their_generators_name():
    assert not of(lambda x: x + jax.random.uniform(jax.random.key(0))).complete


def test_nor_is_anything_that_jax_has_not_told_us_of():
    class Parameter:
        def __str__(self):
            return "the same"

    inner = core.primitives.sin_p
    jaxpr = jax.make_jaxpr(jnp.sin)(0.5)
    assert jaxpr.eqns[0].primitive is inner
    assert digest(jaxpr).complete
    other = jaxpr.eqns[0].replace(params={"accuracy": Parameter()})
    assert not digest(jaxpr.replace(jaxpr=jaxpr.jaxpr.replace(eqns=[other]))).complete


def test_nor_somebodys_own_primitive():
    own = core.Primitive("sqrt")  # so called, but not JAX's
    own.def_abstract_eval(lambda aval: aval)
    assert not of(own.bind, jnp.float32(1)).complete


def test_a_callback_is_refused():
    shape = jax.ShapeDtypeStruct((), "float32")
    with pytest.raises(JobError, match="calls back into Python"):
        of(lambda x: jax.pure_callback(lambda y: y, shape, x))
