"""The volatility at which a call has its price, by Newton's steps on the logarithm of the volatility."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm

from jaxbatch import Column, Kernel, Status


def call(spot, strike, vol, years):
    spread = vol * jnp.sqrt(years)
    d1 = jnp.log(spot / strike) / spread + spread / 2
    return spot * norm.cdf(d1) - strike * norm.cdf(d1 - spread)


@dataclass(frozen=True)
class ImpliedVol(Kernel):
    """The volatility implied by a price, without interest."""

    steps: int = 30

    inputs = (Column("spot"), Column("strike"), Column("years"), Column("price"))
    outputs = (Column("vol"),)

    def row(self, spot, strike, years, price):
        def error(log_vol):
            return call(spot, strike, jnp.exp(log_vol), years) - price

        def step(_, log_vol):
            miss, slope = jax.value_and_grad(error)(log_vol)
            return log_vol - jnp.clip(miss / slope, -1.0, 1.0)

        start = jnp.log(jnp.sqrt(2 * jnp.abs(jnp.log(spot / strike)) / years + 0.04))
        log_vol = jax.lax.fori_loop(0, self.steps, step, start)
        possible = (price > jnp.maximum(spot - strike, 0)) & (price < spot)
        solved = jnp.abs(error(log_vol)) < 1e-9 * spot
        status = jnp.where(solved, Status.ok, Status.not_converged)
        return {"vol": jnp.exp(log_vol), "status": jnp.where(possible, status, Status.invalid_input)}
