"""Derivatives against mpmath and closed forms; every status a row can have."""

import decimal
import math

import mpmath
import numpy as np
import pyarrow as pa
import pytest

from jaxbatch.errors import InputError, JobError

OWN_ORDER = '[input]\npath = "tasks.parquet"\ncolumns = { order = "order" }\n'

SIX = """
kernel = "derivatives"
[params]
order = 6
[params.functions]
sqrt = "jax.numpy:sqrt"
exp = "jax.numpy:exp"
sin = "jax.numpy:sin"
tanh = "jax.numpy:tanh"
log = "jax.numpy:log"
cube = "functions.py:cube"
"""

CUBE = """
def cube(x):
    return x**3
"""

EXACT = {
    "sqrt": mpmath.sqrt,
    "exp": mpmath.exp,
    "sin": mpmath.sin,
    "tanh": mpmath.tanh,
    "log": mpmath.log,
    "cube": lambda x: x**3,
}


def exact(name: str, x: float, order: int) -> list[float]:
    """The value and the first derivatives, from 40 digits."""
    with mpmath.workdps(40):
        terms = mpmath.taylor(EXACT[name], mpmath.mpf(x), order)
        return [float(term * math.factorial(k)) for k, term in enumerate(terms)]


def test_one_argument_to_order_six(bench):
    points = [(name, x, 6) for name in EXACT for x in (0.3, 1.0, 2.7)] + [("sin", -1.5, 6), ("cube", 0.0, 6)]
    lower = [("exp", 0.5, k) for k in range(6)] + [("sqrt", 0.0, 0)]  # √x has no derivative at 0, but is not asked
    odd = [
        ("sin", 1.0, 7, "invalid_input"),
        ("sin", 1.0, -1, "invalid_input"),
        ("sinus", 1.0, 2, "invalid_input"),
        (None, 1.0, 2, "null_input"),
        ("sin", None, 2, "null_input"),
        ("sin", 1.0, None, "null_input"),
        ("sinus", None, 9, "null_input"),
        ("sqrt", -1.0, 2, "nonfinite"),
        ("sqrt", 0.0, 1, "nonfinite"),
        ("exp", math.nan, 1, "nonfinite"),
        ("tanh", math.inf, 0, "ok"),
    ]
    functions, xs, orders = zip(*points, *lower, *(row[:3] for row in odd), strict=True)
    bench.tasks({"function": functions, "x": xs, "order": pa.array(orders, pa.int32())})
    bench.file("functions.py", CUBE)
    rows = bench.rows(SIX + OWN_ORDER)

    assert list(rows[0]) == ["function", "x", "order", "value", "d1", "d2", "d3", "d4", "d5", "d6", "status"]
    for (name, x, order), row in zip(points + lower, rows, strict=False):
        found = [row["value"], *(row[f"d{k}"] for k in range(1, 7))]
        assert row["status"] == "ok", row
        assert found[: order + 1] == pytest.approx(exact(name, x, order), rel=2e-14, abs=1e-300), row
        assert found[order + 1 :] == [None] * (6 - order)
    results = ["value", "d1", "d2", "d3", "d4", "d5", "d6"]
    for (*_, status), row in zip(odd, rows[len(points) + len(lower) :], strict=True):
        assert row["status"] == status, row
        if status in ("invalid_input", "null_input"):
            assert [row[name] for name in results] == [None] * 7
    at_zero = rows[-3]
    assert at_zero["value"] == 0.0, "a nonfinite row keeps what was computed"
    assert not math.isfinite(at_zero["d1"])


SEVERAL = """
import jax.numpy as jnp

def f(a, b, c):
    return a**2 * jnp.sin(b) * jnp.exp(c)

def discount(t, rate, periods=2.0):
    return (1 + rate / periods) ** (-periods * t)
"""


