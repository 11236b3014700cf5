"""Where a function has no Taylor series: what repeated ``jax.grad`` gives, or nothing finite; no other number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from . import reference

HIGHEST = 8

TIES = {
    "abs": (jnp.abs, 0.0),
    "relu": (jax.nn.relu, 0.0),
    "maximum": (lambda x: jnp.maximum(x, 0.0), 0.0),
    "maximum of two series": (lambda x: jnp.maximum(x * x, jnp.sin(x)), 0.0),
    "minimum": (lambda x: jnp.minimum(2 * x, x * x), 0.0),
    "clip": (lambda x: jnp.clip(jnp.exp(x), 1.0, 2.0), 0.0),
    "sqrt": (jnp.sqrt, 0.0),
    "sqrt of a square": (lambda x: jnp.sqrt(x * x), 0.0),
    "where": (lambda x: jnp.where(x == 0, 1.0, jnp.sin(x) / x), 0.0),
    "where made safe": (lambda x: jnp.where(x == 0, 1.0, jnp.sin(x) / jnp.where(x == 0, 1.0, x)), 0.0),
    "softplus": (jax.nn.softplus, 0.0),
    "sinc": (jnp.sinc, 0.0),
    "logaddexp": (lambda x: jnp.logaddexp(x, 2 * x), 0.0),
    "x**1.5": (lambda x: x**1.5, 0.0),
    "x**-1": (lambda x: x**-1.0, 0.0),
    "cbrt": (jnp.cbrt, 0.0),
    "log": (jnp.log, 0.0),
    "i0": (jax.scipy.special.i0, 0.0),
    "i0e": (jax.scipy.special.i0e, 0.0),
    "i1e": (jax.scipy.special.i1e, 0.0),
    "sort": (lambda x: jnp.sort(jnp.stack([x, 2 * x, x * x, x])), 0.0),
    "max": (lambda x: jnp.max(jnp.stack([x, 2 * x, x * x])), 0.0),
    "sign": (lambda x: jnp.sign(x) * x, 0.0),
    "floor": (lambda x: jnp.floor(x) * x, 1.0),
    "arcsin": (jnp.arcsin, 1.0),
}
COSTLY = {
    "where": 5,
    "where made safe": 5,
    "sqrt of a square": 6,
    "softplus": 6,
    "sqrt": 6,
    "logaddexp": 5,
    "i0": 5,
    "i0e": 5,
    "i1e": 5,
    "sinc": 5,
    "arcsin": 6,
}
"""The orders to which repeated derivatives compile in a second or so."""


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", TIES)
def test_ties_are_those_of_grad(name, monkeypatch):
    function, point = TIES[name]
    known = COSTLY.get(name, HIGHEST)
    wanted = reference.nested(function, point, known)
    for arithmetic in ("unrolled", "looped"):
        reference.use(monkeypatch, arithmetic)
        found = reference.computed(function, [point], HIGHEST)[0, :, : known + 1]
        same = np.isclose(found, wanted, rtol=1e-12, atol=1e-13)
        assert (same | ~np.isfinite(found)).all(), f"{arithmetic}: {found} for {wanted}"
        if np.isfinite(wanted).all() and name not in ("i0", "i0e", "i1e"):
            assert np.isfinite(found).all(), f"{arithmetic}: {found} for {wanted}"


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", ["abs", "sqrt", "softplus", "x**1.5", "sort"])
def test_low_orders(name, order):
    function, point = TIES[name]
    wanted, found = reference.nested(function, point, order), reference.computed(function, [point], order)[0]
    assert (np.isclose(found, wanted, rtol=1e-12, atol=1e-13) | ~np.isfinite(found)).all(), f"{found} for {wanted}"
