"""One Parquet file of the input: what its footer said when the run was planned, and opening it again since."""

import functools
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from jaxbatch.errors import InputError
from jaxbatch.input.footers import Chunk, chunks
from jaxbatch.input.int96 import SECONDS
from jaxbatch.storage import StorageOptions, is_remote, open_file

_ENDING = 8
"""Bytes of a file's end: the footer's length, and the magic."""

_LEAST = 12
"""Bytes of the shortest Parquet file: the magic, no footer, and an ending."""

_WHOLE_BYTES = 1 << 28
"""Columns of a row group are read whole, if such a row group has at most so many bytes on average …"""

_BUFFER_BYTES = 1 << 22
"""… and otherwise so many bytes of each at a time."""

_FOOTERS_KEPT = 4
"""A file with many row groups is opened once a shard, and its footer takes seconds to read."""


@dataclass(frozen=True)
class InputFile:
    """One Parquet file as its footer describes it; ``name`` is its path within the input."""

    path: str
    name: str
    size: int
    footer_digest: str
    bytes: int
    """Of its data, before compression."""
    row_groups: tuple[int, ...]
    """Rows of each row group."""
    keys: tuple[tuple[str, str | int | None], ...]
    """Hive keys in the name, with their values."""
    storage: StorageOptions
    """How it is reached, where its path is a URL."""

    @contextmanager
    def open(self, **options: Any) -> "Iterator[OpenFile]":
        """The file to read from; one that comes over a network is read in few large requests.

        Timestamps of 96 bits are given in seconds, unless ``options`` say otherwise.

        Raises:
            InputError: it is not the file any more that it was when the run was planned.
            pyarrow.ArrowException, OSError: it is not there, or cannot be read.
        """
        with open_file(self.path, self.storage) as file:
            size, footer = read_footer(file)
            if (size, digest(footer)) != (self.size, self.footer_digest):
                raise InputError(f"{self.path} has changed since the run was planned.", "Run again to make a new plan.")
            metadata = pq.read_metadata(io.BytesIO(footer))
            large = self.bytes > _WHOLE_BYTES * len(self.row_groups)
            with pq.ParquetFile(
                file,
                metadata=metadata,
                pre_buffer=is_remote(self.path) and not large,
                buffer_size=_BUFFER_BYTES if large else 0,
                page_checksum_verification=True,
                **{"coerce_int96_timestamp_unit": SECONDS, **options},
            ) as parquet:
                yield OpenFile(parquet, footer)


@dataclass(frozen=True)
class OpenFile:
    """A Parquet file that is open, and its footer's bytes."""

    parquet: pq.ParquetFile
    footer: bytes

    @property
    def chunks(self) -> list[list[Chunk]]:
        """Its column chunks by row group.

        Raises:
            pyarrow.ArrowInvalid: the footer is damaged.
        """
        return _chunks(self.footer)


_chunks = functools.lru_cache(_FOOTERS_KEPT)(chunks)


def digest(footer: bytes) -> str:
    """What tells one footer from another."""
    return hashlib.sha256(footer).hexdigest()


def read_footer(file: BinaryIO) -> tuple[int, bytes]:
    """The size of a file and its footer, with the length and the magic that follow it.

    Raises:
        pyarrow.ArrowInvalid: it does not end as a Parquet file does.
        OSError: it cannot be read.
    """
    size = file.seek(0, os.SEEK_END)
    if size < _LEAST:
        raise pa.ArrowInvalid(f"it holds {size} bytes, too few for a Parquet file")
    file.seek(max(size - _ENDING, 0))
    ending = file.read(_ENDING)
    length = int.from_bytes(ending[:4], "little") + _ENDING
    if ending[4:] != b"PAR1":
        encrypted = ending[4:] == b"PARE"
        raise pa.ArrowInvalid("its footer is encrypted" if encrypted else "it does not end as a Parquet file does")
    if length > size:
        raise pa.ArrowInvalid(f"its footer would be longer than the file, which holds {size} bytes")
    file.seek(size - length)
    return size, file.read(length)
