"""Expansions against mpmath and closed forms, order by order."""

import itertools
import math
from typing import Any

import mpmath
import numpy as np
import pyarrow as pa
import pytest

from jaxbatch import plan
from jaxbatch.errors import InputError, JobError

FUNCTIONS = {
    "sqrt": ("jax.numpy:sqrt", mpmath.sqrt),
    "sin": ("jax.numpy:sin", mpmath.sin),
    "exp": ("jax.numpy:exp", mpmath.exp),
    "log": ("jax.numpy:log", mpmath.log),
    "bell": ("functions.py:bell", lambda x: mpmath.exp(-(x**2))),
}

OWN = """
import jax.numpy as jnp

def bell(x):
    return jnp.exp(-x**2)

def wave(x, a):
    return jnp.exp(jnp.dot(jnp.asarray(a), x))

def power(x, exponent):
    return x**exponent

def two(x, y):
    return x + y
"""

SEVERAL = 'kernel = "taylor"\n[params.functions]\n' + "".join(f'{n} = "{r}"\n' for n, (r, _) in FUNCTIONS.items())
SQRT = 'kernel = "taylor"\n[params]\nfunction = "jax.numpy:sqrt"\n'


def check(row: dict, function, rel: float = 1e-13) -> None:
    """Every output of a row against 60 digits."""
    with mpmath.workdps(60):
        center, point = mpmath.mpf(row["center"]), mpmath.mpf(row["point"])
        terms = mpmath.taylor(function, center, row["order"])
        sums: list[Any] = [
            mpmath.fsum(t * (point - center) ** k for k, t in enumerate(terms[: n + 1])) for n in range(len(terms))
        ]
        true: Any = function(point)
        largest = float(max(abs(t * (point - center) ** k) for k, t in enumerate(terms)))
        errors = [float(true - s) for s in sums]
    scale = float(max(abs(t) for t in terms))
    assert row["status"] == "ok", row
    np.testing.assert_allclose(row["coefficients"], [float(t) for t in terms], rtol=rel, atol=1e-18 * scale)
    np.testing.assert_allclose(row["approximations"], [float(s) for s in sums], rtol=rel)
    np.testing.assert_allclose(row["errors"], errors, rtol=10 * rel, atol=0.1 * rel * largest)
    assert row["true_value"] == pytest.approx(float(true), rel=4e-16)


def test_sqrt_about_49_to_order_30_rows_of_mixed_order(bench):
    orders = [30, 0, 1, 2, 3, 5, 8]
    odd = [(None, 43.0, 3), (49.0, None, 3), (49.0, 43.0, None), (49.0, 43.0, -1), (49.0, -1.0, 1), (0.0, 1.0, 1)]
    centers, points, last = zip(*((49.0, 43.0, k) for k in orders), *odd, strict=True)
    bench.tasks({"center": centers, "point": points, "order": pa.array(last, pa.int8())})
    summary = bench.run(SQRT)
    rows = bench.output(summary).to_pylist()

    for row, order in zip(rows, orders, strict=False):
        assert [len(row[name]) for name in ("coefficients", "approximations", "errors")] == [order + 1] * 3
        check(row, mpmath.sqrt)
    assert abs(rows[0]["errors"][-1]) < 2e-15
    statuses = [row["status"] for row in rows[len(orders) :]]
    assert statuses == ["null_input", "null_input", "null_input", "invalid_input", "nonfinite", "nonfinite"]
    for row in rows[len(orders) : len(orders) + 4]:
        assert [row[name] for name in ("coefficients", "approximations", "errors", "true_value")] == [None] * 4
    assert rows[-2]["coefficients"] == pytest.approx([7.0, 1 / 14]), "a nonfinite row keeps what was computed"
    assert summary.compilations <= 5, "one for each rung of the order that is reached: 1, 2, 4, 8, 30"


