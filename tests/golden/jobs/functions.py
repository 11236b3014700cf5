"""The functions of the golden jobs: plain JAX, one row at a time."""

import jax.numpy as jnp


def wave(x):
    return jnp.exp(-x) * jnp.sin(3 * x)


def root(x):
    return jnp.sqrt(x)


def surface(x, y, scale=1.0):
    return scale * jnp.log(x) * jnp.tanh(x * y)


def several(x, y, number):
    """Results of several types and shapes."""
    return {
        "radius": jnp.sqrt(x * x + y * y),
        "right": x > 0,
        "quadrant": jnp.where(y > 0, 1, 4).astype("int32"),
        "next": number + 1,
        "inverse": 1 / x,
        "outer": jnp.outer(jnp.stack([x, y]), jnp.stack([x, y, x + y])),
    }


def square(x):
    return x * x
