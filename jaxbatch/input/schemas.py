"""The input: what its files hold and whether they fit. Reads footers, never data pages."""

import base64
import io
import re
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jaxbatch.errors import InputError, NoUsableFile, printable
from jaxbatch.input.input_file import InputFile, digest, read_footer
from jaxbatch.input.int96 import SECONDS, in_exact_units
from jaxbatch.input.listing import Listed, list_files
from jaxbatch.input.types import normalised, undictionaried
from jaxbatch.job.model import Job
from jaxbatch.storage import StorageOptions, is_remote, open_file

_FOOTER_THREADS = 8
_NULL_KEY = "__HIVE_DEFAULT_PARTITION__"
_ARROW_SCHEMA, _SET_ASIDE = b"ARROW:schema", b"set:aside:by"
_EXTENSION, _DISARMED = b"ARROW:extension:name", b"jaxbatch:refuses-it:"


@dataclass(frozen=True)
class BadFile:
    """A file that cannot be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class InputTable:
    """The files in the input's order, the schema of each, and the one that most of them have, Hive keys last."""

    files: tuple[InputFile, ...]
    schemas: tuple[pa.Schema, ...]
    schema: pa.Schema
    skipped: tuple[BadFile, ...]


def open_input(job: Job, listed: Sequence[Listed] | None = None, known: Mapping[str, str] | None = None) -> InputTable:
    """List the job's input, unless it is ``listed`` already, and read every footer.

    Files whose columns or Hive keys do not have the types that are ``known`` from other files are bad ones.

    Raises:
        InputError: there are no files, or none of them can be used.
    """
    listed = list_files(job) if listed is None else listed
    known = known or {}
    with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
        found = list(pool.map(lambda file: _read_footer(file, job.storage, known), listed))
    found = [file if isinstance(file, BadFile) else _misfit(*file, known) or file for file in found]
    bad = [file for file in found if isinstance(file, BadFile)]
    good = [file for file in found if not isinstance(file, BadFile)]
    if not good:
        raise refuse(bad, NoUsableFile)
    files = _with_typed_keys([file for file, _ in good], known)
    schemas = _shared([schema for _, schema in good])
    return InputTable(files, schemas, _with_keys(_usual(schemas), files, known), tuple(bad))


def _shared(schemas: Iterable[pa.Schema]) -> tuple[pa.Schema, ...]:
    """The same schemas, with equal ones the same object: a schema holds more than all else that is kept of a file."""
    kept: dict[bytes, pa.Schema] = {}
    return tuple(kept.setdefault(schema.serialize().to_pybytes(), schema) for schema in schemas)


