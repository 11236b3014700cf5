"""What planning reads of the data before the run."""

import pyarrow.parquet as pq
import pytest

from jaxbatch.planning.planner import plan
from tests.input.refusals import refusal


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("order", 'kernel = "taylor"\nparams.function = "jax.numpy:sin"\n'),
        ("x", 'kernel = "apply"\nparams.function = "jax.numpy:linalg.norm"\n'),
    ],
)
def test_a_damaged_page_that_planning_looks_into_is_refused(bench, column, text):
    tasks = {"center": [1.0], "point": [2.0], "order": [3], "x": [[1.0, 2.0]]}
    file = bench.tasks(tasks, use_dictionary=False, write_page_checksum=True, write_statistics=False)
    data = bytearray(file.read_bytes())
    for number in range(2, 4):
        chunk = pq.read_metadata(file).row_group(0).column(number)
        data[chunk.data_page_offset + chunk.total_compressed_size - 1] ^= 1
    file.write_bytes(data)
    assert f"column '{column}': cannot be read" in refusal(plan, bench.job(text))
