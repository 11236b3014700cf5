"""Derivatives in several numbers keep their digits where JAX's own rules lose them, against mpmath."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mpmath as mp
import pytest

Y = 0.75

TAIL = (-40.0, -20.0, -1e-9, 1e-300, 1e-6, 0.3, 7.0, 20.0, 40.0, 300.0)
POSITIVE = (1e-9, 0.3, 1.0, 1.46, 2.0, 2.5, 7.0, 30.0, 90.0, 1e3)
INNER = (1 - 1e-10, -1 + 1e-12, 1e-9, -1e-6, 1e-300, 0.5, -0.25, 0.875, 0.999, 0.0)
FUNCTIONS: dict[str, tuple[str, Callable[[Any], Any], Sequence[float]]] = {
    "tanh": ("jnp.tanh", mp.tanh, TAIL),
    "sigmoid": ("jax.nn.sigmoid", lambda x: 1 / (1 + mp.exp(-x)), TAIL),
    "softplus": ("jax.nn.softplus", lambda x: mp.log1p(mp.exp(x)), TAIL),
    "expm1": ("jnp.expm1", mp.expm1, TAIL),
    "sinc": ("jnp.sinc", mp.sincpi, (0.49999999999999994, 1e-9, -1e-6, 1e-300, 0.0, 0.6, -2.5, 700.0, 1e10, 3.25)),
    "logaddexp2": ("lambda x: jnp.logaddexp2(x, 0.0)", lambda x: mp.log(1 + mp.mpf(2) ** x, 2), TAIL),
    "asin": ("jnp.arcsin", mp.asin, INNER),
    "atanh": ("jnp.arctanh", mp.atanh, INNER),
    "asinh": ("jnp.arcsinh", mp.asinh, (1e160, -1e155, 1e-9, 0.0, 0.5, -2.0, 30.0, 1e9, 1e5, -1e-300)),
    "hypot": (
        "lambda x: jnp.hypot(x, 1)",
        lambda x: mp.sqrt(x * x + 1),
        (1.0, -1.0, 0.0, 1e-9, 1e5, -30.0, 0.5, 2.0, 1e-150, 1e9),
    ),
    "gammaln": ("special.gammaln", mp.loggamma, POSITIVE),
    "digamma": ("special.digamma", mp.digamma, POSITIVE),
    "trigamma": ("lambda x: special.polygamma(1, x)", lambda x: mp.psi(1, x), POSITIVE),
    "inner": ("called", mp.tanh, TAIL),
    "ruled": ("by_rule", lambda x: mp.log1p(mp.exp(x)), TAIL),
}

REVERSE = ("sigmoid", "softplus", "expm1", "logaddexp2", "asin", "asinh", "gammaln", "ruled")
"""With y more numbers than forward mode is taken for."""

HEAD = """
import jax, jax.numpy as jnp
from jax.scipy import special

@jax.jit
def called(x):
    passed = jax.lax.fori_loop(0, 1, lambda i, v: jnp.tanh(x), x)
    return jax.lax.cond(x > 1e3, lambda v: v, lambda v: sinc(passed, 1.0, 1.0), x)

@jax.jit
def sinc(x, y, z):
    return x * y * z

@jax.custom_jvp
def by_rule(x):
    return jnp.logaddexp(x, 0.0)

by_rule.defjvps(lambda v, _, x: v * jax.nn.sigmoid(x))
"""


def source(names: Sequence[str]) -> str:
    """``f``, the sum of the functions, each in an argument of its own, times y."""
    terms = " + ".join(f"({FUNCTIONS[name][0]})({name})" for name in names)
    return f"{HEAD}\ndef f({', '.join(names)}, y):\n    return ({terms}) * y\n"


def exact(name: str, x: float, order: int) -> float:
    """A derivative in one number."""
    size = abs(x) if x else 1.0
    with mp.workdps(80 + 2 * math.ceil(abs(math.log10(size))) + int(min(size, 300.0))):
        step = mp.mpf(min(size, 1e-6 * max(size, 1.0), 1 - size if size < 1 else 1.0)) * mp.mpf(10) ** -20
        return float(mp.re(mp.diff(FUNCTIONS[name][1], mp.mpf(x), order, h=step)))


def check(rows: Sequence[Mapping[str, Any]], names: Sequence[str], partials: Sequence[str]) -> None:
    """Every partial of every row; what is below the smallest normal number is 0 on a CPU."""
    for row in rows:
        for name in names:
            for partial in partials:
                path = [name if each == "x" else "y" for each in partial]
                expected = exact(name, row[name], path.count(name)) * (Y if "y" not in path else 1.0)
                found = row["_".join(("d", *path))]
                assert found == pytest.approx(expected, rel=1e-12, abs=1e-304), (path, row[name])


def run(bench: Any, names: Sequence[str], partials: Sequence[str]) -> None:
    """All functions in one program."""
    bench.file("functions.py", source(names))
    bench.tasks({**{name: [float(x) for x in FUNCTIONS[name][2]] for name in names}, "y": [Y] * len(TAIL)})
    listed = [",".join(name if each == "x" else "y" for each in partial) for name in names for partial in partials]
    rows = bench.rows(f'kernel = "derivatives"\n[params]\nfunction = "functions.py:f"\npartials = {listed}\n')
    assert [row["status"] for row in rows] == ["ok"] * len(TAIL)
    check(rows, names, partials)


@pytest.mark.parametrize(
    "names",
    [("tanh", "sinc", "trigamma"), ("hypot", "atanh", "inner"), REVERSE],
    ids=["forward", "forward, called within", "reverse"],
)
def test_first_and_second(bench, names):
    run(bench, names, ("x", "xx", "xy"))


def test_third_order_with_series_within(bench):
    run(bench, ("tanh", "sigmoid", "digamma"), ("xxy",))


def test_all_that_a_vector_has(bench):
    bench.file("functions.py", f"{HEAD}\ndef f(x, y):\n    return y * jnp.sum(jnp.tanh(x) + jax.nn.sigmoid(x))\n")
    points = [20.0, 1e-9, -7.0, 0.3, 40.0, -1e-6]
    bench.tasks({"x": [points], "y": [Y]})
    (row,) = bench.rows('kernel = "derivatives"\n[params]\nfunction = "functions.py:f"\norder = 2\n')
    for i, x in enumerate(points):
        first, second = (exact("tanh", x, n) + exact("sigmoid", x, n) for n in (1, 2))
        assert row["d_x"][i] == pytest.approx(first * Y, rel=1e-14, abs=0)
        assert row["d_x_y"][i] == pytest.approx(first, rel=1e-14, abs=0)
        assert row["d_x_x"][i][i] == pytest.approx(second * Y, rel=1e-12, abs=0)
