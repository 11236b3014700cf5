"""One part as bytes: a whole Parquet file that carries its own receipt in its footer."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jaxbatch.input import arrow_compute as pc
from jaxbatch.input.types import is_text
from jaxbatch.output.encode_buffers import EncodeBuffer
from jaxbatch.output.paths import DATA, part_name
from jaxbatch.output.receipt import KEY, Receipt, digest_of, make_receipt
from jaxbatch.storage import Store

_SCHEMA = "ARROW:schema"
_BUCKETS = b"buckets"
_DELTAS = "DELTA_BINARY_PACKED"
"""How integers are written, most of which number rows, times or counts: it takes half the time and less space."""

_WRITE_ROWS = 1024
_WRITE_BYTES = 1 << 20
"""Rows are handed to the Parquet writer in pieces of at most this many rows and, in the mean, bytes of text."""

_PAGE_ROWS = 20_000
"""Rows of a page, rounded down to whole pieces."""

_FOOTER_ROOM = 1 << 20
"""Bytes first reserved for the footer of a part."""


def encode(
    table: pa.Table,
    *,
    part: int,
    fingerprint: str,
    compression: str,
    statuses: Mapping[str, int],
    folder: str = DATA,
    row_groups: Sequence[int] = (),
    buffer: EncodeBuffer | None = None,
) -> tuple[memoryview, Receipt]:
    """The bytes of a part and its receipt; equal tables give equal bytes.

    A dictionary column is written as its values.

    Args:
        table: the part's rows.
        part: its number.
        fingerprint: its run's.
        compression: of its pages, as [output] compression names it.
        statuses: rows by status.
        folder: where it is to be published.
        row_groups: the rows of each row group; by default there is one row group.
        buffer: where the bytes are put. They stay until another part is encoded there.
    """
    schema = pa.schema([_plain(field) for field in table.schema], table.schema.metadata)
    texts = [field.name for field in schema if is_text(field.type)]
    # Pages end between writes, and their size is a 32-bit number: few long texts must not make one of gigabytes.
    length = max((_text_bytes(table.column(name)) for name in texts), default=0) // max(table.num_rows, 1)
    write_rows = max(1, min(_WRITE_ROWS, _WRITE_BYTES // max(length, 1)))
    footer_metadata = {
        "fingerprint": fingerprint,
        "part": part,
        "rows": table.num_rows,
        "statuses": dict(sorted(statuses.items())),
    }
    options = {
        "compression": compression,
        "use_dictionary": texts or False,
        "column_encoding": {f.name: _DELTAS for f in schema if _is_integral(f.type) and "." not in f.name},
        "write_page_checksum": True,
        "write_batch_size": write_rows,
        "max_rows_per_page": max(1, _PAGE_ROWS // write_rows) * write_rows,
        "store_schema": False,
    }
    metadata = _texts(schema.metadata) | {_SCHEMA: base64.b64encode(schema.serialize().to_pybytes()).decode()}
    groups = list(_tables(table, row_groups or [table.num_rows], write_rows))
    buffer = EncodeBuffer() if buffer is None else buffer
    room = 2 * table.nbytes + _FOOTER_ROOM
    while (written := _written(table.schema, groups, footer_metadata, options, metadata, buffer.view(room))) is None:
        room *= 2
    data, data_bytes = written
    footer = digest_of(data[data_bytes:])
    return data, make_receipt(part_name(part, fingerprint, folder), footer_metadata, len(data), footer)


def _is_integral(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_temporal(kind)


def _plain(field: pa.Field) -> pa.Field:
    return field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field


def _text_bytes(column: pa.ChunkedArray) -> int:
    """Bytes of all texts together; 0 for a dictionary column, which holds few texts, a kernel's own."""
    return 0 if pa.types.is_dictionary(column.type) else pc.sum(pc.binary_length(column)).as_py() or 0


def _texts(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (metadata or {}).items()}


def _tables(table: pa.Table, row_groups: Sequence[int], write_rows: int) -> Iterator[pa.Table]:
    """The rows of each row group, in chunks that do not depend on how the rows were read."""
    start = 0
    for rows in row_groups:
        columns = [_rechunked(column, write_rows) for column in table.slice(start, rows).columns]
        yield pa.Table.from_arrays(columns, schema=table.schema)
        start += rows


def _rechunked(column: pa.ChunkedArray, write_rows: int) -> "pa.ChunkedArray | pa.Array":
    """A column in one chunk; or as it is, not copied, if its chunks end where writes end: the bytes are the same."""
    flat = column.type.num_fields == 0  # lists are written by entries, not by rows
    if flat and not any(len(chunk) % write_rows for chunk in column.chunks[:-1]):
        return column
    return column.combine_chunks()


def _written(
    schema: pa.Schema,
    groups: Sequence[pa.Table],
    footer_metadata: dict[str, Any],
    options: Mapping[str, Any],
    metadata: Mapping[str, str],
    memory: memoryview,
) -> tuple[memoryview, int] | None:
    """A Parquet file in ``memory``, and how many bytes of it are data pages; None if it does not fit there.

    The pages' number of bytes and their digest are added to ``footer_metadata``. All goes into one piece of memory from
    the beginning: pages could not be digested in a stream of Arrow's, and one of Python's would take the interpreter's
    lock for each page.
    """
    sink = pa.FixedSizeBufferWriter(pa.py_buffer(memory))
    try:
        with pq.ParquetWriter(sink, schema, **options) as writer:
            for group in groups:
                writer.write_table(group, row_group_size=max(group.num_rows, 1))
            data_bytes = sink.tell()
            footer_metadata |= {"data_bytes": data_bytes, "digest": digest_of(memory[:data_bytes])}
            writer.add_key_value_metadata({**metadata, KEY.decode(): json.dumps(footer_metadata)})
        return memory[: sink.tell()], data_bytes
    except OSError as error:
        if "out of bounds" not in str(error):
            raise
        return None


def in_row_groups(table: pa.Table, rows: Sequence[int]) -> tuple[pa.Table, list[int]]:
    """A table marked with the rows of each bucket, and the row groups to write it in: an empty bucket has none."""
    return table.replace_schema_metadata({_BUCKETS: json.dumps(list(rows))}), [count for count in rows if count]


def read_bucket(store: Store, name: str, bucket: int, schema: pa.Schema) -> pa.Table:
    """One bucket of a part that was written with :func:`in_row_groups`.

    Raises:
        pyarrow.ArrowException, OSError: it cannot be read.
    """
    with store.open(name) as file, pq.ParquetFile(file, page_checksum_verification=True) as parquet:
        rows = json.loads((parquet.schema_arrow.metadata or {})[_BUCKETS])
        if not rows[bucket]:
            return pa.Table.from_batches([], schema)
        return parquet.read_row_group(sum(map(bool, rows[:bucket]))).cast(schema)
