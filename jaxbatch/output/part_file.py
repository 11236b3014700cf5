"""One part as bytes: a whole Parquet file that carries its own receipt in its footer."""

# pyarrow.compute makes its functions at import, where no checker sees them.
# pyright: reportAttributeAccessIssue=false

import base64
import io
import json
import mmap
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from blake3 import blake3

from jaxbatch.input.types import is_text
from jaxbatch.storage import Store

_KEY = b"jaxbatch"
_SCHEMA = "ARROW:schema"
_BUCKETS = b"buckets"
_DELTAS = "DELTA_BINARY_PACKED"
"""How whole numbers are written, which mostly are numbers of rows, times or counts: in half the time and less space."""

_WRITE_ROWS = 1024
_WRITE_BYTES = 1 << 20
_PAGE_ROWS = 20_000
_FOOTER_ROOM = 1 << 20
_TAIL = 64 * 1024
_NAME = re.compile(r"^(data|_jaxbatch/partials)/part-(?P<index>\d{7,})-(?P<run>[0-9a-f]{8})\.parquet$")

DATA = "data"
"""The folder of a run's results …"""

PARTIALS = "_jaxbatch/partials"
"""… and, until it is sealed, of what its first stage leaves to its second."""


@dataclass(frozen=True)
class Receipt:
    """What a published part says of itself. ``digest`` is of its data pages, ``footer`` of all that follows: BLAKE3, in
    hexadecimal."""

    part: int
    name: str
    rows: int
    bytes: int
    digest: str
    footer: str
    fingerprint: str
    statuses: Mapping[str, int]


class NotAPart(Exception):
    """An object that is not a whole part of ours."""


def part_name(index: int, fingerprint: str, folder: str = DATA) -> str:
    """The object name of a part: it ends in the run's first 8 digits."""
    return f"{folder}/part-{index:07d}-{fingerprint[:8]}.parquet"


def is_part_name(name: str) -> bool:
    """Whether a name is that of a part, of whatever run."""
    return _NAME.match(name) is not None


def is_part_of(name: str, fingerprint: str, folder: str) -> bool:
    """Whether a name is that of a part of this run."""
    found = _NAME.match(name)
    return found is not None and name == part_name(int(found["index"]), fingerprint, folder)


def run_of(name: str) -> str | None:
    """The first 8 digits of the fingerprint of the run that a part is of, by its name."""
    found = _NAME.match(name)
    return found["run"] if found else None


class EncodeBuffer:
    """Memory that parts are written to, one after the other: fresh pages for each would cost more than writing does.
    It begins with a page, so that a disk can take it as it is."""

    def __init__(self) -> None:
        self._memory = memoryview(b"")

    def __len__(self) -> int:
        return len(self._memory)

    def view(self, size: int) -> memoryview:
        """So many bytes, the same as before."""
        if len(self._memory) < size:
            memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            if hasattr(mmap, "MADV_HUGEPAGE"):
                with suppress(OSError):  # a system may have none
                    memory.madvise(mmap.MADV_HUGEPAGE)
            self._memory = memoryview(memory)
        return self._memory[:size]


class BufferPool:
    """As many of them as are in use at once, the one that was used last first; idle ones keep ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._idle: deque[EncodeBuffer] = deque()

    @contextmanager
    def borrowed(self) -> Iterator[EncodeBuffer]:
        """One for a part, until it is published."""
        try:
            scratch = self._idle.pop()
        except IndexError:
            scratch = EncodeBuffer()
        yield scratch
        if sum(len(each) for each in (*self._idle, scratch)) <= self._limit:
            self._idle.append(scratch)


def encode(
    table: pa.Table,
    *,
    part: int,
    fingerprint: str,
    compression: str,
    statuses: Mapping[str, int],
    folder: str = DATA,
    row_groups: Sequence[int] = (),
    scratch: EncodeBuffer | None = None,
) -> tuple[memoryview, Receipt]:
    """The bytes of a part and its receipt; equal tables give equal bytes.

    It is written as one row group, or as ``row_groups`` of so many rows; a dictionary column as its values. The bytes
    lie in ``scratch``, until another part is encoded there.
    """
    schema = pa.schema([_plain(field) for field in table.schema], table.schema.metadata)
    texts = [field.name for field in schema if is_text(field.type)]
    # Pages end between writes, and their size is a 32-bit number: few long texts must not make one of gigabytes.
    length = max((_text_bytes(table.column(name)) for name in texts), default=0) // max(table.num_rows, 1)
    write_rows = max(1, min(_WRITE_ROWS, _WRITE_BYTES // max(length, 1)))
    stamp = {
        "fingerprint": fingerprint,
        "part": part,
        "rows": table.num_rows,
        "statuses": dict(sorted(statuses.items())),
    }
    options = {
        "compression": compression,
        "use_dictionary": texts or False,
        "column_encoding": {f.name: _DELTAS for f in schema if _is_whole(f.type) and "." not in f.name},
        "write_page_checksum": True,
        "write_batch_size": write_rows,
        "max_rows_per_page": max(1, _PAGE_ROWS // write_rows) * write_rows,
        "store_schema": False,
    }
    metadata = _texts(schema.metadata) | {_SCHEMA: base64.b64encode(schema.serialize().to_pybytes()).decode()}
    groups = list(_tables(table, row_groups or [table.num_rows], write_rows))
    scratch = EncodeBuffer() if scratch is None else scratch
    room = 2 * table.nbytes + _FOOTER_ROOM
    while (written := _written(table.schema, groups, stamp, options, metadata, scratch.view(room))) is None:
        room *= 2
    data, data_bytes = written
    footer = _digest(data[data_bytes:])
    return data, _receipt(part_name(part, fingerprint, folder), stamp, len(data), footer)


def _is_whole(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_temporal(kind)


def _plain(field: pa.Field) -> pa.Field:
    return field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field


def _text_bytes(column: pa.ChunkedArray) -> int:
    """Of all texts together; not asked of a dictionary column, whose few texts are a kernel's own."""
    return 0 if pa.types.is_dictionary(column.type) else pc.sum(pc.binary_length(column)).as_py() or 0


