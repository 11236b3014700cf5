"""A position of calls on one share."""

import jax.numpy as jnp
from jax.scipy.stats import norm


def value(quantity, strike, years, spot, vol, rate):
    """Black and Scholes (1973), times the quantity."""
    spread = vol * jnp.sqrt(years)
    d1 = (jnp.log(spot / strike) + (rate + vol**2 / 2) * years) / spread
    return quantity * (spot * norm.cdf(d1) - strike * jnp.exp(-rate * years) * norm.cdf(d1 - spread))
