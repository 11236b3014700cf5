"""A European call, as a function of named numbers, and as one of the market in a single vector."""

import jax.numpy as jnp
from jax.scipy.stats import norm


def call(spot, strike, vol, years, rate):
    spread = vol * jnp.sqrt(years)
    d1 = (jnp.log(spot / strike) + (rate + vol**2 / 2) * years) / spread
    return spot * norm.cdf(d1) - strike * jnp.exp(-rate * years) * norm.cdf(d1 - spread)


def value(market):
    """market = [spot, vol, years, strike, rate]"""
    spot, vol, years, strike, rate = market
    return call(spot, strike, vol, years, rate)
