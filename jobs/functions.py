"""The functions of the sample jobs: plain JAX, one row at a time."""

import jax.numpy as jnp
from jax.scipy.stats import norm


def square(x):
    """The notebook's first cell."""
    return x**2


def sqrt(x):
    """The notebook's second cell, as it is written in the notebook."""
    return x ** (1 / 2)


def log1p_squared(x):
    return jnp.log1p(x) ** 2


def black_scholes(spot, strike, vol, maturity, rate=0.0, dividend=0.0, call=1.0):
    """The price of a European option; ``call`` is 1 for a call and -1 for a put.

    Black and Scholes 1973; with a continuous dividend yield, Merton 1973.
    """
    deviation = vol * jnp.sqrt(maturity)
    d1 = (jnp.log(spot / strike) + (rate - dividend + 0.5 * vol**2) * maturity) / deviation
    d2 = d1 - deviation
    forward = spot * jnp.exp(-dividend * maturity) * norm.cdf(call * d1)
    return call * (forward - strike * jnp.exp(-rate * maturity) * norm.cdf(call * d2))


def payoffs(spot, strike):
    """Several results of one position, each a column."""
    return {"call": jnp.maximum(spot - strike, 0.0), "put": jnp.maximum(strike - spot, 0.0), "moneyness": spot / strike}
