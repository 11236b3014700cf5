"""Arrays: reductions, sorting, indexing, products of matrices, complex numbers in between."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np

from .reference import Case

KERNEL = np.array([0.5, -1.0, 2.0])
MATRIX = np.array([[1.0, 2.0, -0.5], [0.25, -1.0, 3.0]])


def _three(x):
    return jnp.stack([x, jnp.sin(x), jnp.exp(-x)])


def _exact_three(x):
    return [x, mp.sin(x), mp.exp(-x)]


def _log_sum(terms):
    return mp.log(mp.fsum(mp.exp(term) for term in terms))


def _running(combine, terms):
    found = [terms[0]]
    for term in terms[1:]:
        found.append(combine(found[-1], term))
    return found


def _on_three(name, function, exact, points=(0.25, 1.5), **options):
    return Case(name, lambda x: function(_three(x)), lambda x: exact(_exact_three(x)), points, **options)


def _scattered(x):
    return jnp.zeros(4).at[jnp.array([2, 0, 2])].add(_three(x)).at[1].set(x * x)


def _exact_scattered(x):
    a, b, c = _exact_three(x)
    return [b, x * x, a + c, mp.mpf(0)]


def _fourier(x):
    found = jnp.fft.fft(_three(x))
    return jnp.stack([found[1].real, found[2].imag, jnp.abs(found[1])])


def _exact_fourier(x):
    def at(k):
        terms = [a * mp.expjpi(mp.mpf(-2 * j * k) / 3) for j, a in enumerate(_exact_three(x))]
        return mp.fsum(mp.re(t) for t in terms), mp.fsum(mp.im(t) for t in terms)

    (real, imaginary), (_, second) = at(1), at(2)
    return [real, second, mp.sqrt(real**2 + imaginary**2)]


def _interpolated(x):
    return jnp.interp(x, jnp.array([0.0, 1.0, 2.0]), jnp.array([1.0, 3.0, -1.0])) * x


CASES = [
    _on_three("sum", jnp.sum, mp.fsum),
    _on_three("prod", jnp.prod, mp.fprod),
    _on_three("max and min", lambda v: jnp.stack([jnp.max(v), jnp.min(v)]), lambda v: [max(v), min(v)]),
    _on_three("cumsum", jnp.cumsum, lambda v: _running(lambda a, b: a + b, v)),
    _on_three("cumprod", jnp.cumprod, lambda v: _running(lambda a, b: a * b, v)),
    _on_three("cummax", jax.lax.cummax, lambda v: _running(max, v)),
    _on_three("cumlogsumexp", jax.lax.cumlogsumexp, lambda v: [_log_sum(v[: i + 1]) for i in range(3)]),
    _on_three("logsumexp", jax.nn.logsumexp, _log_sum),
    _on_three("softmax", jax.nn.softmax, lambda v: [mp.exp(a - _log_sum(v)) for a in v]),
    _on_three("log_softmax", jax.nn.log_softmax, lambda v: [a - _log_sum(v) for a in v]),
    _on_three("sort", jnp.sort, sorted),
    _on_three("top_k", lambda v: jax.lax.top_k(v, 2)[0], lambda v: sorted(v)[:0:-1]),
    _on_three("dot_general", lambda v: MATRIX @ v, lambda v: [mp.fdot(row, v) for row in MATRIX.tolist()]),
    _on_three("product of two series", lambda v: jnp.vdot(v, v[::-1]), lambda v: 2 * v[0] * v[2] + v[1] ** 2),
    _on_three(
        "conv",
        lambda v: jnp.convolve(v, KERNEL),
        lambda v: [mp.fsum(v[i] * KERNEL[n - i] for i in range(3) if 0 <= n - i < 3) for n in range(5)],
    ),
    _on_three(
        "conv of two series",
        lambda v: jnp.convolve(v, v),
        lambda v: [mp.fsum(v[i] * v[n - i] for i in range(3) if 0 <= n - i < 3) for n in range(5)],
    ),
    _on_three("gather", lambda v: v[jnp.array([2, 0, 2])], lambda v: [v[2], v[0], v[2]]),
    Case("scatter", _scattered, _exact_scattered, (0.25, 1.5)),
    _on_three("dynamic_slice", lambda v: jax.lax.dynamic_slice(v * v, (1,), (2,)), lambda v: [v[1] ** 2, v[2] ** 2]),
    _on_three(
        "dynamic_update_slice",
        lambda v: jax.lax.dynamic_update_slice(v, v[:1] ** 2, (1,)),
        lambda v: [v[0], v[0] ** 2, v[2]],
    ),
    _on_three(
        "concatenate", lambda v: jnp.concatenate([v, jnp.ones(1), v[:1] ** 2]), lambda v: [*v, mp.mpf(1), v[0] ** 2]
    ),
    _on_three("pad", lambda v: jnp.pad(v, 1, constant_values=2.0), lambda v: [mp.mpf(2), *v, mp.mpf(2)]),
    _on_three("flip and roll", lambda v: jnp.roll(jnp.flip(v), 1), lambda v: [v[0], v[2], v[1]]),
    _on_three(
        "transpose and reshape",
        lambda v: (v[:, None] * jnp.array([1.0, 2.0])).T.reshape(6),
        lambda v: [*v, *(2 * a for a in v)],
    ),
    _on_three(
        "a number and an array",
        lambda v: v[0] * v + v[1] / (v + 2) - v[0] ** 2,
        lambda v: [v[0] * a + v[1] / (a + 2) - v[0] ** 2 for a in v],
    ),
    _on_three(
        "numbers along an axis",
        lambda v: jnp.ravel(v[:, None] * v[None, :2] + v[None, :2]),
        lambda v: [a * b + b for a in v for b in v[:2]],
    ),
    _on_three("maximum of a number and an array", lambda v: jnp.maximum(v, v[0]), lambda v: [max(a, v[0]) for a in v]),
    Case("interp", _interpolated, lambda x: (1 + 2 * x if x < 1 else 7 - 4 * x) * x, (0.25, 1.5)),
    Case("exp(ix).real", lambda x: jnp.exp(1j * x * x).real, lambda x: mp.cos(x * x), (0.0, 1.5)),
    Case(
        "abs of complex",
        lambda x: jnp.abs((x + 2j) ** 3 / (1 + 1j * x)),
        lambda x: mp.sqrt(x * x + 4) ** 3 / mp.sqrt(1 + x * x),
        (0.0, 1.5),
    ),
    Case("fft", _fourier, _exact_fourier, (0.25, 1.5)),
    Case(
        "grad within",
        lambda x: jax.grad(lambda a: jnp.sin(a) * jnp.exp(a))(x),
        lambda x: mp.exp(x) * (mp.sin(x) + mp.cos(x)),
        (0.0, 0.75),
    ),
]
