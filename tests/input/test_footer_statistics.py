"""Column chunks read from footers: as pyarrow says, and an error where pyarrow would end the process."""

import gc
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch.errors import InputError
from jaxbatch.input.footer_statistics import chunks
from jaxbatch.planning.planner import plan

TABLE = pa.table(
    {
        "int16": pa.array([1, -5, 3], pa.int16()),
        "uint64": pa.array([1, 2**63 + 5, 3], pa.uint64()),
        "text": ["a", "é", "b"],
        "null": pa.array([None, 1, 2], pa.int64()),
        "none": pa.array([None, None, None], pa.int64()),
        "date": pa.array([1, 2, 3], pa.date32()),
        "float": [1.0, 2.0, 3.0],
        "decimal": pa.array([1, 2, 3], pa.decimal128(5, 2)),
        "bytes": pa.array([b"abc", b"def", b"ghi"], pa.binary(3)),
        "lists": [[1.0], [2.0, 3.0], []],
    }
)


def written(table: pa.Table, **options) -> tuple[pq.FileMetaData, bytes]:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    data = file.getvalue()
    return pq.read_metadata(file), data[-8 - int.from_bytes(data[-8:-4], "little") :]


@pytest.mark.parametrize("options", [{}, {"version": "1.0", "write_page_index": True}, {"use_dictionary": False}])
def test_chunks_are_those_that_pyarrow_finds(options):
    metadata, footer = written(TABLE, row_group_size=2, **options)
    for index, group in enumerate(chunks(footer)):
        for number, chunk in enumerate(group):
            known = metadata.row_group(index).column(number)
            assert (chunk.path, chunk.values, chunk.stored) == (
                known.path_in_schema,
                known.num_values,
                known.total_uncompressed_size,
            )
            leaf = metadata.schema.column(number)
            assert (chunk.physical_type, chunk.length) == (leaf.physical_type, leaf.length or 0)
            assert chunk.is_decimal == (leaf.logical_type.type == "DECIMAL")
            assert chunk.nulls == known.statistics.null_count
            assert chunk.has_dictionary == known.has_dictionary_page


def test_ranges():
    _, footer = written(TABLE)
    (group,) = chunks(footer)
    found = {chunk.path: chunk.range(signed=chunk.path != "uint64") for chunk in group}
    assert found == {
        "int16": (-5, 3),
        "uint64": (1, 2**63 + 5),
        "text": (b"a", "é".encode()),
        "null": (1, 2),
        "none": None,
        "date": (1, 3),
        "float": None,
        "decimal": None,
        "bytes": None,
        "lists.list.element": None,
    }


def test_a_footer_that_is_cut_is_an_error():
    _, footer = written(TABLE)
    for length in range(0, footer.index(b"ARROW:schema") - 8, 7):
        with pytest.raises(pa.ArrowInvalid, match="footer is damaged"):
            chunks(footer[:length])


def test_a_statistic_of_the_wrong_length_is_an_error(bench):
    """With its own reading of it pyarrow would end this process."""
    file = bench.tasks({"center": [1.0], "point": [2.0], "order": [3]}, use_dictionary=False)
    data = file.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - length : -8].replace(b"\x08" + (3).to_bytes(8, "little"), b"\x02\x03\x00")
    file.write_bytes(data[: -8 - length] + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(InputError, match="column 'order': cannot be read"):
        plan(bench.job('kernel = "taylor"\nparams.function = "jax.numpy:sin"\n'))


def test_no_footer_stays_in_memory_until_cycles_are_collected(bench):
    """Which may be long: 100,000 files of 25 kB of footer took 13 GB."""
    for number in range(20):
        bench.tasks({"center": [1.0], "point": [2.0], "order": [3]}, f"tasks/{number}.parquet")
    text = 'kernel = "taylor"\nparams.function = "jax.numpy:sin"\n[input]\npath = "tasks"\n'
    gc.collect()
    gc.disable()
    try:
        bench.run(text)
        left = [each for each in gc.get_objects() if isinstance(each, pq.FileMetaData)]
    finally:
        gc.enable()
    assert len(left) <= 2, "the two that are open in the threads' last frames, at most"
