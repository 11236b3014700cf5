"""A down-and-out call under Black and Scholes, by Monte Carlo; Greeks are derivatives path by path."""

import jax
import jax.numpy as jnp

PATHS = 4_000
STEPS = 8


def payoff(spot, vol, draws, strike, barrier, years, rate):
    """One path's discounted payoff times its probability of having stayed above the barrier between its steps."""
    dt = years / STEPS
    moves = (rate - vol**2 / 2) * dt + vol * jnp.sqrt(dt) * draws
    above = jnp.log(spot / barrier) + jnp.concatenate([jnp.zeros(1), jnp.cumsum(moves)])
    apart = jnp.maximum(above, 0.0)
    survived = jnp.prod(-jnp.expm1(-2 * apart[:-1] * apart[1:] / (vol**2 * dt)))
    return jnp.exp(-rate * years) * jnp.maximum(barrier * jnp.exp(above[-1]) - strike, 0.0) * survived


def down_and_out_call(spot, strike, barrier, vol, years, rate, key):
    """The means over all paths, and their standard errors."""
    draws = jax.random.normal(key, (PATHS, STEPS))
    of_path = jax.value_and_grad(payoff, argnums=(0, 1))
    price, (delta, vega) = jax.vmap(of_path, (None, None, 0, *4 * [None]))(
        spot, vol, draws, strike, barrier, years, rate
    )
    results = {}
    for name, values in {"price": price, "delta": delta, "vega": vega}.items():
        results[name] = jnp.mean(values)
        results[f"{name}_error"] = jnp.std(values, ddof=1) / jnp.sqrt(PATHS)
    return results