def test_functions_by_name(bench):
    bench.file("functions.py", OWN)
    cases = [
        *[("sin", 0.0, 2.0, 7), ("sin", 1.2, 0.9, 4), ("exp", -1.0, 0.5, 12), ("log", 2.0, 2.5, 12)],
        *[("bell", 0.4, 0.6, 10), ("sqrt", 1.0, 1.5, 12)],
    ]
    odd = [("cos", 1.0, 1.0, 1), (None, 1.0, 1.0, 1)]
    function, center, point, order = zip(*cases, *odd, strict=True)
    bench.tasks({"function": function, "center": center, "point": point, "order": order})
    rows = bench.rows(SEVERAL)
    for row in rows[: len(cases)]:
        check(row, FUNCTIONS[row["function"]][1])
    assert [row["status"] for row in rows[len(cases) :]] == ["invalid_input", "null_input"]


def test_max_order_bounds_the_rows(bench):
    bench.tasks({"center": [4.0] * 3, "point": [5.0] * 3, "order": [2, 3, 4]})
    rows = bench.rows(SQRT + "max_order = 3\n")
    assert [row["status"] for row in rows] == ["ok", "ok", "invalid_input"]
    assert [row["coefficients"] and len(row["coefficients"]) for row in rows] == [3, 4, None]
    assert [row["status"] for row in bench.rows(SQRT)] == ["ok"] * 3, "by default the largest order in the data"


@pytest.mark.parametrize("order", [3, 9])  # either side of nested forward mode
def test_a_vector_is_expanded_along_the_line(bench, order):
    bench.file("functions.py", OWN)
    a, center, point = np.array([0.5, -1.0, 2.0]), np.array([0.1, 0.2, 0.3]), np.array([0.7, -0.3, 0.5])
    centers = [center.tolist(), center.tolist(), [1.0, 2.0], [None, 1.0, 1.0], None]
    bench.tasks({"center": centers, "point": [point.tolist()] * 5, "order": [order, 1, 1, 1, 1]})
    job = """
    kernel = "taylor"
    [params]
    function = "functions.py:wave"
    [input]
    path = "tasks.parquet"
    constants = {a = [0.5, -1.0, 2.0]}
    """
    rows = bench.rows(job)
    slope = a @ (point - center)
    terms = [math.exp(a @ center) * slope**k / math.factorial(k) for k in range(order + 1)]
    for row, k in zip(rows, (order, 1), strict=False):
        np.testing.assert_allclose(row["coefficients"], terms[: k + 1], rtol=1e-13)
        np.testing.assert_allclose(row["approximations"], np.cumsum(terms)[: k + 1], rtol=1e-14)
        assert row["true_value"] == pytest.approx(math.exp(a @ point), rel=1e-15)
        np.testing.assert_allclose(row["errors"], math.exp(a @ point) - np.cumsum(terms)[: k + 1], rtol=0, atol=1e-14)
    assert [row["status"] for row in rows] == ["ok", "ok", "invalid_input", "null_input", "null_input"]


def test_constants_for_any_input(bench):
    bench.tasks({"place": [43.0, 50.0]})
    job = (
        SQRT + '[input]\npath = "tasks.parquet"\ncolumns = {point = "place"}\nconstants = {center = 49.0, order = 6}\n'
    )
    for row in bench.rows(job):
        check({**row, "center": 49.0, "point": row["place"], "order": 6}, mpmath.sqrt)


def test_a_constant_of_the_function(bench):
    bench.file("functions.py", OWN)
    bench.tasks({"center": [2.0], "point": [2.5], "order": [4]})
    job = 'kernel = "taylor"\n[params]\nfunction = "functions.py:power"\n'
    (row,) = bench.rows(job + '[input]\npath = "tasks.parquet"\nconstants = {exponent = 2.5}\n')
    check(row, lambda x: x ** mpmath.mpf("2.5"))


def test_float32_is_float32_beyond_the_largest_factorial_it_holds(bench):
    bench.tasks({"center": [1.0, 1.0], "point": [1.25, 0.5], "order": [36, 36]})
    job = 'kernel = "taylor"\n[params]\nfunction = "jax.numpy:log"\n[compute]\nprecision = "float32"\n'
    table = bench.output(bench.run(job))
    for name in ("coefficients", "approximations", "errors"):
        assert table.schema.field(name).type == pa.list_(pa.float32())
    exact = [0.0] + [(-1) ** (k + 1) / k for k in range(1, 37)]
    for row in table.to_pylist():
        np.testing.assert_allclose(row["coefficients"], exact, rtol=1e-5)
        assert row["approximations"][-1] == pytest.approx(math.log(row["point"]), rel=1e-6)


