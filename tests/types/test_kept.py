"""Columns that are kept come back as they were written, to the bit, or are refused by name."""

import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch.errors import ExitCode
from jaxbatch.output import failed_rows
from tests.types.by_hand import Leaf, parquet
from tests.types.conftest import APPLY, INDICES, KEPT, dictionary, padded, same
from tests.types.table import EXTENSION, FLAT, NESTED, PARQUET, REFUSED, UNSTORABLE

STORED: dict[str, tuple[Callable[[int, pa.Array], pa.Array], dict[str, Any]]] = {
    "plain": (lambda _, array: array, {}),
    "dictionary": (lambda place, array: dictionary(array, INDICES[place % len(INDICES)]), {}),
    "row groups": (lambda place, array: dictionary(array, INDICES[place % len(INDICES)]), {"row_group_size": 2}),
    "old pages": (lambda _, array: array, {"use_dictionary": False, "data_page_version": "2.0", "compression": "zstd"}),
}


@pytest.mark.parametrize("stored", STORED)
def test_flat_columns_are_kept(bench, stored):
    encoded, options = STORED[stored]
    length = max(len(row.values) for row in FLAT)
    columns = {row.name: encoded(place, padded(row.values, length)) for place, row in enumerate(FLAT)}
    bench.file("own.py", "def f(argument):\n    return argument\n")
    bench.tasks(pa.table({"argument": np.zeros(length), **columns}), "tasks/a.parquet", **options)
    found = bench.output(bench.run(APPLY))
    for row in FLAT:
        column = found[row.name].combine_chunks()
        assert column.type == (row.read_as or row.kind) or column.type in (pa.string(), pa.binary()), row.name
        assert same(column.cast(row.kind), padded(row.values, length)), row.name


def test_rows_that_failed_are_shown_whatever_they_keep(bench):
    """Python has no values of nanoseconds, nor beyond the year 9999, nor texts that are no UTF-8."""
    odd = pa.array([b"\xff"]).view(pa.string())
    every = [row for row in FLAT if len(row.values) > 1]
    columns = {row.name: pa.concat_arrays([row.values[:2], row.values[:1]]) for row in every}
    columns["odd"] = pa.concat_arrays([odd] * 3)
    bench.file("own.py", "def f(argument):\n    return argument\n")
    bench.tasks(pa.table({"argument": [None, math.nan, 1.0], **columns}), "tasks/a.parquet")
    summary = bench.run(APPLY)
    shown = [str(example) for example in failed_rows.find_examples(summary.output)]
    assert len(shown) == 2
    assert all(f"row {row} of" in text for row, text in zip((1, 0), shown, strict=True))


@pytest.mark.parametrize("rows", [1, 1000])
def test_nested_columns_are_kept_by_name(bench, rows):
    length = max(len(row.values) for row in NESTED)
    columns = {row.name: padded(row.values, length) for row in NESTED}
    bench.file("own.py", "def f(argument):\n    return argument\n")
    bench.tasks(pa.table({"argument": np.zeros(length), **columns}), "tasks/a.parquet", row_group_size=rows)
    assert set(bench.output(bench.run(APPLY)).column_names) == {"argument", "value", "status"}
    found = bench.output(bench.run(KEPT.replace("KEEP", json.dumps(list(columns))), restart=True))
    for row in NESTED:
        assert found[row.name].combine_chunks().cast(row.kind).equals(columns[row.name]), row.name


def test_without_arrows_schema_a_column_is_what_parquet_says(bench):
    """The oracle is pyarrow's reader: a zone is UTC, a duration a whole number, a list of one length a list."""
    every = [*FLAT, *NESTED]
    length = max(len(row.values) for row in every)
    columns = {row.name: padded(row.values, length) for row in every}
    bench.file("own.py", "def f(argument):\n    return argument\n")
    path = bench.tasks(pa.table({"argument": np.zeros(length), **columns}), "tasks/a.parquet", store_schema=False)
    wanted = pq.ParquetFile(path).read()
    found = bench.output(bench.run(KEPT.replace("KEEP", json.dumps(list(columns)))))
    for row in every:
        column, expected = (table[row.name].combine_chunks() for table in (found, wanted))
        assert column.type == expected.type, row.name
        assert same(column, expected), row.name


@pytest.mark.parametrize("name", REFUSED)
def test_extension_types_condemn_their_file(bench, refusal, name):
    bench.tasks(pa.table({"argument": np.zeros(2), "k": padded(REFUSED[name], 2)}), "tasks/a.parquet")
    bench.file("own.py", "def f(argument):\n    return argument\n")
    message = refusal(KEPT.replace("KEEP", "[]"))
    assert f"tasks/a.parquet: column 'k' {EXTENSION}" in message


@pytest.mark.parametrize("name", UNSTORABLE)
def test_what_parquet_does_not_hold(bench, name):
    with pytest.raises(pa.ArrowNotImplementedError):
        bench.tasks(pa.table({"k": UNSTORABLE[name]}))


@pytest.mark.parametrize(("leaf", "kept"), [each[:2] for each in PARQUET], ids=[each[0].name for each in PARQUET])
def test_columns_as_other_writers_store_them(bench, refusal, leaf, kept):
    bench.file("own.py", "def f(argument):\n    return argument\n")
    path = bench.folder / "tasks/a.parquet"
    path.parent.mkdir()
    path.write_bytes(parquet([Leaf("argument", "DOUBLE", [struct.pack("<d", 0.0)] * 3), leaf]))
    if kept == EXTENSION:
        assert f"tasks/a.parquet: column '{leaf.name}' {EXTENSION}" in refusal(APPLY)
        return
    summary = bench.run(APPLY)
    if isinstance(kept, str):
        errors = (Path(summary.output) / "_jaxbatch/errors.jsonl").read_text()
        assert f"tasks/a.parquet, row group 0, column '{leaf.name}' {kept}" in errors
        assert summary.exit_code == ExitCode.PARTS_FAILED
        return
    column = bench.output(summary)[leaf.name].combine_chunks()
    assert column.type == kept.type
    assert same(column, kept)