def test_several_arguments_to_order_two(bench):
    bench.file("functions.py", SEVERAL)
    bench.tasks({"c": [0.5, 0.1, None], "b": [1.2, -0.4, 1.0], "a": [2.0, 3.0, 1.0], "order": [2, 1, 2]})
    job = 'kernel = "derivatives"\n[params]\nfunction = "functions.py:f"\norder = 2\n'
    first, second, bad = bench.rows(job + OWN_ORDER)

    assert list(first)[4:] == [
        *("value", "d_a", "d_b", "d_c", "d_a_a", "d_a_b", "d_a_c", "d_b_b", "d_b_c", "d_c_c", "status")
    ]
    for row in (first, second):
        a, b, c = row["a"], row["b"], row["c"]
        s, k, e = math.sin(b), math.cos(b), math.exp(c)
        expected = {
            **{"value": a * a * s * e, "d_a": 2 * a * s * e, "d_b": a * a * k * e, "d_c": a * a * s * e},
            **{"d_a_a": 2 * s * e, "d_a_b": 2 * a * k * e, "d_a_c": 2 * a * s * e},
            **{"d_b_b": -a * a * s * e, "d_b_c": a * a * k * e, "d_c_c": a * a * s * e},
        }
        beyond = [name for name in expected if name.count("_") > row["order"]]
        assert [row[name] for name in beyond] == [None] * len(beyond)
        within = {name: value for name, value in expected.items() if name not in beyond}
        assert {name: row[name] for name in within} == pytest.approx(within, rel=1e-14)
        assert row["status"] == "ok"
    assert bad["status"] == "null_input"
    assert bad["d_a"] is None


def test_partials_of_any_order_and_an_own_order_per_row(bench):
    bench.file("functions.py", SEVERAL)
    bench.tasks({"a": [2.0, 2.0, 2.0], "b": [1.2, 1.2, 1.2], "c": [0.5, 0.5, 0.5], "order": [3, 1, 4]})
    job = 'kernel = "derivatives"\n[params]\nfunction = "functions.py:f"\npartials = ["a,a,b", "b", "b, a, c"]\n'
    third, first, fourth = bench.rows(job + OWN_ORDER)

    assert list(third)[4:] == ["value", "d_a_a_b", "d_b", "d_b_a_c", "status"]
    slope = math.cos(1.2) * math.exp(0.5)
    assert third["d_a_a_b"] == pytest.approx(2 * slope, rel=1e-14)
    assert third["d_b"] == pytest.approx(4 * slope, rel=1e-14)
    assert third["d_b_a_c"] == pytest.approx(4 * slope, rel=1e-14)
    assert (first["d_b"], first["d_a_a_b"], first["d_b_a_c"]) == (third["d_b"], None, None)
    assert fourth["status"] == "invalid_input"


def test_wrt_a_subset_a_constant_and_a_default(bench):
    bench.file("functions.py", SEVERAL)
    bench.tasks({"t": [1.5, 4.0]})
    job = """
    kernel = "derivatives"
    [params]
    function = "functions.py:discount"
    order = 1
    wrt = ["periods", "rate"]
    [input]
    path = "tasks.parquet"
    constants = {rate = 0.06}
    """
    for row in bench.rows(job):
        t, q = row["t"], 1 + 0.06 / 2
        value = q ** (-2 * t)
        assert row["value"] == pytest.approx(value, rel=1e-14)
        assert row["d_rate"] == pytest.approx(-t * q ** (-2 * t - 1), rel=1e-14)
        assert row["d_periods"] == pytest.approx(value * t * (0.06 / 2 / q - math.log(q)), rel=1e-12)
        assert "d_t" not in row
    alone = bench.rows(job, 'params.wrt=["t"]', "params.order=2")
    for row in alone:
        rate = -2 * math.log1p(0.03)
        assert [row["d1"], row["d2"]] == pytest.approx([row["value"] * rate, row["value"] * rate**2], rel=1e-13)


DEFAULTS = """
def square(x, k=2.0):
    return x**k

def cube(x, k=3.0):
    return x**k

def linear(x):
    return x
"""


def test_each_function_has_its_own_default(bench):
    bench.file("functions.py", DEFAULTS)
    bench.tasks({"x": [2.0, 2.0], "function": ["square", "cube"]})
    job = 'kernel = "derivatives"\n[params]\nwrt = ["x", "k"]\n[params.functions]\n'
    references = 'square = "functions.py:square"\ncube = "functions.py:cube"\n'
    for row, k in zip(bench.rows(job + references), (2, 3), strict=True):
        expected = [2.0**k, k * 2.0 ** (k - 1), 2.0**k * math.log(2.0)]
        assert [row["value"], row["d_x"], row["d_k"]] == pytest.approx(expected, rel=1e-15)
    with pytest.raises(JobError, match="linear' has no argument 'k'"):
        bench.run(job + references + 'linear = "functions.py:linear"\n')


VECTORS = """
import jax.numpy as jnp

def f(x, t):
    return t**2 * jnp.sum(x**3) + x[0] * x[1]
"""


