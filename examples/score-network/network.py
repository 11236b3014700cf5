"""The network's shape, which its training and its use share."""

import equinox as eqx
import jax
import jax.numpy as jnp

FEATURES = ("income", "debt", "age", "years_employed")


def network(key):
    """From standardised features to the log-odds of a default."""
    return eqx.nn.MLP(
        len(FEATURES), "scalar", width_size=128, depth=2, activation=jax.nn.silu, dtype=jnp.float32, key=key
    )
