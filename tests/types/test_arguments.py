"""Columns that a function or kernel computes with: exact, rounded once, or refused by name."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.types.conftest import APPLY, DERIVATIVES, dictionary
from tests.types.table import EXACT, FLAT, INVALID_BEYOND, LISTS, NO_LIST, NO_NUMBER, ODD, Row

NUMERIC = [row for row in FLAT if row.argument != NO_NUMBER]


def nearest(value: Any, precision: str) -> float:
    """The nearest float to a number, ties to even, by whole numbers alone."""
    digits, least, largest = (53, -1074, 1024) if precision == "float64" else (24, -149, 128)
    if isinstance(value, float) and (not math.isfinite(value) or value == 0):
        return value
    exact = abs(Fraction(value))
    if not exact:
        return 0.0
    exponent = exact.numerator.bit_length() - exact.denominator.bit_length()
    exponent -= exact < Fraction(2) ** exponent
    unit = Fraction(2) ** max(exponent - digits + 1, least)
    rounded = round(exact / unit) * unit  # Python rounds halves to even
    return math.copysign(math.inf if rounded >= Fraction(2) ** largest else float(rounded), value)


def chosen_file(names: list[str], listed: bool) -> str:
    """A function that gives back one of its arguments, by its number."""
    arguments = ", ".join(f"a{number}" for number in range(len(names)))
    first = "[0]" if listed else ""
    return (
        "import jax.numpy as jnp\n"
        f"def f(which, {arguments}):\n"
        f"    return jnp.stack([{arguments}])[which.astype(int)]{first}\n"
    )


def argument_tasks(encoded: Callable[[int, pa.Array], pa.Array]) -> tuple[pa.Table, list[tuple[Row, Any]]]:
    """A row for every value of every type: which column it is in, and zeros in the others."""
    cells = [(number, place) for number, row in enumerate(NUMERIC) for place in range(len(row.values))]
    columns: dict[str, Any] = {"which": [float(number) for number, _ in cells]}
    for number, row in enumerate(NUMERIC):
        zero = pa.array(np.zeros(1, np.int8)).cast(row.kind)
        taken = [place if own == number else len(row.values) for own, place in cells]
        columns[f"a{number}"] = encoded(number, pa.concat_arrays([row.values, zero]).take(pa.array(taken)))
    return pa.table(columns), [(NUMERIC[number], NUMERIC[number].values[place].as_py()) for number, place in cells]


def in_list(number: int, array: pa.Array) -> pa.Array:
    kinds = list(LISTS.values())
    kind = kinds[number % len(kinds)](array.type)
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(array, 1)
    offsets = pa.array(range(len(array) + 1), pa.int64() if pa.types.is_large_list(kind) else pa.int32())
    return type(pa.array([], kind)).from_arrays(offsets, array)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("way", ["derivatives", "apply", "lists"])
def test_numbers_reach_a_function_rounded_once(bench, way, precision):
    table, cells = argument_tasks(in_list if way == "lists" else lambda _, array: array)
    bench.tasks(table, "tasks/a.parquet")
    bench.file("own.py", chosen_file([row.name for row in NUMERIC], way == "lists"))
    text = APPLY
    if way != "apply":
        text = APPLY.replace('"apply"', '"derivatives"').replace('f"\n', 'f"\norder = 0\nwrt = ["which"]\n', 1)
    found = bench.output(bench.run(text, f'compute.precision="{precision}"', "input.keep=[]"))
    for (row, value), computed, status in zip(
        cells, found["value"].to_pylist(), found["status"].to_pylist(), strict=True
    ):
        what = f"{row.name} {value}: {computed}, {status}"
        if value is None:
            assert (computed, status) == (None, "null_input"), what
        elif way == "apply" and row.apply == INVALID_BEYOND and abs(value) > 2**53:
            assert (computed, status) == (None, "invalid_input"), what
        else:
            assert repr(computed) == repr(nearest(value, precision)), what
            assert status == ("ok" if math.isfinite(computed) else "nonfinite"), what


def test_whole_numbers_in_the_job_are_rounded_once(bench):
    bench.file("own.py", "def f(x, y):\n    return x + 0 * y\n")
    bench.tasks({"point": [0.0], "order": [0], "y": [1.0]}, "tasks/a.parquet")
    given = ["input.keep=[]", 'compute.precision="float32"']
    text = DERIVATIVES.replace('"derivatives"', '"taylor"').replace("own.py:f", "jax.numpy:abs")
    (expanded,) = bench.output(bench.run(text, f"input.constants={{center={ODD}}}", *given)).to_pylist()
    assert expanded["coefficients"] == [nearest(ODD, "float32")]
    text = DERIVATIVES.replace("[params]\n", '[params]\nwrt = ["x", "y"]\n')
    (computed,) = bench.output(
        bench.run(text, f"input.constants={{x={ODD}}}", *given, 'input.defaults=["order"]', restart=True)
    ).to_pylist()
    assert computed["value"] == nearest(ODD, "float32")


@pytest.mark.parametrize("row", [row for row in FLAT if row.argument == NO_NUMBER], ids=lambda row: row.name)
def test_what_is_no_number(bench, refusal, row):
    bench.file("own.py", "def f(k):\n    return k\n")
    path = bench.tasks(pa.table({"k": row.values}), "tasks/a.parquet")
    message = row.argument.format(type=pq.read_schema(path).field("k").type)
    for kernel in ("derivatives", "apply"):
        if kernel == "apply" and row.apply == EXACT:
            assert bench.output(bench.run(APPLY))["value"].combine_chunks().equals(row.values)
        else:
            assert f"Column 'k' {message}" in refusal(APPLY, f'kernel="{kernel}"')


@pytest.mark.parametrize("name", NO_LIST)
def test_what_is_no_list_of_numbers(bench, refusal, name):
    bench.file("own.py", "def f(k):\n    return k\n")
    path = bench.tasks(pa.table({"k": pa.nulls(1, NO_LIST[name])}), "tasks/a.parquet")
    message = NO_NUMBER.format(type=pq.read_schema(path).field("k").type)
    assert f"Column 'k' {message}" in refusal(APPLY)


TEXTS = [row for row in FLAT if row.name.endswith(("string", "string_view"))]


def test_texts_choose_functions(bench):
    bench.file("own.py", "def one(x):\n    return 0 * x + 1\ndef two(x):\n    return 0 * x + 2\n")
    text = """
