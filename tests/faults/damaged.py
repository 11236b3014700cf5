"""Parquet files of several kinds, where their pages are, and ways to damage them."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

ROWS = 120

KINDS: dict[str, dict[str, Any]] = {
    "plain": {"use_dictionary": False, "compression": "none", "write_statistics": False},
    "dictionary": {"use_dictionary": True, "compression": "none"},
    "snappy": {"compression": "snappy", "data_page_size": 128},
    "zstd": {"compression": "zstd", "data_page_version": "2.0", "data_page_size": 128},
    "gzip": {"compression": "gzip", "use_dictionary": False},
    "lz4": {"compression": "lz4", "write_page_index": True},
    "brotli": {"compression": "brotli", "version": "1.0"},
    "split": {
        "use_dictionary": False,
        "column_encoding": {
            "x": "BYTE_STREAM_SPLIT",
            "id": "DELTA_BINARY_PACKED",
            "text": "DELTA_BYTE_ARRAY",
            "flag": "RLE",
        },
    },
}


def tasks() -> pa.Table:
    """Numbers, texts, lists and nulls: enough columns for every job of the victim's."""
    rng = np.random.default_rng(7)
    x = rng.uniform(0.5, 2.0, ROWS)
    return pa.table(
        {
            "id": np.arange(ROWS),
            "x": pa.array(x, mask=np.arange(ROWS) % 50 == 7),
            "p": rng.uniform(0.5, 2.0, ROWS),
            "order": rng.integers(0, 4, ROWS),
            "site": np.arange(ROWS) // 40,
            "text": [f"text {number % 5}" for number in range(ROWS)],
            "flag": x > 1,
            "v": pa.array(rng.normal(size=(ROWS, 3)).tolist()),
        }
    )


@dataclass(frozen=True)
class Kind:
    """One way to write the tasks."""

    data: bytes
    checked: bool
    """Whether its pages have checksums."""

    @property
    def footer(self) -> int:
        """Where the footer begins."""
        return len(self.data) - 8 - int.from_bytes(self.data[-8:-4], "little")

    @property
    def pages(self) -> list[tuple[int, int, int]]:
        """Where each page begins, its body begins, and it ends."""
        return list(_pages(self.data))


@cache
def kind(name: str, checked: bool) -> Kind:
    """The file of one kind."""
    file = io.BytesIO()
    pq.write_table(tasks(), file, row_group_size=40, write_page_checksum=checked, **KINDS[name])
    return Kind(file.getvalue(), checked)


def _pages(data: bytes) -> Iterator[tuple[int, int, int]]:
    metadata = pq.read_metadata(io.BytesIO(data))
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            end = start + chunk.total_compressed_size
            while start < end:
                fields, body = _struct(data, start)
                yield start, body, body + fields[3]  # PageHeader.compressed_page_size
                start = body + fields[3]


def _struct(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """The fields of a struct in Thrift's compact protocol, and where it ends."""
    fields: dict[int, Any] = {}
    number = 0
    while head := data[at]:
        assert head >> 4, "a page header has few fields, close together"
        number += head >> 4
        fields[number], at = _value(data, at + 1, head & 15)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (1, 2):
        return kind == 1, at
    if kind == 12:
        return _struct(data, at)
    shift = value = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 128:
            break
    if kind == 8:
        return data[at : at + value], at + value
    return (value >> 1) ^ -(value & 1), at


VARINTS = [b"\xff\xff\xff\xff\x0f", b"\xfe\xff\xff\xff\x0f", b"\xff" * 9 + b"\x01", b"\x80\x80\x80\x80\x10", b"\x01"]
"""The least and the greatest numbers that Thrift writes, and others of interest."""

some_bytes = st.binary(min_size=1, max_size=8) | st.sampled_from(VARINTS)


def places(kind: Kind) -> st.SearchStrategy[int]:
    """Any byte, the footer and the heads of pages more often than others."""
    heads = [at for start, body, _ in kind.pages for at in range(start, body)]
    return st.one_of(
        st.integers(kind.footer, len(kind.data) - 1), st.sampled_from(heads), st.integers(0, len(kind.data) - 1)
    )


def bodies(kind: Kind) -> st.SearchStrategy[int]:
    """A byte that a checksum covers."""
    return st.sampled_from([at for _, body, end in kind.pages for at in range(body, end)])


Edit = tuple[str, int, Any]


def edits(place: st.SearchStrategy[int]) -> st.SearchStrategy[Sequence[Edit]]:
    """Some damage, done one after the other."""
    return st.lists(
        st.one_of(
            st.tuples(st.just("flip"), place, st.integers(0, 7)),
            st.tuples(st.just("write"), place, some_bytes),
            st.tuples(st.just("insert"), place, some_bytes),
            st.tuples(st.just("delete"), place, st.integers(1, 64)),
            st.tuples(st.just("truncate"), place, st.none()),
            st.tuples(st.just("copy"), place, st.tuples(place, st.integers(1, 64))),
        ),
        min_size=1,
        max_size=3,
    )


def flips(place: st.SearchStrategy[int]) -> st.SearchStrategy[Sequence[Edit]]:
    """One bit or more, and nothing moved."""
    return st.lists(st.tuples(st.just("flip"), place, st.integers(0, 7)), min_size=1, max_size=3, unique=True)


def damaged(data: bytes, edits: Sequence[Edit]) -> bytes:
    """A file after some edits."""
    for what, at, how in edits:
        if what == "flip":
            data = data[:at] + bytes([data[at] ^ 1 << how]) + data[at + 1 :] if at < len(data) else data
        elif what == "write":
            data = data[:at] + how + data[at + len(how) :]
        elif what == "insert":
            data = data[:at] + how + data[at:]
        elif what == "delete":
            data = data[:at] + data[at + how :]
        elif what == "truncate":
            data = data[:at]
        elif what == "copy":
            start, length = how
            data = data[:at] + data[start : start + length] + data[at + length :]
    return data