@pytest.mark.parametrize(
    ("columns", "params", "error", "words"),
    [
        ({"order": [1.0]}, 'function = "jax.numpy:sqrt"', InputError, "'order' is double"),
        ({"center": [[1.0, 2.0]]}, 'function = "jax.numpy:sqrt"', InputError, "shape"),
        ({"center": ["one"]}, 'function = "jax.numpy:sqrt"', InputError, "'center' is string"),
        ({}, 'function = "functions.py:two"', JobError, "2 free arguments"),
        ({}, 'function = "jax.numpy:sqrt"\nmax_order = -1', JobError, "max_order"),
        ({"center": [[1.0]], "point": [[2.0]]}, 'function = "jax.numpy:sqrt"', JobError, "one real number"),
    ],
)
def test_refused_before_any_work(bench, columns, params, error, words):
    bench.file("functions.py", OWN)
    bench.tasks({"center": [1.0], "point": [2.0], "order": [1], **columns})
    with pytest.raises(error, match=words):
        bench.run(f'kernel = "taylor"\n[params]\n{params}\n')


def test_an_order_beyond_the_function_is_refused_before_any_work(bench):
    bench.file("functions.py", "import jax\n\ndef chance(a):\n    return jax.scipy.special.gammainc(a, 2.0)\n")
    bench.tasks({"center": [0.1], "point": [0.2], "order": [9]})
    with pytest.raises(JobError, match=r"'igamma', at .*functions.py:4.*\n.*register_rule.*max_order"):
        bench.run('kernel = "taylor"\n[params]\nfunction = "functions.py:chance"\n')


def test_orders_0_to_64_compile_once_per_rung(bench):
    orders = list(range(65)) * 2
    bench.tasks({"center": [49.0] * 130, "point": [43.0] * 65 + [47.5] * 65, "order": orders})
    rungs = [1, 2, 4, 8, 12, 16, 24, 32, 48, 64]
    planned = plan(bench.job(SQRT))
    assert [program["rows_of"] for program in planned.programs] == [f"jax.numpy:sqrt, order ≤ {rung}" for rung in rungs]
    summary = bench.run(SQRT)
    assert summary.compilations == len(rungs)
    rows = bench.output(summary).to_pylist()
    assert [len(row["coefficients"]) for row in rows] == [order + 1 for order in orders]
    for row in (rows[k] for k in (0, 3, 12, 17, 40, 64, 65 + 64)):
        check(row, mpmath.sqrt)
    errors = np.abs(rows[64]["errors"])
    assert errors[30] < 2e-15
    assert all(after < before for before, after in itertools.pairwise(errors[:15])), "until they round"


@pytest.mark.parametrize(("function", "at", "derivative"), [("exp", 0.5, math.exp(0.5)), ("log", 2.0, None)])
def test_order_64_in_float32(bench, function, at, derivative):
    bench.tasks({"x": [at], "center": [at], "point": [at + 0.25], "order": [64]})
    job = f'kernel = "taylor"\n[params]\nfunction = "jax.numpy:{function}"\n[compute]\nprecision = "float32"\n'
    (row,) = bench.rows(job)
    assert row["status"] == "ok"
    assert row["approximations"][-1] == pytest.approx(getattr(math, function)(at + 0.25), rel=3e-7)
    with mpmath.workdps(30):
        exact = [float(term) for term in mpmath.taylor(getattr(mpmath, function), at, 64)]
    np.testing.assert_allclose(row["coefficients"], exact, rtol=3e-6, atol=1.2e-38)  # below it nothing is normal
    if derivative:
        params = '[params]\nfunction = "jax.numpy:exp"\norder = 64\n'
        left = '[input]\npath = "tasks.parquet"\ndefaults = ["order"]\n'
        job = f'kernel = "derivatives"\n{params}{left}[compute]\nprecision = "float32"\n'
        (row,) = bench.rows(job)
        assert [row["d40"], row["d64"]] == pytest.approx([derivative] * 2, rel=3e-6)
