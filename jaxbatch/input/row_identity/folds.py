"""The words that name a row, folded into a key one after the other."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pyarrow import types as pat

from jaxbatch.input import arrow_compute as pc
from jaxbatch.input.arrow_arrays import to_numpy
from jaxbatch.input.row_identity.threefry import Keys

_TEXT_WORDS = 4
"""Words of the SHA-256 of a text that name it: two texts of one name are not to be found by chance."""

NON_NEGATIVE, NEGATIVE, TEXT, DATE, TIMESTAMP = range(5)
"""The first word of a value: what it is. An integer below 0 is not told from 2⁶⁴ more by its 64 bits."""

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def can_name(kind: pa.DataType) -> bool:
    """Whether values of a type can name a row: integers, texts, dates and times of a day, whatever their storage."""
    return pat.is_integer(kind) or pat.is_date(kind) or pat.is_timestamp(kind) or _is_text(kind)


def of_file(keys: Keys, name: str) -> Keys:
    """A key with the words of a file's name folded in."""
    for word in _text_words([name.encode()])[0]:
        keys = keys.folded(int(word))
    return keys


def of_places(keys: Keys, places: np.ndarray) -> Keys:
    """Keys for rows by their places in a file, int64 ``[rows]``, of whose name the key knows."""
    return _of_numbers(keys, places)


def of_values(keys: Keys, array: pa.Array) -> Keys:
    """Keys for rows by their values in a column: a word for the kind of value, then those of the value.

    What a null gives is of no use to anyone.

    Args:
        keys: one key, or a key for every row.
        array: one value or more, of a type that :func:`can_name` a row.
    """
    kind = array.type
    if _is_text(kind):
        return _of_texts(keys, array)
    if pat.is_date(kind):
        days = to_numpy(array.cast(pa.date32()).view(pa.int32())).astype(np.int64)
        return _of_numbers(keys.folded(DATE), days)
    if pat.is_timestamp(kind):
        scale = _PER_SECOND[kind.unit]
        seconds, rest = np.divmod(to_numpy(array.view(pa.int64())), scale)
        keys = _of_numbers(keys.folded(TIMESTAMP), seconds)
        return keys.folded((rest * (10**9 // scale)).astype(np.uint32))
    numbers = to_numpy(array)
    negative = numbers < 0
    kinds = np.where(negative, np.uint32(NEGATIVE), np.uint32(NON_NEGATIVE)) if negative.any() else NON_NEGATIVE
    return _of_numbers(keys.folded(kinds), numbers.astype(np.int64 if numbers.dtype.kind == "i" else np.uint64))


def _of_numbers(keys: Keys, numbers: np.ndarray) -> Keys:
    """Keys with 64-bit numbers folded in, the high word first."""
    numbers = numbers.view(np.uint64)
    return keys.folded((numbers >> np.uint64(32)).astype(np.uint32)).folded(numbers.astype(np.uint32))


def _of_texts(keys: Keys, array: pa.Array) -> Keys:
    encoded = pc.dictionary_encode(array.cast(pa.large_binary()))
    words = _text_words(encoded.dictionary.to_pylist() or [b""])
    rows = to_numpy(encoded.indices)
    keys = keys.folded(TEXT)
    for place in range(_TEXT_WORDS):
        keys = keys.folded(words[rows, place])
    return keys


def _text_words(texts: Sequence[bytes]) -> np.ndarray:
    """The first words of the SHA-256 of texts in UTF-8, uint32 ``[texts, 4]``; a word's first byte is the highest."""
    digests = b"".join([hashlib.sha256(text).digest()[: 4 * _TEXT_WORDS] for text in texts])
    return np.frombuffer(digests, ">u4").reshape(len(texts), _TEXT_WORDS).astype(np.uint32)


def _is_text(kind: pa.DataType) -> bool:
    return pat.is_string(kind) or pat.is_large_string(kind) or pat.is_string_view(kind)
