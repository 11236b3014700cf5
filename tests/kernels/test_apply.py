"""Any function's results as columns: names, order, shapes and types are the function's own."""

import math

import numpy as np
import pyarrow as pa
import pytest

from jaxbatch.errors import InputError, JobError

FUNCTIONS = """
from typing import NamedTuple

import jax.numpy as jnp


def polar(x, y, scale=1.0):
    return {
        "radius": scale * jnp.hypot(x, y),
        "angle": jnp.arctan2(y, x),
        "right": x > 0,
        "quadrant": jnp.where(y > 0, 1, 4).astype("int32"),
        "both": jnp.stack([x, y]),
        "outer": jnp.outer(jnp.stack([x, y]), jnp.stack([x, y, x + y])),
    }


class Moments(NamedTuple):
    total: float
    mean: float


def moments(values):
    return Moments(values.sum(), values.mean())


def single(values):
    return values[::-1]


def taken(x, y):
    return {"status": x + y}


def imaginary(x, y):
    return {"z": x + 1j * y}


def small(x, y):
    return {"z": x.astype("bfloat16")}


def text(x, y):
    return {"name": "one"}


def numbered(x, y):
    return {1: x}


def mismatched(values, x):
    return values @ jnp.ones(7) + x


def nothing(scale=1.0):
    return scale
"""


def job(function: str) -> str:
    return f'kernel = "apply"\n[params]\nfunction = "functions.py:{function}"\n'


@pytest.fixture
def functions(bench):
    bench.file("functions.py", FUNCTIONS)
    return bench


def test_a_dict_of_results(functions):
    xs, ys = [3.0, -1.0, None, math.nan, 5], [4.0, 2.0, 1.0, 1.0, -12]
    functions.tasks({"y": ys, "x": xs})
    scaled = job("polar") + '[input]\npath = "tasks.parquet"\nconstants = {scale = 10.0}\n'
    table = functions.output(functions.run(scaled))
    number = pa.float64()
    assert [(field.name, field.type) for field in table.schema] == [
        *[("y", number), ("x", number)],  # kept, in the file's order
        *[("radius", number), ("angle", number), ("right", pa.bool_()), ("quadrant", pa.int32())],
        *[("both", pa.list_(number)), ("outer", pa.list_(pa.list_(number))), ("status", pa.string())],
    ]
    rows = table.to_pylist()
    assert [row["status"] for row in rows] == ["ok", "ok", "null_input", "nonfinite", "ok"]
    for row in (rows[0], rows[1], rows[4]):
        x, y = row["x"], row["y"]
        assert row["radius"] == pytest.approx(10 * math.hypot(x, y), rel=1e-15)
        assert row["angle"] == pytest.approx(math.atan2(y, x), rel=1e-15)
        assert (row["right"], row["quadrant"]) == (x > 0, 1 if y > 0 else 4)
        assert row["both"] == [x, y]
        assert row["outer"] == np.outer([x, y], [x, y, x + y]).tolist()
    names = ["radius", "angle", "right", "quadrant", "both", "outer"]
    assert [rows[2][name] for name in names] == [None] * 6
    assert rows[3]["right"] is False, "a nonfinite row keeps what was computed"
    assert math.isnan(rows[3]["radius"])


def test_a_named_tuple_and_a_single_array(functions):
    functions.tasks({"values": pa.array([[1.0, 2.0, 6.0], [0.0, 1.0], [None, 1.0, 2.0]], pa.list_(pa.float32()))})
    rows = functions.rows(job("moments"))
    assert rows == [
        {"total": 9.0, "mean": 3.0, "status": "ok"},
        {"total": None, "mean": None, "status": "invalid_input"},
        {"total": None, "mean": None, "status": "null_input"},
    ]
    assert [row["value"] for row in functions.rows(job("single"))] == [[6.0, 2.0, 1.0], None, None]


def test_float32_makes_the_run_float32_and_keeps_other_types(functions):
    functions.tasks({"x": [0.1], "y": [2]})
    table = functions.output(functions.run(job("polar"), 'compute.precision="float32"'))
    kinds = {name: table.schema.field(name).type for name in ("radius", "right", "quadrant", "both")}
    float32 = pa.float32()
    assert kinds == {"radius": float32, "right": pa.bool_(), "quadrant": pa.int32(), "both": pa.list_(float32)}
    assert table["both"].to_pylist() == [[float(np.float32(0.1)), 2.0]]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("taken", "'status'"),
        ("imaginary", "complex"),
        ("small", "bfloat16"),
        ("text", "'name'"),
        ("numbered", "1"),
        ("mismatched", r"values: float64\[3\], x: float64\[\]"),
        ("nothing", "no argument"),
        ("absent", "absent"),
    ],
)
def test_refused_before_any_work(functions, function, words):
    functions.tasks({"x": [1.0], "y": [2.0], "values": [[1.0, 2.0, 3.0]]})
    with pytest.raises(JobError, match=words):
        functions.run(job(function))
    assert not (functions.folder / "results").exists()


def test_a_result_with_the_name_of_a_kept_column_is_refused(functions):
    functions.tasks({"x": [1.0], "y": [2.0], "radius": [0.0]})
    with pytest.raises((JobError, InputError), match="radius"):
        functions.run(job("polar"))
    (row,) = functions.rows(job("polar"), 'output.columns={radius="r"}', 'input.path="tasks.parquet"')
    assert (row["radius"], row["r"]) == (0.0, math.hypot(1, 2))


@pytest.mark.parametrize("kernel", ["apply", "derivatives"])
def test_a_function_that_would_end_the_process_is_refused(bench, kernel):
    bench.tasks({"x": [1.0]})
    bench.file("functions.py", "def f(x):\n    raise SystemExit(7)\n")
    with pytest.raises(JobError, match="line 2, 'raise SystemExit\\(7\\)': SystemExit: 7"):
        bench.run(f'kernel = "{kernel}"\nparams.function = "functions.py:f"\n')
