"""Functions of functions, drawn at random, against ``jax.jvp`` of ``jax.jvp`` …"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from . import reference

ORDER = 5

UNARY = {
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tanh": jnp.tanh,
    "atan": jnp.arctan,
    "asinh": jnp.arcsinh,
    "exp of the negated square": lambda x: jnp.exp(-x * x),
    "log of 1 more than the square": lambda x: jnp.log1p(x * x),
    "sqrt of 2 more than the square": lambda x: jnp.sqrt(x * x + 2),
    "logistic": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "erf": jax.scipy.special.erf,
    "cube": lambda x: x**3,
    "real power": lambda x: (x * x + 1) ** 1.25,
    "cbrt": lambda x: jnp.cbrt(x * x + 1),
    "silu": jax.nn.silu,
    "leaky": lambda x: jnp.where(x > 0.0, x, 0.25 * x),
    "prod of three": lambda x: jnp.prod(jnp.stack([x, x + 1, 2 - x])),
    "softmax": lambda x: jax.nn.softmax(jnp.stack([x, 1 - x]))[0],
    "scan": lambda x: jax.lax.fori_loop(0, 3, lambda _, y: jnp.sin(y) + x, x),
}
BINARY = {
    "add": jnp.add,
    "sub": jnp.subtract,
    "mul": jnp.multiply,
    "div": lambda a, b: a / (1 + b * b),
    "pow": lambda a, b: (a * a + 1) ** b,
    "maximum": jnp.maximum,
    "atan2": lambda a, b: jnp.arctan2(a, b * b + 1),
    "logaddexp": jnp.logaddexp,
    "hypot": lambda a, b: jnp.sqrt(a * a + b * b + 1),
}
LEAVES = st.sampled_from(["x", "2x - 1", "1.5"])


def trees(depth: int):
    """Names of functions, nested ``depth`` deep."""
    if depth == 0:
        return LEAVES
    below = trees(depth - 1)
    return st.one_of(
        st.tuples(st.sampled_from(list(UNARY)), below),
        st.tuples(st.sampled_from(list(BINARY)), below, st.one_of(LEAVES, below)),
    )


def evaluated(tree, x):
    if isinstance(tree, str):
        return {"x": x, "2x - 1": 2 * x - 1, "1.5": jnp.full_like(x, 1.5)}[tree]
    name, *inner = tree
    return (UNARY if len(inner) == 1 else BINARY)[name](*(evaluated(each, x) for each in inner))


@pytest.mark.parametrize("arithmetic", ["unrolled", "looped"])
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
@given(tree=st.integers(2, 3).flatmap(trees), point=st.sampled_from([-1.375, -0.3125, 0.4375, 1.1875]))
def test_compositions(arithmetic, tree, point):
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        reference.use(patch, arithmetic)

        def function(x):
            return evaluated(tree, x)

        wanted = reference.nested(function, point, ORDER)
        found = reference.computed(function, [point], ORDER)
        found = found[0]
        scale = np.max(np.abs(wanted), axis=-1, keepdims=True)
        np.testing.assert_allclose(found / scale, wanted / scale, rtol=1e-10, atol=1e-11)
