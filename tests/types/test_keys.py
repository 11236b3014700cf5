"""Columns and folders that name groups: every value one of its own, and the same as it was written."""

import json
import urllib.parse
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.types.conftest import APPLY, GROUPED, dictionary
from tests.types.count import COUNT
from tests.types.table import EXACT, FLAT, HIVE, HIVE_REFUSED, NESTED


def numbered(array: "pa.Array | pa.ChunkedArray") -> list[Any]:
    """Values as Python has them, times as whole numbers of their unit."""
    kind = array.type
    if pa.types.is_temporal(kind):
        array = array.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    return array.to_pylist()


@pytest.mark.parametrize("stages", [1, 2])
def test_groups_are_told_apart_by_every_type(bench, stages):
    """Rows differ from the first in one key alone, so that each type must tell its own values apart."""
    rows = [row for row in FLAT if row.key == EXACT]
    place = {row.name: [] for row in rows}
    for one in rows:
        for number in range(1, len(one.values)):
            for row in rows:
                place[row.name].append(number if row is one else 0)
    once = len(place["bool"])
    values = {row.name: row.values.take(pa.array([0, *place[row.name]] * 3)) for row in rows}
    if stages == 2:
        values = {name: dictionary(array, pa.int32()) for name, array in values.items()}
    table = pa.table({"x": np.zeros(3 * (once + 1)), **values})
    bench.tasks(table, "tasks/a.parquet", row_group_size=once // 2)
    bench.file("count.py", COUNT)
    text = GROUPED.replace("BY", json.dumps([row.name for row in rows]))
    overrides = [f"output.rows_per_part={once}"] if stages == 2 else []
    found = bench.output(bench.run(text + '[output]\npath = "results"\n', *overrides))
    plain = [
        array.dictionary_decode() if stages == 2 and pa.types.is_dictionary(array.type) else array
        for array in values.values()
    ]
    wanted = Counter(
        zip(
            *(numbered(array.cast(row.read_as or row.kind)) for row, array in zip(rows, plain, strict=True)),
            strict=True,
        )
    )
    groups = zip(*(numbered(found[row.name]) for row in rows), strict=True)
    assert dict(zip(groups, found["rows"].to_pylist(), strict=True)) == wanted
    assert len(found) == once + 1
    for row in rows:
        assert found[row.name].type in (row.kind, row.read_as, pa.string(), pa.binary()), row.name


@pytest.mark.parametrize("row", [row for row in (*FLAT, *NESTED) if row.key != EXACT], ids=lambda row: row.name)
def test_what_cannot_name_groups(bench, refusal, row):
    path = bench.tasks(pa.table({"x": np.zeros(len(row.values)), "k": row.values}), "tasks/a.parquet")
    bench.file("count.py", COUNT)
    message = row.key.format(type=pq.read_schema(path).field("k").type)
    assert f"Column 'k' {message}" in refusal(GROUPED.replace("BY", '["k"]'))


def test_hive_keys_say_what_their_folders_do(bench):
    """Each is kept, and names groups; whole numbers are arguments too."""
    folders = "/".join(f"k{number}={text}" for number, (text, _) in enumerate(HIVE))
    for place, name in enumerate(("a", "b")):
        bench.tasks({"x": [float(place)]}, f"tasks/{folders}/{name}.parquet")
    bench.file("own.py", "def f(x, k1):\n    return k1\n")
    found = bench.output(bench.run(APPLY))
    for number, (text, value) in enumerate(HIVE):
        column = found[f"k{number}"]
        assert column.to_pylist() == [value, value], text
        assert column.type == (pa.int64() if isinstance(value, int) else pa.string())
    assert found["value"].to_pylist() == [HIVE[1][1]] * 2
    bench.file("count.py", COUNT)
    by = [f"k{number}" for number in range(len(HIVE))]
    text = GROUPED.replace("BY", json.dumps(by)) + '[output]\npath = "groups"\n'
    groups = bench.output(bench.run(text)).to_pylist()
    assert groups == [{**{key: value for key, (_, value) in zip(by, HIVE, strict=True)}, "rows": 2, "status": "ok"}]


def test_hive_keys_are_texts_where_one_is(bench):
    for text in ("7", "007", "-0"):
        bench.tasks({"x": [0.0]}, f"tasks/k={text}/a.parquet")
    bench.file("own.py", "def f(x):\n    return x\n")
    assert bench.output(bench.run(APPLY))["k"].to_pylist() == ["-0", "007", "7"]


@pytest.mark.parametrize("value", HIVE_REFUSED)
@pytest.mark.parametrize("folder", ["k={}", "{}=1"])
def test_hive_keys_that_are_no_text(bench, refusal, value, folder):
    bench.tasks({"x": [0.0]}, f"tasks/{folder.format(value)}/a.parquet")
    bench.file("own.py", "def f(x):\n    return x\n")
    message = refusal(APPLY)
    assert HIVE_REFUSED[value] in message
    assert urllib.parse.quote(value, safe="%") in message
