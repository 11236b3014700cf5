"""What the input's files hold, and whether they fit together. Reads footers, never data pages."""

import base64
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from jaxbatch.errors import InputError, NoUsableFile, printable
from jaxbatch.input.hive_keys import is_integer, keys_of, with_key_columns, with_typed_keys
from jaxbatch.input.input_file import InputFile, digest, read_footer
from jaxbatch.input.int96 import SECONDS, in_exact_units
from jaxbatch.input.listing import Listed, list_files
from jaxbatch.input.types import normalised, without_dictionary
from jaxbatch.job.model import Job
from jaxbatch.storage import StorageOptions, is_remote, open_file

_FOOTER_THREADS = 8
_ARROW_SCHEMA, _SET_ASIDE = b"ARROW:schema", b"set:aside:by"
_EXTENSION, _DISARMED = b"ARROW:extension:name", b"jaxbatch:refuses-it:"


@dataclass(frozen=True)
class BadFile:
    """A file that cannot be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class InputTable:
    """The input's files in its order, with what their footers say."""

    files: tuple[InputFile, ...]
    schemas: tuple[pa.Schema, ...]
    """The schema of each file, without the Hive keys of its path."""
    schema: pa.Schema
    """The schema that most files have, then the Hive keys."""
    skipped: tuple[BadFile, ...]


def open_input(job: Job, listed: Sequence[Listed] | None = None, known: Mapping[str, str] | None = None) -> InputTable:
    """List the job's input and read every footer.

    Args:
        job: the job.
        listed: the files, where they have been listed already.
        known: the types of columns and Hive keys by earlier files of the output; files that differ are bad.

    Raises:
        InputError: there are no files, or none of them can be used.
        OSError: an object store cannot be asked.
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
    types = {**listed[0].key_types, **known}
    files = with_typed_keys([file for file, _ in good], types)
    schemas = _shared([schema for _, schema in good])
    return InputTable(files, schemas, with_key_columns(_usual(schemas), files, types), tuple(bad))


def _shared(schemas: Iterable[pa.Schema]) -> tuple[pa.Schema, ...]:
    """The schemas, with equal ones as one object: a schema takes more memory than all else that is kept of a file."""
    kept: dict[bytes, pa.Schema] = {}
    return tuple(kept.setdefault(schema.serialize().to_pybytes(), schema) for schema in schemas)


def _usual(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """The schema that most files have, by which the others are judged; of equally frequent ones the first."""
    texts = {id(schema): str(schema) for schema in schemas}
    counts = Counter(texts[id(schema)] for schema in schemas)
    most = max(counts.values())
    return next(schema for schema in schemas if counts[texts[id(schema)]] == most)


def check_files(opened: InputTable, used: Sequence[str], job: Job) -> InputTable:
    """The input without the files that lack a used column, or have it in another type than most files.

    Raises:
        InputError: ``on_bad_file`` is ``"stop"`` and there are such files or unreadable ones; or no file is left.
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
    """What is wrong with a file beside earlier ones, whose types are known; None if nothing is."""
    keys = dict(file.keys)
    for name, wanted in known.items():
        if name in keys:
            if wanted == "int64" and not is_integer(keys[name]):
                return BadFile(file.path, f"its key '{name}' is '{keys[name]}', in earlier files an integer")
        elif name not in schema.names:
            return BadFile(file.path, f"it has no column '{name}', which earlier files have")
        elif str(schema.field(name).type) != wanted:
            return BadFile(file.path, f"column '{name}' is {schema.field(name).type}, in earlier files {wanted}")
    return None


_LEAVE_OUT = 'Fix or remove them, or leave them out with on_bad_file = "skip".'


def refuse(bad: Sequence[BadFile], kind: type[InputError] = InputError, remedy: str = _LEAVE_OUT) -> InputError:
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
        declared = _declared_schema(footer)
        extended = _extension_column(declared)
        if extended is not None:
            return _of_extension_type(path, extended)
        with pq.ParquetFile(io.BytesIO(footer), coerce_int96_timestamp_unit=SECONDS) as parquet:
            # Not by metadata.schema, which would keep the footer in memory until cycles are collected.
            metadata, schema = parquet.metadata, parquet.schema_arrow
        types = {field.name: field.type for field in declared}
        schema = in_exact_units(_schema(schema, types, known), footer, types, known)
    except (ConnectionError, PermissionError) as error:
        if is_remote(path) or isinstance(error, ConnectionError):
            raise  # a store that does not answer says nothing about the file
        return BadFile(path, f"it cannot be read ({printable(error, 200)})")
    except (pa.ArrowException, OSError, ValueError) as error:
        return BadFile(path, f"it is not readable as Parquet ({printable(error, 200)})")
    duplicates = sorted({n for n in schema.names if schema.names.count(n) > 1})
    if duplicates:
        return BadFile(path, f"it has the column '{duplicates[0]}' twice")
    extended = _extension_column(schema)
    if extended is not None:
        return _of_extension_type(path, extended)
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    try:
        keys = tuple(keys_of(name))
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


def _declared_schema(footer: bytes) -> pa.Schema:
    """The Arrow schema that a footer may hold beside Parquet's own, its extension types disarmed; empty without one.

    This comes before anything reads the footer as it is. An extension type that another library has registered in
    this process runs its own code on what the file says, and may unpickle it. Under other keys it is plain metadata.
    """
    if _ARROW_SCHEMA not in footer:
        return pa.schema([])
    metadata = pq.read_metadata(io.BytesIO(footer.replace(_ARROW_SCHEMA, _SET_ASIDE))).metadata or {}
    stored = base64.b64decode(metadata.get(_SET_ASIDE, b""))
    return pa.ipc.read_schema(pa.py_buffer(stored.replace(_EXTENSION, _DISARMED))) if stored else pa.schema([])


def _extension_column(schema: pa.Schema) -> str | None:
    """The first column of an extension type, or None."""
    return next((field.name for field in schema if _is_extension(field)), None)


def _is_extension(field: pa.Field) -> bool:
    """Whether a field or one nested in it has an extension type, registered in this process or not."""
    kind = normalised(field.type)
    inner = (kind.field(i) for i in range(kind.num_fields))
    named = {_EXTENSION, _DISARMED} & set(field.metadata or {})
    return bool(named) or isinstance(kind, pa.BaseExtensionType) or any(map(_is_extension, inner))


def _schema(schema: pa.Schema, declared: Mapping[str, pa.DataType], known: Mapping[str, str]) -> pa.Schema:
    """A file's schema with the types of its columns' values.

    A type is the one ``declared`` by the file's Arrow schema; or Parquet's own, where earlier files were read so, as
    their ``known`` types show.
    """

    def kind(field: pa.Field) -> pa.DataType:
        plain = normalised(field.type)
        return plain if str(plain) == known.get(field.name) else without_dictionary(plain, declared.get(field.name))

    return pa.schema([pa.field(field.name, kind(field), metadata=field.metadata) for field in schema])
