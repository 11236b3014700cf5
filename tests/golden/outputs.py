"""What is compared of an output: what is in its parts, without what names the run that wrote them."""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_RECEIPT = b"jaxbatch"
"""In the footer of a part; its fingerprint and digests are of the versions and the code too."""


def contents(output: Path) -> list[dict[str, Any]]:
    """The contents of every part, in order."""
    parts = sorted((output / "data").iterdir())
    return [_content(part, part.relative_to(output).as_posix()) for part in parts]


def _content(part: Path, name: str) -> dict[str, Any]:
    table = pq.read_table(part)
    receipt = json.loads((pq.read_metadata(part).metadata or {})[_RECEIPT])
    schema = table.schema
    return {
        "part": name.rpartition("-")[0],
        "rows": table.num_rows,
        "statuses": receipt["statuses"],
        "metadata": _texts(schema.metadata),
        "fields": {field.name: _described(field) for field in schema},
        "columns": {name: _column(table.column(name)) for name in table.column_names},
        "pages": _sha256(_pages(part.read_bytes())),
    }


def _described(field: pa.Field) -> str:
    metadata = _texts(field.metadata)
    return f"{field.type}{'' if field.nullable else ' not null'}{f' {metadata}' if metadata else ''}"


def _texts(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (metadata or {}).items() if key != _RECEIPT}


def _column(column: pa.ChunkedArray) -> str:
    """The digest of a column's values to the last bit, however they were stored."""
    sink = io.BytesIO()
    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    batch = pa.record_batch([array], names=[""])
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return _sha256(sink.getvalue())


def _pages(data: bytes) -> bytes:
    """A Parquet file without its footer: how its values are stored, encodings and compression included."""
    return data[: -8 - int.from_bytes(data[-8:-4], "little")]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
