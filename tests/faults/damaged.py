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
                thrift = Thrift(data, start)
                yield start, thrift.at, thrift.at + thrift.fields[3]  # PageHeader.compressed_page_size
                start = thrift.at + thrift.fields[3]


class Thrift:
    """A struct in Thrift's compact protocol: its fields, and where its numbers are."""

    def __init__(self, data: bytes, at: int):
        self._data = data
        self.at = at
        self.numbers: list[tuple[int, int]] = []
        """Where each begins and how long it is, lengths and field numbers too."""
        self.fields = self._struct()

    def _struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._number()
            fields[number] = head & 15 == 1 if head & 15 in (1, 2) else self._value(head & 15)
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (1, 2, 3):
            return self._byte()
        if kind in (4, 5, 6):
            return self._number()
        if kind in (7, 8):
            length = 8 if kind == 7 else self._varint()
            self.at += length
            return None
        if kind == 12:
            return self._struct()
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._varint()
        return [self._value(head & 15) for _ in range(count)]

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _number(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        start, value = self.at, 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << 7 * (self.at - start - 1)
        self.numbers.append((start, self.at - start))
        return value | byte << 7 * (self.at - start - 1)


def _as_varint(number: int) -> bytes:
    value = (number << 1) ^ (number >> 63)
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes([*written, value])


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

_LIMITS = [sign * 2**power + more for sign in (1, -1) for power in (15, 31, 32, 40, 62) for more in (-1, 0, 1)]


def numbers(kind: Kind) -> st.SearchStrategy[Sequence[Edit]]:
    """Other numbers in the footer or in the head of a page, which stay as they are else."""
    footer = Thrift(kind.data, kind.footer).numbers
    heads = [number for start, _, _ in kind.pages for number in Thrift(kind.data, start).numbers]
    value = st.integers(-3, 200) | st.sampled_from(_LIMITS) | st.integers(-(2**63), 2**63 - 1)
    edit = st.tuples(st.sampled_from(footer) | st.sampled_from(heads), value)
    return st.lists(edit, min_size=1, max_size=2).map(lambda found: [("number", at, (n, v)) for (at, n), v in found])


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
        elif what == "number":
            length, value = how
            written = _as_varint(value)
            footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
            longer = len(written) - length if at >= footer else 0
            said = (len(data) - 8 - footer + longer).to_bytes(4, "little")
            data = data[:at] + written + data[at + length : -8] + said + data[-4:]
        elif what == "copy":
            start, length = how
            data = data[:at] + data[start : start + length] + data[at + length :]
    return data