@pytest.mark.parametrize("size", [3, 6])  # six and one numbers make the gradient go in reverse mode
@pytest.mark.parametrize("kind", ["fixed", "large"])
def test_vector_arguments(bench, size, kind):
    vectors = [np.linspace(0.5, 2.0, size), np.linspace(-1.0, 1.0, size)]
    odd = [[1.0] * (size - 1) + [None], None, [math.nan] * size] + ([] if kind == "fixed" else [[1.0], []])
    lists = [None, *(vector.tolist() for vector in vectors), *odd]
    stored = pa.list_(pa.float64(), size) if kind == "fixed" else pa.large_list(pa.float32())
    bench.file("functions.py", VECTORS)
    bench.tasks({"x": pa.array(lists, stored), "t": [1.5] * len(lists), "i": range(len(lists))})
    empty, *rows = bench.rows('kernel = "derivatives"\n[params]\nfunction = "functions.py:f"\norder = 2\n')

    assert list(empty) == ["t", "i", "value", "d_x", "d_t", "d_x_x", "d_x_t", "d_t_t", "status"]
    assert (empty["status"], empty["d_x"]) == ("null_input", None)
    swap = np.zeros((size, size))
    swap[0, 1] = swap[1, 0] = 1.0
    for vector, row in zip(vectors, rows, strict=False):
        x, t = np.asarray(vector, "float64" if kind == "fixed" else "float32").astype("float64"), 1.5
        assert row["status"] == "ok"
        assert row["value"] == pytest.approx(t**2 * np.sum(x**3) + x[0] * x[1], rel=1e-14)
        np.testing.assert_allclose(row["d_x"], 3 * t**2 * x**2 + swap @ x, rtol=1e-14)
        assert row["d_t"] == pytest.approx(2 * t * np.sum(x**3), rel=1e-14, abs=1e-14)
        np.testing.assert_allclose(row["d_x_x"], np.diag(6 * t**2 * x) + swap, rtol=1e-14, atol=1e-14)
        np.testing.assert_allclose(row["d_x_t"], 6 * t * x**2, rtol=1e-14)
        assert row["d_t_t"] == pytest.approx(2 * np.sum(x**3), rel=1e-14, abs=1e-14)
    statuses = [row["status"] for row in rows[2:]]
    assert statuses == ["null_input", "null_input", "nonfinite", "invalid_input", "invalid_input"][: len(odd)]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2, -3], pa.int16()),
        pa.array([decimal.Decimal("1.25"), decimal.Decimal("0.10"), decimal.Decimal("-7.00")], pa.decimal128(9, 2)),
        pa.array([1.25, 0.1, -7.0], pa.float32()),
    ],
    ids=["int16", "decimal", "float32"],
)
def test_any_numeric_column_is_computed_in_float64(bench, column):
    bench.file("functions.py", CUBE)
    bench.tasks({"x": column})
    job = 'kernel = "derivatives"\n[params]\nfunction = "functions.py:cube"\norder = 2\n'
    for row, stored in zip(bench.rows(job), column.to_pylist(), strict=True):
        x = float(stored)
        assert row["x"] == stored
        assert [row["value"], row["d1"], row["d2"]] == pytest.approx([x**3, 3 * x**2, 6 * x], rel=1e-15)


def test_float32_is_float32_throughout(bench):
    bench.tasks({"x": [0.3, 2.7]})
    job = 'kernel = "derivatives"\n[params]\nfunction = "jax.numpy:exp"\norder = 5\n[compute]\nprecision = "float32"\n'
    summary = bench.run(job)
    table = bench.output(summary)
    assert [table.schema.field(name).type for name in ("value", "d5")] == [pa.float32()] * 2
    assert table.schema.field("x").type == pa.float64()
    for name in ("value", "d1", "d5"):
        np.testing.assert_allclose(table[name], np.exp(np.array([0.3, 2.7], "float32").astype("float64")), rtol=1e-6)


def test_order_zero_is_the_value_alone(bench):
    bench.tasks({"x": [4.0]})
    assert bench.rows('kernel = "derivatives"\n[params]\nfunction = "jax.numpy:sqrt"\norder = 0\n') == [
        {"x": 4.0, "value": 2.0, "status": "ok"}
    ]


