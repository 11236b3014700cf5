"""Special functions and the activations of :mod:`jax.nn`."""

import jax
import jax.numpy as jnp
import mpmath as mp
from jax.scipy import special

from .reference import Case

CASES = [
    Case("erf", special.erf, mp.erf, (0.0, -1.25)),
    Case("erf of a series", lambda x: special.erf(x * x - 1), lambda x: mp.erf(x * x - 1), (0.0, 1.25)),
    Case("erfc", special.erfc, mp.erfc, (0.0, 2.5)),
    Case("erf_inv", special.erfinv, mp.erfinv, (0.0, -0.5)),
    Case("lgamma", jax.lax.lgamma, mp.loggamma, (0.75, 6.5), radius=0.75),
    Case(
        "lgamma of a series",
        lambda x: jax.lax.lgamma(x * x + 1),
        lambda x: mp.loggamma(x * x + 1),
        (0.25, 1.5),
        radius=1,
    ),
    Case("digamma", jax.lax.digamma, mp.digamma, (0.75, 6.5), radius=0.75),
    Case("polygamma", lambda x: jax.lax.polygamma(2.0, x), lambda x: mp.polygamma(2, x), (0.75, 6.5), radius=0.75),
    Case("zeta", lambda x: jax.lax.zeta(3.0, x), lambda x: -mp.polygamma(2, x) / 2, (0.75, 6.5), radius=0.75),
    Case("i0e", special.i0e, lambda x: mp.exp(-abs(x)) * mp.besseli(0, x), (0.5, -4.0)),
    Case("i1e", special.i1e, lambda x: mp.exp(-abs(x)) * mp.besseli(1, x), (0.5, -4.0)),
    Case("i0", special.i0, lambda x: mp.besseli(0, x), (0.5, -4.0)),
    Case(
        "i0e of a series",
        lambda x: special.i0e(x * x + 1),
        lambda x: mp.exp(-x * x - 1) * mp.besseli(0, x * x + 1),
        (0.0, 1.5),
    ),
    Case("sinc", jnp.sinc, mp.sincpi, (0.0, 0.25)),
    Case("sinc far out", jnp.sinc, mp.sincpi, (-0.7, 5.5)),
    Case("relu", lambda x: jax.nn.relu(jnp.sin(x)), lambda x: max(mp.sin(x), mp.mpf(0)), (-0.5, 1.5)),
    Case("softplus", jax.nn.softplus, lambda x: mp.log(1 + mp.exp(x)), (0.0, -3.0)),
    Case(
        "logaddexp",
        lambda x: jnp.logaddexp(x, jnp.sin(x)),
        lambda x: mp.log(mp.exp(x) + mp.exp(mp.sin(x))),
        (0.25, -3.0),
    ),
    Case("gelu", lambda x: jax.nn.gelu(x, approximate=False), lambda x: x * mp.ncdf(x), (0.0, -1.25)),
    Case(
        "gelu by tanh",
        jax.nn.gelu,
        lambda x: x / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + 0.044715 * x**3))),
        (0.0, -1.25),
    ),
    Case("silu", jax.nn.silu, lambda x: x / (1 + mp.exp(-x)), (0.0, -1.25)),
    Case("elu", jax.nn.elu, lambda x: x if x > 0 else mp.expm1(x), (0.5, -1.25)),
    Case("logit", special.logit, lambda x: mp.log(x / (1 - x)), (0.5, 0.125)),
    Case("ndtr", special.ndtr, mp.ncdf, (0.0, -1.25)),
    Case("log_ndtr", special.log_ndtr, lambda x: mp.log(mp.ncdf(x)), (0.0, -1.25)),
    Case(
        "gammainc", lambda x: special.gammainc(2.5, x), lambda x: mp.gammainc(2.5, 0, x, regularized=True), (0.75, 4.0)
    ),
    Case(
        "betainc",
        lambda x: special.betainc(2.5, 3.5, x),
        lambda x: mp.betainc(2.5, 3.5, 0, x, regularized=True),
        (0.25, 0.5),
        radius=0.25,
    ),
]
