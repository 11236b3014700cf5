"""One part as bytes: a whole Parquet file that carries its own receipt in its footer."""

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jaxbatch.storage import Store
from jaxbatch.types import is_text

_KEY = b"jaxbatch"
_TAIL = 64 * 1024
_NAME = re.compile(r"^data/part-(?P<index>\d{7,})-(?P<run>[0-9a-f]{8})\.parquet$")


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


def part_name(index: int, fingerprint: str) -> str:
    """The object name of a part: it ends in the run's first 8 digits."""
    return f"data/part-{index:07d}-{fingerprint[:8]}.parquet"


def is_part_name(name: str) -> bool:
    """Whether a name is that of a part, of whatever run."""
    return _NAME.match(name) is not None


def encode(
    table: pa.Table, *, part: int, fingerprint: str, compression: str, statuses: Mapping[str, int]
) -> tuple[memoryview, Receipt]:
    """The bytes of a part and its receipt; equal tables give equal bytes.

    The table is made one chunk a column first, so that nothing can follow from how its rows were read.
    """
    sink = io.BytesIO()
    texts = [field.name for field in table.schema if is_text(field.type)]
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression=compression,
        use_dictionary=texts or False,  # pyright: ignore[reportArgumentType]
        write_page_checksum=True,
    ) as writer:
        writer.write_table(table.combine_chunks(), row_group_size=max(table.num_rows, 1))
        with sink.getbuffer() as pages:
            data_bytes, digest = len(pages), hashlib.sha256(pages).hexdigest()
        stamp = {
            "fingerprint": fingerprint,
            "part": part,
            "rows": table.num_rows,
            "data_bytes": data_bytes,
            "digest": digest,
            "statuses": dict(sorted(statuses.items())),
        }
        writer.add_key_value_metadata({_KEY.decode(): json.dumps(stamp)})
    data = sink.getbuffer()
    footer = hashlib.sha256(data[data_bytes:]).hexdigest()
    return data, _receipt(part_name(part, fingerprint), stamp, len(data), footer)


def read_receipt(store: Store, name: str, size: int) -> Receipt:
    """The receipt of a published part, from its footer alone.

    Raises:
        NotAPart: the object is cut short, or not one of ours.
    """
    tail = store.read(name, -min(_TAIL, size)) if size else b""
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if tail[-4:] != b"PAR1" or length > size:
        raise NotAPart(f"{name} is not a whole Parquet file")
    if length > len(tail):
        tail = store.read(name, -length)
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