def _texts(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (metadata or {}).items()}


def _tables(table: pa.Table, row_groups: Sequence[int], write_rows: int) -> Iterator[pa.Table]:
    """The rows of each row group, put together so that nothing can follow from how they were read."""
    start = 0
    for rows in row_groups:
        columns = [_whole(column, write_rows) for column in table.slice(start, rows).columns]
        yield pa.Table.from_arrays(columns, schema=table.schema)
        start += rows


def _whole(column: pa.ChunkedArray, write_rows: int) -> "pa.ChunkedArray | pa.Array":
    """A column in one chunk; or in chunks that end where writes end, of which the same bytes follow without a copy."""
    counted = column.type.num_fields == 0  # of lists the entries are
    if counted and not any(len(chunk) % write_rows for chunk in column.chunks[:-1]):
        return column
    return column.combine_chunks()


def _written(
    schema: pa.Schema,
    groups: Sequence[pa.Table],
    stamp: dict[str, Any],
    options: Mapping[str, Any],
    metadata: Mapping[str, str],
    memory: memoryview,
) -> tuple[memoryview, int] | None:
    """A Parquet file in a piece of memory, and how many bytes of it are data pages; None where it would be larger.

    The pages' number and digest are added to the ``stamp``. They go into memory that is one piece from the beginning:
    pages could not be digested in a stream of Arrow's, and one of Python's would take the interpreter's lock for each.
    """
    sink = pa.FixedSizeBufferWriter(pa.py_buffer(memory))
    try:
        with pq.ParquetWriter(sink, schema, **options) as writer:
            for group in groups:
                writer.write_table(group, row_group_size=max(group.num_rows, 1))
            data_bytes = sink.tell()
            stamp |= {"data_bytes": data_bytes, "digest": _digest(memory[:data_bytes])}
            writer.add_key_value_metadata({**metadata, _KEY.decode(): json.dumps(stamp)})
        return memory[: sink.tell()], data_bytes
    except OSError as error:
        if "out of bounds" not in str(error):
            raise
        return None


def _digest(data: "bytes | memoryview") -> str:
    return blake3(data).hexdigest()


def read_receipt(store: Store, name: str, size: int) -> Receipt:
    """The receipt of a published part, from its footer alone.

    Raises:
        NotAPart: the object is cut short, or not one of ours.
    """
    tail = store.read(name, max(size - _TAIL, 0)) if size else b""
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if tail[-4:] != b"PAR1" or length > size:
        raise NotAPart(f"{name} is not a complete Parquet file")
    if length > len(tail):
        tail = store.read(name, size - length)
    try:
        stamp = json.loads((pq.read_metadata(io.BytesIO(tail)).metadata or {})[_KEY])
        if stamp["data_bytes"] != size - length:
            raise NotAPart(f"{name} has {size - length} bytes of data, its footer says {stamp['data_bytes']}")
        return _receipt(name, stamp, size, _digest(tail[-length:]))
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise NotAPart(f"{name} has no jaxbatch receipt in its footer") from error


def data_digest(store: Store, receipt: Receipt) -> str:
    """The digest of a part's data pages as they are now."""
    data = store.read(receipt.name)
    length = int.from_bytes(data[-8:-4], "little") + 8
    return _digest(memoryview(data)[:-length])


def _receipt(name: str, stamp: Mapping[str, Any], size: int, footer: str) -> Receipt:
    return Receipt(
        part=int(stamp["part"]),
        name=name,
        rows=int(stamp["rows"]),
        bytes=size,
        digest=str(stamp["digest"]),
        footer=footer,
        fingerprint=str(stamp["fingerprint"]),
        statuses=dict(stamp["statuses"]),
    )


def in_row_groups(table: pa.Table, rows: Sequence[int]) -> tuple[pa.Table, list[int]]:
    """A table that says how its rows fall into buckets, and the row groups to write it in: none for an empty one."""
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
