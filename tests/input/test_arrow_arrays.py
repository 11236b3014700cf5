"""NumPy to Arrow and back, beside Arrow's own ways; and that pandas stays where it is."""

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxbatch.errors import ExitCode
from jaxbatch.input.arrow_arrays import is_null, to_arrow, to_numpy, to_texts, vectors_to_arrow, vectors_to_numpy

KINDS = st.sampled_from(["float64", "float32", "int64", "int32", "int8", "uint16", "bool"])
OTHER = np.zeros(3, np.dtype("float64").newbyteorder())
NUMBERS = hnp.arrays(KINDS, st.integers(0, 40))


def same(found, expected):
    found.validate(full=True)
    assert found.type == expected.type
    np.testing.assert_array_equal(found.is_null(), expected.is_null())
    np.testing.assert_array_equal(found.drop_null(), expected.drop_null())


@settings(deadline=None)
@given(NUMBERS, st.data())
def test_an_array_is_as_arrow_makes_it(values, data):
    present = data.draw(hnp.arrays("bool", len(values)))
    same(to_arrow(values), pa.array(values))
    same(to_arrow(values[::2], present[::2]), pa.array(values[::2], mask=~present[::2]))


@given(NUMBERS, st.integers(0, 40), st.integers(0, 40))
def test_a_slice_comes_back(values, start, length):
    sliced = pa.array(values).slice(min(start, len(values)), length)
    found = to_numpy(sliced)
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values[start : start + length])


@given(st.lists(st.none() | st.integers(0, 1)), st.sampled_from([pa.float64(), pa.bool_()]), st.integers(0, 20))
def test_nulls_are_found(values, kind, start):
    array = pa.array(values, pa.int8()).cast(kind)
    start = min(start, len(values))
    np.testing.assert_array_equal(is_null(array.slice(start)), [value is None for value in values[start:]])


@pytest.mark.parametrize("kind", [pa.float32(), pa.int64(), pa.bool_()])
def test_what_is_null_is_filled(kind):
    array = pa.array([1, None, 0, None], pa.int8()).cast(kind).slice(1)
    assert to_numpy(array).tolist() == [0, 0, 0]
    assert to_numpy(array, filled=1).tolist() == [1, 0, 1]
    assert to_numpy(pa.nulls(2, kind)).tolist() == [0, 0]


@pytest.mark.parametrize("array", [pa.array(["a"]), pa.array([1], pa.date32()), pa.array([[1]])])
def test_what_is_not_a_number_is_refused(array):
    with pytest.raises(ValueError, match="not a type of numbers"):
        to_numpy(array)


@pytest.mark.parametrize(
    ("values", "present"),
    [(np.zeros((2, 2)), None), (np.zeros(3), np.ones(2, bool)), (np.zeros(3), np.ones((3, 3), bool)), (OTHER, None)],
)
def test_other_shapes_and_orders_of_bytes_are_refused(values, present):
    with pytest.raises(ValueError, match="present"):
        to_arrow(values, present)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts(values):
    same(to_texts(values), pa.array(values, pa.string()))


@given(hnp.arrays(st.sampled_from(["float64", "int64"]), hnp.array_shapes(min_dims=2, max_dims=2)), st.data())
def test_vectors_come_back(values, data):
    start, length = data.draw(st.integers(0, len(values))), data.draw(st.integers(0, len(values)))
    array = vectors_to_arrow(values)
    array.validate(full=True)
    assert array.to_pylist() == [vector.tobytes() for vector in values]
    found = vectors_to_numpy(array.slice(start, length), values.dtype)
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values[start : start + length])
    np.testing.assert_array_equal(vectors_to_numpy(vectors_to_arrow(values.T), values.dtype), values.T)


def test_memory_is_shared():
    values = np.arange(5.0)
    array = to_arrow(values)
    assert array.buffers()[1].address == values.ctypes.data == to_numpy(array).ctypes.data


JOBS = {
    "derivatives": 'function = "jax.numpy:sin"',
    "taylor": 'function = "jax.numpy:sin"\nmax_order = 2',
    "regression": 'group_by = ["site", "kind"]\nfeatures = ["x"]\ntarget = "y"',
}
REST = """
[input]
path = "tasks"
[output]
path = "results"
rows_per_part = 2
"""


@pytest.mark.parametrize("kernel", JOBS)
def test_a_run_does_without_pandas(kernel, tmp_path):
    x = [0.5, None, 2.0, 3.0]
    others = {"order": [1, 1, 1, 1], "y": [1.0, 2.0, 2.5, 4.0], "site": ["a", None, "a", "b"]}
    table = pa.table({"x": x, "center": x, "point": x, **others})
    (tmp_path / "tasks" / "kind=new").mkdir(parents=True)
    pq.write_table(table, tmp_path / "tasks" / "kind=new" / "a.parquet", row_group_size=2)
    rest = REST.replace("[output]", 'columns = { order = "order" }\n[output]') if kernel == "derivatives" else REST
    (tmp_path / "job.toml").write_text(f'kernel = "{kernel}"\n[params]\n{JOBS[kernel]}\n{rest}')
    (tmp_path / "pandas.py").write_text("open('imported', 'w').close()")
    command = [sys.executable, "-m", "jaxbatch", "run", "job.toml"]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert ended.returncode == ExitCode.TOO_MANY_FAILED_ROWS, ended.stderr
    assert "null_input" in ended.stderr
    assert not (tmp_path / "imported").exists()
