"""A part's receipt: what its footer says of it, and reading that from a published part."""

import io
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from jaxbatch.input.input_file import ENDING_BYTES, footer_length
from jaxbatch.storage import Store

KEY = b"jaxbatch"
"""The footer's key for what jaxbatch says of a part, as JSON."""

_TAIL = 64 * 1024
"""Bytes of a part's end that are read at once. Few footers are longer."""


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
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
    statuses: dict[str, int]


class NotAPart(Exception):
    """An object that is not a whole part written by jaxbatch."""


def make_receipt(name: str, footer_metadata: Mapping[str, Any], size: int, footer: str) -> Receipt:
    """The receipt of a part of ``size`` bytes, from what its footer says and the digest of the footer itself.

    Raises:
        KeyError, TypeError, ValueError: the footer says something else.
    """
    return Receipt(
        part=int(footer_metadata["part"]),
        name=name,
        rows=int(footer_metadata["rows"]),
        bytes=size,
        digest=str(footer_metadata["digest"]),
        footer=footer,
        fingerprint=str(footer_metadata["fingerprint"]),
        statuses=dict(footer_metadata["statuses"]),
    )


def read_receipt(store: Store, name: str, size: int) -> Receipt:
    """The receipt of a published part, from its footer alone.

    Raises:
        NotAPart: the object is cut short, or jaxbatch did not write it.
        FileNotFoundError: there is no such object.
    """
    tail = store.read(name, max(size - _TAIL, 0)) if size else b""
    length = _footer_length(name, tail)
    if length > size:
        raise _not_whole(name)
    if length > len(tail):
        tail = store.read(name, size - length)
    try:
        found = json.loads((pq.read_metadata(io.BytesIO(tail)).metadata or {})[KEY])
        if found["data_bytes"] != size - length:
            raise NotAPart(f"{name} has {size - length} bytes of data, its footer says {found['data_bytes']}")
        return make_receipt(name, found, size, digest_of(tail[-length:]))
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise NotAPart(f"{name} has no jaxbatch receipt in its footer") from error


def data_digest(store: Store, receipt: Receipt) -> str:
    """The digest of a part's data pages as they are now.

    Raises:
        NotAPart: the object has been cut short.
    """
    data = store.read(receipt.name)
    return digest_of(memoryview(data)[: -_footer_length(receipt.name, data)])


def digest_of(data: "bytes | memoryview") -> str:
    """The digest by which parts and footers are known: BLAKE3, in hexadecimal."""
    return blake3(data).hexdigest()


def _footer_length(name: str, tail: bytes) -> int:
    try:
        return footer_length(tail[-ENDING_BYTES:])
    except pa.ArrowInvalid:
        raise _not_whole(name) from None


def _not_whole(name: str) -> NotAPart:
    return NotAPart(f"{name} is not a complete Parquet file")
