"""Loans of known risk, and a network that is trained on some of them by Adam."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from network import FEATURES, network

n, trained_on, steps = 6_000, 3_000, 150
rng = np.random.default_rng(0)
x = rng.standard_normal((n, len(FEATURES))).astype("float32")
income, debt, age, years = x.T
log_odds = 0.5 * age**2 - 1 + debt - income + 0.7 * income * debt - np.tanh(years)
risk = 1 / (1 + np.exp(-log_odds))
defaulted = rng.uniform(size=n) < risk


def loss(model):
    found = jax.vmap(model)(x[:trained_on])
    return jnp.mean(jnp.logaddexp(0, found) - found * defaulted[:trained_on])


@eqx.filter_jit
def step(model, mean, square, count):
    slope = eqx.filter_grad(loss)(model)
    mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, slope)
    square = jax.tree.map(lambda s, g: 0.99 * s + 0.01 * g**2, square, slope)
    move = jax.tree.map(
        lambda m, s: -3e-3 * m / (1 - 0.9**count) / (jnp.sqrt(s / (1 - 0.99**count)) + 1e-8), mean, square
    )
    return eqx.apply_updates(model, move), mean, square


model = network(jax.random.key(0))
mean = square = jax.tree.map(jnp.zeros_like, eqx.filter(model, eqx.is_array))
for count in range(1, steps + 1):
    model, mean, square = step(model, mean, square, jnp.float32(count))

Path("tasks").mkdir(exist_ok=True)
eqx.tree_serialise_leaves("tasks/network.eqx", model)
columns = {"id": range(n), **dict(zip(FEATURES, x.T, strict=True)), "true_probability": risk}
pq.write_table(pa.table(columns), "tasks/loans.parquet")
