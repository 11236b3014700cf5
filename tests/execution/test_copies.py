"""How often a column's numbers are copied between the file's decoder, the device and Arrow: never."""

import jax
import numpy as np
import pyarrow as pa
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

    def taking(self, rows):
        table = take(self, rows)
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
