"""Where a function has no Taylor series: what repeated ``jax.grad`` gives, or nothing finite; no other number."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from jax.scipy import special

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
        if np.isfinite(wanted).all():
            assert np.isfinite(found).all(), f"{arithmetic}: {found} for {wanted}"


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", ["abs", "sqrt", "softplus", "x**1.5", "sort"])
def test_low_orders(name, order):
    function, point = TIES[name]
    wanted, found = reference.nested(function, point, order), reference.computed(function, [point], order)[0]
    assert (np.isclose(found, wanted, rtol=1e-12, atol=1e-13) | ~np.isfinite(found)).all(), f"{found} for {wanted}"


KINKS_THAT_CANCEL = {
    "numpy's i0": (jnp.i0, lambda x: mp.besseli(0, x), 0.0),
    "i0 of a line": (lambda x: special.i0(2 * x - 1), lambda x: mp.besseli(0, 2 * x - 1), 0.5),
    "i1 of a parabola": (lambda x: special.i1(x * x - 0.25), lambda x: mp.besseli(1, x * x - 0.25), -0.5),
    "the square of a modulus": (lambda x: jnp.abs(x) * jnp.abs(x), lambda x: x * x, 0.0),
    "two maxima": (lambda x: jnp.maximum(x, 0.0) + jnp.minimum(x, 0.0), lambda x: x, 0.0),
    "hypot at a tie": (lambda x: jnp.hypot(x, 1.0), lambda x: mp.sqrt(x * x + 1), 1.0),
    "i1e from the right": (special.i1e, lambda x: mp.exp(-x) * mp.besseli(1, x), 0.0),
}
"""Smooth functions put together from functions that are not, at the kink; and what the modulus takes for the side."""


@pytest.mark.parametrize("arithmetic", ["unrolled", "looped"])
def test_kinks_that_cancel(arithmetic, monkeypatch):
    reference.use(monkeypatch, arithmetic)
    points = [point for _, _, point in KINKS_THAT_CANCEL.values()]

    def every(*xs: jax.Array) -> jax.Array:
        return jnp.stack([function(x) for (function, _, _), x in zip(KINKS_THAT_CANCEL.values(), xs, strict=True)])

    found = reference.computed(lambda t: every(*(point + t for point in points)), [0.0], 6)[0]
    for (name, (_, exact, point)), terms in zip(KINKS_THAT_CANCEL.items(), found, strict=True):
        with mp.workdps(40):
            wanted = [float(term) for term in mp.taylor(exact, point, 6)]
        np.testing.assert_allclose(terms, wanted, rtol=1e-13, atol=1e-15, err_msg=name)