def _usual(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """The schema that most files have, the first of several: by it the others are judged."""
    texts = {id(schema): str(schema) for schema in schemas}
    counts = Counter(texts[id(schema)] for schema in schemas)
    most = max(counts.values())
    return next(schema for schema in schemas if counts[texts[id(schema)]] == most)


def check_files(opened: InputTable, used: Sequence[str], job: Job) -> InputTable:
    """The input with every file left out whose used columns do not have the types that most files have.

    Raises:
        InputError: there are such files, or unreadable ones, and ``on_bad_file`` is ``"stop"``.
    """
    key_names = {name for name, _ in opened.files[0].keys}
    expected = {name: opened.schema.field(name).type for name in used if name not in key_names}

    def misfit(file: InputFile, schema: pa.Schema) -> BadFile | None:
        for name, wanted in expected.items():
            if name not in schema.names:
                return BadFile(file.path, f"it has no column '{name}'")
            if schema.field(name).type != wanted:
                return BadFile(file.path, f"column '{name}' is {schema.field(name).type}, in other files {wanted}")
        return None

    checked = [misfit(file, schema) for file, schema in zip(opened.files, opened.schemas, strict=True)]
    bad = [*opened.skipped, *(file for file in checked if file is not None)]
    if bad and (job.input.on_bad_file == "stop" or None not in checked):
        raise refuse(bad, InputError if None in checked else NoUsableFile)
    fitting = [number for number, wrong in enumerate(checked) if wrong is None]
    files, schemas = (tuple(every[number] for number in fitting) for every in (opened.files, opened.schemas))
    return InputTable(files, schemas, opened.schema, tuple(bad))


def _misfit(file: InputFile, schema: pa.Schema, known: Mapping[str, str]) -> BadFile | None:
    """What is wrong with a file beside others of which the types are known."""
    keys = dict(file.keys)
    for name, wanted in known.items():
        if name in keys:
            if wanted == "int64" and not _is_integer(keys[name]):
                return BadFile(file.path, f"its key '{name}' is '{keys[name]}', in earlier files an integer")
        elif name not in schema.names:
            return BadFile(file.path, f"it has no column '{name}', which earlier files have")
        elif str(schema.field(name).type) != wanted:
            return BadFile(file.path, f"column '{name}' is {schema.field(name).type}, in earlier files {wanted}")
    return None


_MEND = 'Fix or remove them, or leave them out with on_bad_file = "skip".'


def refuse(bad: Sequence[BadFile], kind: type[InputError] = InputError, remedy: str = _MEND) -> InputError:
    """The error that names every bad file."""
    named = "; ".join(f"{file.path}: {file.reason}" for file in bad)
    many = f"{len(bad)} input files cannot be used" if len(bad) > 1 else "An input file cannot be used"
    return kind(f"{many}: {named}.".replace("\n", " "), remedy)


def _read_footer(
    listed: Listed, storage: StorageOptions, known: Mapping[str, str]
) -> "tuple[InputFile, pa.Schema] | BadFile":
    path, name = listed.path, listed.name
    try:
        with open_file(path, storage, listed.size) as file:
            size, footer = read_footer(file)
        if footer.count(_ARROW_SCHEMA) > 1 or _SET_ASIDE in footer:
            return BadFile(path, "its footer has more than one Arrow schema, which is refused")
        extended = _declared_extension(footer)
        if extended is not None:
            return _of_extension_type(path, extended)
        with pq.ParquetFile(io.BytesIO(footer), coerce_int96_timestamp_unit=SECONDS) as parquet:
            # Not by metadata.schema, which would keep the footer in memory until cycles are collected.
            metadata, schema = parquet.metadata, parquet.schema_arrow
        declared = _declared(metadata)
        schema = in_exact_units(_schema(schema, declared, known), footer, declared, known)
    except (ConnectionError, PermissionError) as error:
        if is_remote(path) or isinstance(error, ConnectionError):
            raise  # of a store that does not answer nothing is known, least of all that the file is bad
        return BadFile(path, f"it cannot be read ({printable(error, 200)})")
    except (pa.ArrowException, OSError, ValueError) as error:
        return BadFile(path, f"it is not readable as Parquet ({printable(error, 200)})")
    duplicates = sorted({n for n in schema.names if schema.names.count(n) > 1})
    if duplicates:
        return BadFile(path, f"it has the column '{duplicates[0]}' twice")
    for field in schema:
        if _is_extension(field):
            return _of_extension_type(path, field.name)
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    try:
        keys = tuple(_keys(name))
    except ValueError:
        return BadFile(path, "its path has a key=value folder whose %XX are not UTF-8")
    names = [key for key, _ in keys]
    clash = [key for key in names if key in schema.names]
    if clash:
        return BadFile(path, f"column '{clash[0]}' is both in the file and in its path")
    if len(set(names)) < len(names):
        return BadFile(path, "its path has the same key twice")
    data_bytes = sum(group.total_byte_size for group in groups)
    rows = tuple(group.num_rows for group in groups)
    if min(rows, default=0) < 0 or sum(rows) != metadata.num_rows:
        return BadFile(path, f"its footer counts {metadata.num_rows} rows, and in its row groups {sum(rows)}")
    return InputFile(path, name, size, digest(footer), data_bytes, rows, keys, storage), schema


def _of_extension_type(path: str, column: str) -> BadFile:
    return BadFile(path, f"column '{column}' has an extension type, which is refused")


def _declared_extension(footer: bytes) -> str | None:
    """The first column of an extension type, by the Arrow schema that a footer may hold.

    Asked before anything reads the footer as it is: a type that is registered in this process, as other libraries do,
    runs its own code on what the file says, to unpickle it for one. Under other keys the same is plain metadata.
    """
    if _ARROW_SCHEMA not in footer:
        return None
    metadata = pq.read_metadata(io.BytesIO(footer.replace(_ARROW_SCHEMA, _SET_ASIDE))).metadata or {}
    stored = base64.b64decode(metadata.get(_SET_ASIDE, b""))
    if _EXTENSION not in stored:
        return None
    schema = pa.ipc.read_schema(pa.py_buffer(stored.replace(_EXTENSION, _DISARMED)))
    return next((field.name for field in schema if _is_extension(field)), None)


def _is_extension(field: pa.Field) -> bool:
    """Whether a column or anything inside it has an extension type, one that is registered here or not."""
    kind = normalised(field.type)
    inner = (kind.field(i) for i in range(kind.num_fields))
    named = {_EXTENSION, _DISARMED} & set(field.metadata or {})
    return bool(named) or isinstance(kind, pa.BaseExtensionType) or any(map(_is_extension, inner))


def _declared(metadata: pq.FileMetaData) -> dict[str, pa.DataType]:
    """The types of columns by the Arrow schema that a file may hold, once it is known to have no extension types."""
    stored = (metadata.metadata or {}).get(_ARROW_SCHEMA)
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(stored))) if stored else ()
    return {field.name: field.type for field in schema}