REFUSED = """
import jax.numpy as jnp

def pair(a, b):
    return a * b

def other(a):
    return a

def lists(x):
    return jnp.stack([x, x])

def many(x):
    return x, x

def imaginary(x):
    return x * 1j
"""


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ('function = "functions.py:lists"', JobError, "one real number"),
        ('function = "functions.py:many"', JobError, "one real number"),
        ('function = "functions.py:imaginary"', JobError, "one real number"),
        ('function = "functions.py:pair"\norder = 3', JobError, "up to order 2"),
        ('function = "functions.py:pair"\norder = -1', JobError, "Use 0 to 1000"),
        ('function = "functions.py:pair"\norder = 9223372036854775808', JobError, "Use 0 to 1000"),
        ('function = "functions.py:pair"\nwrt = ["c"]', JobError, "no argument 'c'"),
        ('function = "functions.py:pair"\nwrt = []', JobError, "wrt"),
        ('function = "functions.py:pair"\npartials = ["a,c"]', JobError, "'c'"),
        ('function = "functions.py:pair"\npartials = ["a", "a"]', JobError, "twice"),
        ('functions = {p = "functions.py:pair", o = "functions.py:other"}', JobError, "same arguments"),
        ("order = 1", JobError, "'function' or 'functions'"),
        ('function = "functions.py:pair"\nfunctions = {p = "functions.py:pair"}', JobError, "either"),
        ('functions = {p = "functions.py:pair"}', InputError, "'function'"),
        ('function = "functions.py:missing"', JobError, "missing"),
    ],
)
def test_refused_before_any_work(bench, params, error, words):
    bench.file("functions.py", REFUSED)
    bench.tasks({"x": [1.0], "a": [1.0], "b": [2.0]})
    with pytest.raises(error, match=words):
        bench.run(f'kernel = "derivatives"\n[params]\n{params}\n')
    assert not (bench.folder / "results").exists()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"x": ["one"]}, "'x' is string"),
        ({"x": [1.0], "order": [1.0]}, "'order' is double"),
        ({"x": [[[1.0]]]}, "'x' is list"),
        ({"y": [1.0]}, "'x'"),
    ],
)
def test_columns_of_another_type_are_refused(bench, columns, words):
    bench.tasks(columns)
    job = 'kernel = "derivatives"\n[params]\nfunction = "jax.numpy:exp"\n'
    with pytest.raises((InputError, JobError), match=words):
        bench.run(job + (OWN_ORDER if "order" in columns else ""))


def test_columns_and_results_can_have_other_names(bench):
    bench.tasks({"spot": [4.0], "x": [7.0]})
    job = """
    kernel = "derivatives"
    [params]
    function = "jax.numpy:sqrt"
    [input]
    path = "tasks.parquet"
    columns = {x = "spot"}
    keep = []
    [output]
    path = "results"
    columns = {d1 = "delta"}
    """
    assert bench.rows(job) == [{"value": 2.0, "delta": 0.25, "status": "ok"}]


REVERSE_ONLY = """
import jax, jax.numpy as jnp


@jax.custom_vjp
def softplus(u):
    return BODY


softplus.defvjp(lambda u: (VALUE, u), lambda u, slope: (slope * jax.nn.sigmoid(u),))


def f(x, y, z):
    return softplus(x * y) * z
"""

BODY = "jnp.logaddexp(u, 0.0)"


@pytest.mark.parametrize("what", ["order = 1", "order = 2", 'partials = ["x", "x,y", "x,x,y", "z,x"]'])
def test_a_rule_for_reverse_mode_only(what, bench):
    bench.file("functions.py", REVERSE_ONLY.replace("BODY", BODY).replace("VALUE", BODY))
    x, y, z = 0.3, 1.7, 2.0
    bench.tasks({"x": [x], "y": [y], "z": [z]})
    (row,) = bench.rows(f'kernel = "derivatives"\n[params]\nfunction = "functions.py:f"\n{what}\n')
    assert row["status"] == "ok"
    for name in [name for name in row if name.startswith("d_")]:
        orders = tuple(name.split("_").count(each) for each in "xyz")
        expected = mpmath.diff(lambda x, y, z: mpmath.log1p(mpmath.exp(x * y)) * z, (x, y, z), orders)
        assert row[name] == pytest.approx(float(expected), rel=1e-10), name
    assert len(row) == {"order = 1": 8, "order = 2": 14}.get(what, 9)


def test_a_rule_that_has_no_derivative_of_its_own_is_refused_before_any_work(bench):
    bench.file("functions.py", REVERSE_ONLY.replace("BODY", BODY).replace("VALUE", "softplus(u)"))
    bench.tasks({"x": [0.3], "y": [1.7], "z": [2.0]})
    job = 'kernel = "derivatives"\n[params]\nfunction = "functions.py:f"\norder = 2\n'
    with pytest.raises(JobError, match="rule for reverse mode only"):
        bench.run(job)
    assert not (bench.folder / "results").exists()