kernel = "derivatives"
[params]
order = 0
functions = { "" = "own.py:one", "ü🎈" = "own.py:two" }
[input]
path = "tasks"
keep = []
[limits]
max_failed_rows = "100%"
"""
    texts = pa.array(["ü🎈", "", None, "o"])
    for array in (*(texts.cast(row.kind) for row in TEXTS), dictionary(texts, pa.int8())):
        bench.tasks(pa.table({"x": np.zeros(4), "function": array}), "tasks/a.parquet")
        found = bench.output(bench.run(text, restart=True))
        assert found["value"].to_pylist() == [2, 1, None, None], array.type
        assert found["status"].to_pylist() == ["ok", "ok", "null_input", "invalid_input"]


@pytest.mark.parametrize("row", [row for row in FLAT if row not in TEXTS], ids=lambda row: row.name)
def test_what_chooses_no_function(bench, refusal, row):
    bench.file("own.py", "def one(x):\n    return x\n")
    path = bench.tasks(pa.table({"x": np.zeros(len(row.values)), "function": row.values}), "tasks/a.parquet")
    text = APPLY.replace('"apply"', '"derivatives"').replace(
        'function = "own.py:f"', 'functions = { a = "own.py:one" }'
    )
    stored = pq.read_schema(path).field("function").type
    assert f"Column 'function' is {stored}, but strings are needed" in refusal(text)


ORDERS = [row for row in FLAT if "int" in row.name]


def test_orders_of_derivatives(bench):
    """Whole numbers of any type; those outside 0 … order are invalid_input, whatever they would be in fewer bits."""
    for row in ORDERS:
        values = pa.concat_arrays([pa.array([0, 1], row.kind), row.values])
        bench.tasks(pa.table({"x": np.zeros(len(values)), "order": values}), "tasks/a.parquet")
        text = DERIVATIVES.replace("own.py:f", "jax.numpy:exp")
        given = ["input.keep=[]", 'input.columns={order="order"}']
        found = bench.output(bench.run(text, *given, restart=True))
        for value, status in zip(values.to_pylist(), found["status"].to_pylist(), strict=True):
            wanted = "null_input" if value is None else "ok" if value in (0, 1) else "invalid_input"
            assert status == wanted, f"{row.name} {value}"


def test_orders_of_taylor(bench, refusal):
    bench.file("own.py", "def f(x):\n    return x\n")
    text = DERIVATIVES.replace('"derivatives"', '"taylor"')
    for row in (row for row in ORDERS if row.name in ("uint64", "int64")):
        values = pa.concat_arrays([pa.array([0, 1], row.kind), row.values])
        zeros = np.zeros(len(values))
        bench.tasks(pa.table({"center": zeros, "point": zeros, "order": values}), "tasks/a.parquet")
        largest = max(value for value in values.to_pylist() if value is not None)
        assert f"The input asks for order {largest}" in refusal(text)
        found = bench.output(bench.run(text, "params.max_order=1", "input.keep=[]", restart=True))
        for value, status in zip(values.to_pylist(), found["status"].to_pylist(), strict=True):
            wanted = "null_input" if value is None else "ok" if value in (0, 1) else "invalid_input"
            assert status == wanted, f"{row.name} {value}"


@pytest.mark.parametrize("row", [row for row in FLAT if row not in ORDERS], ids=lambda row: row.name)
def test_what_is_no_order(bench, refusal, row):
    path = bench.tasks(pa.table({"x": np.zeros(len(row.values)), "order": row.values}), "tasks/a.parquet")
    stored = pq.read_schema(path).field("order").type
    text = DERIVATIVES.replace("own.py:f", "jax.numpy:exp")
    assert f"Column 'order' is {stored}, but integers are needed" in refusal(text, 'input.columns={order="order"}')


WHOLE = """
from jaxbatch import Column, Kernel

