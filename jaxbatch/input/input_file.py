"""One Parquet file of the input: its footer when the run was planned, and opening it again later."""

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
from blake3 import blake3

from jaxbatch.errors import InputError, printable
from jaxbatch.input.footer_statistics import Chunk, chunks
from jaxbatch.input.int96 import SECONDS
from jaxbatch.storage import StorageOptions, is_remote, open_file

ENDING_BYTES = 8
"""Bytes of a file's end: the footer's length, and the magic."""

_LEAST = 12
"""Bytes of the shortest Parquet file: the magic, no footer, and an ending."""

_WHOLE_BYTES = 1 << 28
"""Up to this many bytes of a row group, on average, its columns are read whole."""

_BUFFER_BYTES = 1 << 22
"""How many bytes of a column are read at a time where row groups are larger than that."""

_FOOTERS_KEPT = 4
"""Parsed footers that are kept: a file is opened once a shard, and one with many row groups takes seconds to parse."""


_HASHED_BYTES = 1 << 24
"""Bytes of a file that are read at once to be hashed."""


@dataclass(frozen=True)
class InputFile:
    """One Parquet file as its footer describes it."""

    path: str
    name: str
    """Its path within the input."""
    size: int
    footer_digest: str
    bytes: int
    """Bytes of its data before compression."""
    row_groups: tuple[int, ...]
    """Rows of each row group."""
    keys: tuple[tuple[str, str | int | None], ...]
    """The Hive keys in its name, with their values."""
    storage: StorageOptions
    """How to reach it where its path is a URL."""

    @contextmanager
    def open(self, **options: Any) -> "Iterator[OpenFile]":
        """Open the file; one that comes over a network is read in few large requests.

        Args:
            options: further arguments of ``pyarrow.parquet.ParquetFile``. INT96 timestamps are decoded in seconds
                unless ``coerce_int96_timestamp_unit`` is among them.

        Raises:
            InputError: its size or footer is not what it was when the run was planned.
            pyarrow.ArrowException, OSError: it does not exist, or cannot be read.
        """
        with open_file(self.path, self.storage) as file:
            footer = _checked_footer(self, file)
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

    def content_digest(self) -> str:
        """The BLAKE3 of all its bytes, in hexadecimal: where rows are few, and one that changes must be noticed.

        Raises:
            OSError: it does not exist, or cannot be read.
        """
        digest = blake3()
        with open_file(self.path, self.storage, self.size) as file:
            while data := file.read(_HASHED_BYTES):
                digest.update(data)
        return digest.hexdigest()


def footer_of(file: InputFile) -> bytes:
    """The bytes of a file's footer, with the length and magic that follow it.

    Raises:
        InputError: its size or footer is not what it was when the run was planned.
        pyarrow.ArrowException, OSError: it does not exist, or cannot be read.
    """
    with open_file(file.path, file.storage, file.size) as opened:
        return _checked_footer(file, opened)


def _checked_footer(file: InputFile, opened: BinaryIO) -> bytes:
    size, footer = read_footer(opened)
    if (size, digest(footer)) != (file.size, file.footer_digest):
        raise InputError(f"{file.path} has changed since the run was planned.", "Run again to make a new plan.")
    return footer


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
        return chunks_of(self.footer)


chunks_of = functools.lru_cache(_FOOTERS_KEPT)(chunks)
"""The column chunks of a footer by row group; those of the latest footers are kept."""


@contextmanager
def as_input_error(where: str) -> Iterator[None]:
    """Turn an error of reading a file into one for people; ``where`` names the file, and the place in it.

    Raises:
        InputError: pyarrow or the system refused to read it.
        ConnectionError: the store did not answer, as it was raised.
    """
    try:
        yield
    except ConnectionError:
        raise  # it says nothing about the file
    except (pa.ArrowException, OSError) as error:
        what = f"{where}: cannot be read ({printable(error)})."
        raise InputError(what, "Replace the file, then run again.") from error


def digest(footer: bytes) -> str:
    """The SHA-256 of a footer, in hexadecimal."""
    return hashlib.sha256(footer).hexdigest()


def read_footer(file: BinaryIO) -> tuple[int, bytes]:
    """A file's size in bytes, and its footer with the length and magic that follow it.

    Raises:
        pyarrow.ArrowInvalid: it does not end as a Parquet file does.
        OSError: it cannot be read.
    """
    size = file.seek(0, os.SEEK_END)
    if size < _LEAST:
        raise pa.ArrowInvalid(f"it holds {size} bytes, too few for a Parquet file")
    file.seek(max(size - ENDING_BYTES, 0))
    length = footer_length(file.read(ENDING_BYTES))
    if length > size:
        raise pa.ArrowInvalid(f"its footer would be longer than the file, which holds {size} bytes")
    file.seek(size - length)
    return size, file.read(length)


def footer_length(ending: bytes) -> int:
    """Bytes of a footer with the length and the magic that follow it, by the last 8 bytes of its file.

    Raises:
        pyarrow.ArrowInvalid: the file does not end as a Parquet file does.
    """
    if ending[4:] != b"PAR1":
        encrypted = ending[4:] == b"PARE"
        raise pa.ArrowInvalid("its footer is encrypted" if encrypted else "it does not end as a Parquet file does")
    return int.from_bytes(ending[:4], "little") + ENDING_BYTES
