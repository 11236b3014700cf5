"""One part as bytes: a whole Parquet file that carries its own receipt in its footer."""

# pyarrow.compute makes its functions at import, where no checker sees them.
# pyright: reportAttributeAccessIssue=false

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jaxbatch.storage import Store
from jaxbatch.types import is_text

_KEY = b"jaxbatch"
_BUCKETS = b"buckets"
_WRITE_ROWS = 1024
_WRITE_BYTES = 1 << 20
_FOOTER_ROOM = 1 << 20
_TAIL = 64 * 1024
_NAME = re.compile(r"^(data|_jaxbatch/partials)/part-(?P<index>\d{7,})-(?P<run>[0-9a-f]{8})\.parquet$")

DATA = "data"
"""The folder of a run's results …"""

PARTIALS = "_jaxbatch/partials"
"""… and, until it is sealed, of what its first stage leaves to its second."""


@dataclass(frozen=True)
class Receipt:
    """What a published part says of itself. ``digest`` is of its data pages, ``footer`` of all that follows."""

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


def encode(
    table: pa.Table,
    *,
    part: int,
    fingerprint: str,
    compression: str,
    statuses: Mapping[str, int],
    folder: str = DATA,
    row_groups: Sequence[int] = (),
) -> tuple[memoryview, Receipt]:
    """The bytes of a part and its receipt; equal tables give equal bytes.

    The table is made one chunk a column first, so that nothing can follow from how its rows were read. It is written
    as one row group, or as ``row_groups`` of so many rows.
    """
    texts = [field.name for field in table.schema if is_text(field.type)]
    lengths = (pc.sum(pc.binary_length(table.column(name))).as_py() or 0 for name in texts)
    length = max(lengths, default=0) // max(table.num_rows, 1)
    # Pages end between writes, and their size is a 32-bit number: few long texts must not make one of gigabytes.
    write_rows = max(1, min(_WRITE_ROWS, _WRITE_BYTES // max(length, 1)))
    table = table.combine_chunks()
    stamp = {
        "fingerprint": fingerprint,
        "part": part,
        "rows": table.num_rows,
        "statuses": dict(sorted(statuses.items())),
    }
    options = {
        "compression": compression,
        "use_dictionary": texts or False,
        "write_page_checksum": True,
        "write_batch_size": write_rows,
    }
    room = 2 * table.nbytes + _FOOTER_ROOM
    while (written := _written(table, row_groups or [table.num_rows], stamp, options, room)) is None:
        room *= 2
    data, data_bytes = written
    footer = hashlib.sha256(data[data_bytes:]).hexdigest()
    return data, _receipt(part_name(part, fingerprint, folder), stamp, len(data), footer)


def _written(
    table: pa.Table, row_groups: Sequence[int], stamp: dict[str, Any], options: Mapping[str, Any], room: int
) -> tuple[memoryview, int] | None:
    """A Parquet file of at most ``room`` bytes, and how many of them are data pages; None where it would be larger.

    The pages' number and digest are added to the ``stamp``. They go into memory that is one piece from the beginning:
    pages could not be digested in a stream of Arrow's, and one of Python's would take the interpreter's lock for each.
    """
    memory = np.empty(room, np.uint8).data
    sink = pa.FixedSizeBufferWriter(pa.py_buffer(memory))
    try:
        with pq.ParquetWriter(sink, table.schema, **options) as writer:
            start = 0
            for rows in row_groups:
                writer.write_table(table.slice(start, rows), row_group_size=max(rows, 1))
                start += rows
            data_bytes = sink.tell()
            stamp |= {"data_bytes": data_bytes, "digest": hashlib.sha256(memory[:data_bytes]).hexdigest()}
            writer.add_key_value_metadata({_KEY.decode(): json.dumps(stamp)})
        return memory[: sink.tell()], data_bytes
    except OSError as error:
        if "out of bounds" not in str(error):
            raise
        return None


def read_receipt(store: Store, name: str, size: int) -> Receipt:
    """The receipt of a published part, from its footer alone.

    Raises:
        NotAPart: the object is cut short, or not one of ours.
    """
    tail = store.read(name, max(size - _TAIL, 0)) if size else b""
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if tail[-4:] != b"PAR1" or length > size:
        raise NotAPart(f"{name} is not a whole Parquet file")
    if length > len(tail):
        tail = store.read(name, size - length)
    try:
        stamp = json.loads((pq.read_metadata(io.BytesIO(tail)).metadata or {})[_KEY])
        if stamp["data_bytes"] != size - length:
            raise NotAPart(f"{name} has {size - length} bytes of data, its footer says {stamp['data_bytes']}")
        return _receipt(name, stamp, size, hashlib.sha256(tail[-length:]).hexdigest())
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise NotAPart(f"{name} has no receipt of jaxbatch in its footer") from error


def data_digest(store: Store, receipt: Receipt) -> str:
    """The digest of a part's data pages as they are now."""
    data = store.read(receipt.name)
    length = int.from_bytes(data[-8:-4], "little") + 8
    return hashlib.sha256(memoryview(data)[:-length]).hexdigest()


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
            return schema.empty_table()
        return parquet.read_row_group(sum(map(bool, rows[:bucket]))).cast(schema)