class Whole(Kernel):
    inputs = (Column("k", "DTYPE"),)
    outputs = (Column("out", "DTYPE"),)

    def row(self, k):
        return {"out": k}
"""


@pytest.mark.parametrize("dtype", ["int", "int8", "uint16", "int64"])
def test_columns_of_whole_numbers_take_no_others(bench, refusal, dtype):
    """What is after a point would be cut off, and a constant that is too large would wrap."""
    bench.file("own.py", WHOLE.replace("DTYPE", dtype))
    text = APPLY.replace('"apply"', '"own.py:Whole"').replace('[params]\nfunction = "own.py:f"\n', "")
    for row in (row for row in NUMERIC if dtype == "int" and "int" not in row.name):
        path = bench.tasks(pa.table({"k": row.values}), "tasks/a.parquet")
        assert f"Column 'k' is {pq.read_schema(path).field('k').type}, but integers are needed" in refusal(text)
    bench.tasks({"other": [1.0]}, "tasks/a.parquet")
    for value in (2**64, -1 if dtype.startswith("u") else -(2**63) - 1):
        assert f"{value} does not fit the column 'k'" in refusal(text, f"input.constants={{k={value}}}")
    for precision, value in (("float32", 2**31 - 1), ("float64", 2**63 - 1)):
        if dtype == "int":
            given = [f"input.constants={{k={value}}}", f'compute.precision="{precision}"']
            assert bench.output(bench.run(text, *given, restart=True))["out"].to_pylist() == [value]
            beyond = given[0].replace(str(value), str(value + 1))
            assert f"{value + 1} does not fit the column 'k'" in refusal(text, beyond, given[1])
