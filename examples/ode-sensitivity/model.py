"""Predators and prey (Lotka–Volterra), by classical Runge–Kutta steps; differentiable in every parameter."""

import jax
import jax.numpy as jnp

STEPS = 400


def prey(birth, death, hunt, gain, years):
    """The prey after ``years``, from 10 prey and 5 predators."""

    def slope(state):
        x, y = state
        return jnp.array([birth * x - hunt * x * y, gain * x * y - death * y])

    h = years / STEPS

    def step(_, state):
        a = slope(state)
        b = slope(state + h / 2 * a)
        c = slope(state + h / 2 * b)
        d = slope(state + h * c)
        return state + h / 6 * (a + 2 * b + 2 * c + d)

    return jax.lax.fori_loop(0, STEPS, step, jnp.array([10.0, 5.0]))[0]