def _schema(schema: pa.Schema, declared: Mapping[str, pa.DataType], known: Mapping[str, str]) -> pa.Schema:
    """The types of the columns' values: as declared, unless earlier files, whose types are ``known``, were read so."""

    def kind(field: pa.Field) -> pa.DataType:
        plain = normalised(field.type)
        return plain if str(plain) == known.get(field.name) else undictionaried(plain, declared.get(field.name))

    return pa.schema([pa.field(field.name, kind(field), metadata=field.metadata) for field in schema])


def _keys(name: str) -> Iterator[tuple[str, str | None]]:
    for segment in Path(name).parts[:-1]:
        key, equals, value = segment.partition("=")
        if equals and key:
            value = _decoded(value)
            yield _decoded(key), None if value == _NULL_KEY else value


def _decoded(text: str) -> str:
    """What a folder's name stands for, of which bytes are written as %XX.

    Raises:
        ValueError: they are not text; in their place another would stand, the same for all such names.
    """
    return urllib.parse.unquote(text, errors="strict")


def _is_integer(value: "str | int | None") -> bool:
    """Whether a key's value is a whole number of 64 bits, and written as numbers are: 007 and -0 are texts."""
    if value is None:
        return True
    return re.fullmatch(r"0|-?[1-9][0-9]{0,18}", str(value)) is not None and -(2**63) <= int(value) < 2**63


def _with_typed_keys(files: Sequence[InputFile], known: Mapping[str, str]) -> tuple[InputFile, ...]:
    """The files with Hive values as integers where all values of a key are such, or as is known of other files.

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
        name: known[name] == "int64" if name in known else all(map(_is_integer, each))
        for name, each in zip(names, values, strict=True)
    }

    def typed(keys: Iterable[tuple[str, str | int | None]]) -> tuple[tuple[str, str | int | None], ...]:
        return tuple((n, int(v) if integer[n] and v is not None else v) for n, v in keys)

    return tuple(replace(file, keys=typed(file.keys)) for file in files)


def _with_keys(schema: pa.Schema, files: Sequence[InputFile], known: Mapping[str, str]) -> pa.Schema:
    for position, (name, _) in enumerate(files[0].keys):
        values = [file.keys[position][1] for file in files]
        text = any(isinstance(value, str) for value in values) or all(value is None for value in values)
        integer = known[name] == "int64" if name in known else not text
        schema = schema.append(pa.field(name, pa.int64() if integer else pa.string()))
    return schema
