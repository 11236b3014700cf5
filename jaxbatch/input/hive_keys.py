"""Columns in a file's path: folders called key=value, as Hive and Spark write them."""

import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from jaxbatch.errors import InputError
from jaxbatch.input.input_file import InputFile

_NULL_KEY = "__HIVE_DEFAULT_PARTITION__"
"""The value that stands for null."""


def keys_of(name: str) -> Iterator[tuple[str, str | None]]:
    """The keys and values in a file's path within the input, outermost first; None stands for null.

    Raises:
        ValueError: a %XX in them is not UTF-8.
    """
    for segment in Path(name).parts[:-1]:
        key, equals, value = segment.partition("=")
        if equals and key:
            value = _decoded(value)
            yield _decoded(key), None if value == _NULL_KEY else value


def _decoded(text: str) -> str:
    # Strict: a replacement character would make one value of different bytes.
    return urllib.parse.unquote(text, errors="strict")


def is_integer(value: "str | int | None") -> bool:
    """Whether a key's value is null or an integer of 64 bits, written as numbers are: 007 and -0 are texts."""
    if value is None:
        return True
    return re.fullmatch(r"0|-?[1-9][0-9]{0,18}", str(value)) is not None and -(2**63) <= int(value) < 2**63


def typed_keys(names: Iterable[str]) -> tuple[dict[str, str], list[dict[str, str | int | None]]]:
    """The types of the keys in files' names within the input, and the keys of each file.

    A key is of integers where all files have integers for it, of which one is not null. A file whose keys cannot be
    read has none; reading its footer says why.
    """
    found: list[dict[str, str | None]] = []
    for name in names:
        try:
            found.append(dict(keys_of(name)))
        except ValueError:
            found.append({})
    values = {key: [keys[key] for keys in found if key in keys] for key in {key for keys in found for key in keys}}
    integer = {key: all(map(is_integer, its)) and any(v is not None for v in its) for key, its in values.items()}
    typed = [{k: int(v) if integer[k] and v is not None else v for k, v in keys.items()} for keys in found]
    return {key: "int64" if integer[key] else "string" for key in values}, typed


def with_typed_keys(files: Sequence[InputFile], known: Mapping[str, str]) -> tuple[InputFile, ...]:
    """The files with a key's values as integers, if all of them are.

    Args:
        files: the input's files, with all values as texts.
        known: the types of columns by earlier files of the output; they decide instead for the keys among them.

    Raises:
        InputError: the files do not all have the same keys.
    """
    names = tuple(name for name, _ in files[0].keys)
    for file in files:
        if tuple(name for name, _ in file.keys) != names:
            raise InputError(
                f"{file.path} lies under the keys {[n for n, _ in file.keys]}, {files[0].path} under {list(names)}.",
                "Put all files in the same key=value folders.",
            )
    values = zip(*([value for _, value in file.keys] for file in files), strict=True)
    integer = {
        name: known[name] == "int64" if name in known else all(map(is_integer, each))
        for name, each in zip(names, values, strict=True)
    }

    def typed(keys: Iterable[tuple[str, str | int | None]]) -> tuple[tuple[str, str | int | None], ...]:
        return tuple((n, int(v) if integer[n] and v is not None else v) for n, v in keys)

    return tuple(replace(file, keys=typed(file.keys)) for file in files)


def with_key_columns(schema: pa.Schema, files: Sequence[InputFile], known: Mapping[str, str]) -> pa.Schema:
    """The schema with a column for each key after the others: of integers or, as for keys of nulls alone, of texts."""
    for position, (name, _) in enumerate(files[0].keys):
        values = [file.keys[position][1] for file in files]
        text = any(isinstance(value, str) for value in values) or all(value is None for value in values)
        integer = known[name] == "int64" if name in known else not text
        schema = schema.append(pa.field(name, pa.int64() if integer else pa.string()))
    return schema
