"""How often a column's numbers are copied between the file's decoder, the device and Arrow: never."""

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch.batches import encode
from jaxbatch.compilation import programs
from jaxbatch.input.row_reader import Rows

ROWS = 131_072

JOB = """
kernel = "derivatives"
[params]
function = "function.py:f"
order = 1
"""

FIT = """
kernel = "regression"
[params]
features = ["x"]
target = "y"
[input]
path = "tasks.parquet"
"""


def address(array: "np.ndarray | pa.Array") -> int:
    """Where an array's first number is in memory."""
    if isinstance(array, np.ndarray):
        return array.ctypes.data
    buffer = array.buffers()[1]
    assert buffer is not None
    return buffer.address + array.offset * array.type.bit_width // 8


@pytest.mark.parametrize("kind", ["float64", "float32"])
def test_no_number_is_copied_between_arrow_and_the_device(kind, bench, monkeypatch):
    bench.file("function.py", "def f(x, y):\n    return x * y\n")
    rng = np.random.default_rng(0)
    bench.tasks({name: rng.uniform(size=2 * ROWS).astype(kind) for name in ("x", "y")}, row_group_size=2 * ROWS)
    read, put, on_device, computed, encoded = (list[int]() for _ in range(5))
    take, device_put, device_get, encode_ = Rows.take, jax.device_put, jax.device_get, encode.encode

    def taking(self, rows, enough=None):
        table = take(self, rows, enough)
        read.extend(address(table.column(name).chunk(0)) for name in ("x", "y"))
        return table

    def putting(arrays, device):
        placed = device_put(arrays, device)
        put.extend(address(arrays[name]) for name in ("x", "y"))
        on_device.extend(placed[name].unsafe_buffer_pointer() for name in ("x", "y"))
        return placed

    def getting(results):
        computed.extend(results["values"][name].unsafe_buffer_pointer() for name in ("value", "d_x", "d_y"))
        return device_get(results)

    def encoding_(*arguments):
        array = encode_(*arguments)
        encoded.append(address(array))
        return array

    monkeypatch.setattr(Rows, "take", taking)
    monkeypatch.setattr(programs.jax, "device_put", putting)
    monkeypatch.setattr(programs.jax, "device_get", getting)
    monkeypatch.setattr(encode, "encode", encoding_)
    summary = bench.run(JOB, f"compute.precision='{kind}'", workers=1)
    assert (summary.exit_code, len(read), len(computed)) == (0, 4, 6)
    assert read == put == on_device
    assert computed == encoded


def test_a_row_group_is_a_chunk_of_one_fit_where_it_is_nearly_as_large(bench, monkeypatch):
    """So that it is not copied to stand beside the rows of another."""
    rng = np.random.default_rng(0)
    sizes = [ROWS - ROWS // 8, ROWS - ROWS // 8 - 1, ROWS, ROWS // 2]
    x = rng.uniform(size=sum(sizes))
    with pq.ParquetWriter(bench.folder / "tasks.parquet", pa.schema({"x": pa.float64(), "y": pa.float64()})) as writer:
        for rows, end in zip(sizes, np.cumsum(sizes), strict=True):
            own = x[end - rows : end]
            writer.write_table(pa.table({"x": own, "y": 2 * own + 1}), row_group_size=rows)
    taken, take = [], Rows.take

    def taking(self, rows, enough=None):
        table = take(self, rows, enough)
        taken.append(table.num_rows)
        return table

    monkeypatch.setattr(Rows, "take", taking)
    summary = bench.run(FIT, workers=1)
    assert summary.exit_code == 0
    assert taken == [sizes[0], ROWS, ROWS, sum(sizes) - sizes[0] - 2 * ROWS]
    (row,) = bench.output(summary).to_pylist()
    assert row["n"] == len(x)
    np.testing.assert_allclose(row["coefficients"], [1, 2], rtol=1e-12)
