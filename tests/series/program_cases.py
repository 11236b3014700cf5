"""Programs: branches, loops, and derivatives of the user's own."""

from functools import partial

import jax
import jax.numpy as jnp
import mpmath as mp
from jax import lax

from .reference import Case


@jax.custom_jvp
def _tangent(x):
    return jnp.tan(x)


@_tangent.defjvp
def _(primals, tangents):
    y = _tangent(*primals)
    return y, (1 + y * y) * tangents[0]


@jax.custom_jvp
def _log_one_plus_exp(x):
    return jnp.log(1 + jnp.exp(x))


_log_one_plus_exp.defjvps(lambda t, _, x: t * (1 - 1 / (1 + jnp.exp(x))))


@jax.custom_jvp
def _straight_through(x):
    return jnp.round(x)


_straight_through.defjvps(lambda t, _, __: t)


@jax.custom_vjp
def _sine(x):
    return jnp.sin(x)


_sine.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (g * jnp.cos(x),))


@jax.custom_vjp
def _norms(v, w):
    return jnp.stack([jnp.sum(v * v), jnp.sum(v * w)])


_norms.defvjp(
    lambda v, w: (_norms(v, w), (v, w)), lambda kept, g: (2 * g[0] * kept[0] + g[1] * kept[1], g[1] * kept[0])
)


@partial(jax.jit, static_argnums=1)
def _jitted(x, power):
    return jnp.exp(x) ** power


def _runge_kutta(x, steps=6):
    """y' = −y² + s from y(0) = x, by the classical method."""

    def slope(y, s):
        return s - y * y

    def step(y, s):
        h = 0.125
        a = slope(y, s)
        b = slope(y + h / 2 * a, s + h / 2)
        c = slope(y + h / 2 * b, s + h / 2)
        d = slope(y + h * c, s + h)
        return y + h / 6 * (a + 2 * b + 2 * c + d), None

    return lax.scan(step, x, jnp.arange(steps) * 0.125)[0]


def _exact_runge_kutta(x, steps=6):
    h = mp.mpf(0.125)
    for n in range(steps):
        s = n * h
        a = s - x * x
        b = s + h / 2 - (x + h / 2 * a) ** 2
        c = s + h / 2 - (x + h / 2 * b) ** 2
        d = s + h - (x + h * c) ** 2
        x = x + h / 6 * (a + 2 * b + 2 * c + d)
    return x


def _filter(x):
    """A scan with series in what it carries, in its rows, in what it stacks and in what it closes over."""

    def step(carry, row):
        total, count = carry
        total = total * jnp.tanh(x) + row
        return (total, count + 1), total * count

    rows = jnp.stack([x, x * x, jnp.cos(x)])
    (total, count), stacked = lax.scan(step, (0.5, 0), rows)
    return jnp.concatenate([stacked, jnp.stack([total, count + 0.0])])


def _exact_filter(x):
    total, stacked = mp.mpf(0.5), []
    for n, row in enumerate([x, x * x, mp.cos(x)]):
        total = total * mp.tanh(x) + row
        stacked.append(total * n)
    return [*stacked, total, mp.mpf(3)]


def _doubled(x):
    """A loop that ends on a threshold, and is nowhere near a fixed point."""
    return lax.while_loop(lambda y: y < 10.0, lambda y: 2 * y, x)


def _counted(x):
    return lax.while_loop(lambda s: s[0] < 5, lambda s: (s[0] + 1, jnp.sin(s[1]) + 0.5), (0, x))[1]


def _exact_counted(x):
    for _ in range(5):
        x = mp.sin(x) + 0.5
    return x


def _newton(x):
    """The root of y³ + y = x."""

    def goes_on(state):
        y, before = state
        return jnp.abs(y - before) > 1e-10

    def step(state):
        y, _ = state
        return y - (y**3 + y - x) / (3 * y * y + 1), y

    return lax.while_loop(goes_on, step, (jnp.ones_like(x), jnp.zeros_like(x)))[0]


def _exact_newton(x):
    return mp.findroot(lambda y: y**3 + y - x, 1)


def _flagged(x):
    """The same root, by a loop that carries the outcome of its test."""

    def step(state):
        y, _ = state
        after = y - (y**3 + y - x) / (3 * y * y + 1)
        return after, jnp.abs(after - y) > 1e-10

    return lax.while_loop(lambda s: s[1], step, (jnp.ones_like(x), jnp.array(True)))[0]


def _settled(x):
    """The fixed point of y = cos(x·y)."""

    def step(state):
        return jnp.cos(x * state[0]), state[0]

    return lax.while_loop(lambda s: jnp.abs(s[0] - s[1]) > 1e-12, step, (jnp.ones_like(x), jnp.zeros_like(x)))[0]


def _exact_settled(x):
    return mp.findroot(lambda y: y - mp.cos(x * y), 0.9)


CASES = [
    Case("jit", lambda x: _jitted(x, 3), lambda x: mp.exp(3 * x), (0.0, 1.25)),
    Case("checkpoint", jax.checkpoint(lambda x: jnp.sin(jnp.exp(x))), lambda x: mp.sin(mp.exp(x)), (0.0, 1.25)),
    Case("custom_jvp", lambda x: _log_one_plus_exp(x * x), lambda x: mp.log(1 + mp.exp(x * x)), (0.0, 1.25)),
    Case("custom_jvp that calls itself", lambda x: _tangent(x + x**2), lambda x: mp.tan(x + x**2), (0.0, 0.5)),
    Case("straight through", lambda x: _straight_through(x) * x, None, (0.75, 1.25)),
    Case("custom_vjp", lambda x: _sine(x * x), lambda x: mp.sin(x * x), (0.0, 1.25)),
    Case(
        "custom_vjp of vectors",
        lambda x: _norms(jnp.stack([x, x * x]), jnp.stack([jnp.sin(x), x])),
        lambda x: [x**2 + x**4, x * mp.sin(x) + x**3],
        (0.0, 1.25),
    ),
    Case(
        "cond",
        lambda x: lax.cond(x < 1, jnp.sin, lambda a: a * a, x),
        lambda x: mp.sin(x) if x < 1 else x * x,
        (0.25, 1.25),
    ),
    Case(
        "cond, one branch constant",
        lambda x: lax.cond(x < 1, lambda: 2.0, lambda: x * x),
        lambda x: mp.mpf(2) if x < 1 else x * x,
        (0.25, 1.25),
    ),
    Case(
        "switch",
        lambda x: lax.switch(x.astype(int), [jnp.sin, jnp.cos, jnp.exp], x),
        lambda x: [mp.sin, mp.cos, mp.exp][int(x)](x),
        (0.25, 2.25),
    ),
    Case("scan", _runge_kutta, _exact_runge_kutta, (0.0, 1.25)),
    Case("scan of series", _filter, _exact_filter, (0.0, 1.25)),
    Case(
        "fori_loop",
        lambda x: lax.fori_loop(0, 4, lambda i, y: y * x + i, x),
        lambda x: (((x * x) * x + 1) * x + 2) * x + 3,
        (0.0, 1.25),
    ),
    Case("while that counts", _counted, _exact_counted, (0.0, 1.25)),
    Case("while to a threshold", _doubled, lambda x: 8 * x if x > 1.25 else 16 * x, (2.25, 1.0)),
    Case("Newton's iteration", _newton, _exact_newton, (0.5, 2.25), radius=0.38),
    Case("Newton's iteration with a flag", _flagged, _exact_newton, (0.5, 2.25), radius=0.38),
    Case("a fixed point", _settled, _exact_settled, (0.5, 1.0), radius=0.5),
]
