"""Groups that footers prove to be whole in their parts; and footers that lie, as public reports have them."""

import datetime
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch.planning import planner
from jaxbatch.planning.stage_plans import GroupPlan

JOB = """
kernel = "regression"
[params]
group_by = ["g"]
features = ["x"]
target = "y"
[input]
path = "tasks/*.parquet"
[output]
path = "results"
rows_per_part = 30
"""


def written(bench: Any, keys: list[list[Any]], kind: pa.DataType) -> dict[Any, tuple[int, np.ndarray]]:
    """Write a file of 30 rows for every list of keys, and give each key's rows and coefficients by numpy."""
    rng = np.random.default_rng(3)
    rows: dict[Any, list[tuple[float, float]]] = {}
    for number, own in enumerate(keys):
        of_row = [own[place % len(own)] for place in range(30)]
        x, noise = rng.normal(size=(2, 30))
        y = 1.0 + 2.0 * x + noise
        bench.tasks({"g": pa.array(of_row, kind), "x": x, "y": y}, f"tasks/{number}.parquet")
        for key, *row in zip(of_row, x, y, strict=True):
            rows.setdefault(key, []).append((row[0], row[1]))
    fits = {}
    for key, found in rows.items():
        x, y = np.array(found).T
        fits[key] = len(x), np.linalg.lstsq(np.stack([np.ones_like(x), x], 1), y)[0]
    return fits


def change_footer(bench: Any, name: str, *changes: tuple[bytes, bytes]) -> None:
    """Replace bytes of a file's footer by as many others."""
    path = bench.folder / "tasks" / name
    data = path.read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    footer = data[start:]
    for found, other in changes:
        assert found in footer
        footer = footer.replace(found, other)
    path.write_bytes(data[:start] + footer)
    assert pq.read_metadata(path).num_rows == 30


def check(rows: list[dict[str, Any]], expected: dict[Any, tuple[int, np.ndarray]]) -> None:
    assert sorted(row["g"] for row in rows) == sorted(expected), "a row for every group, and no second one"
    for row in rows:
        n, coefficients = expected[row["g"]]
        assert row["n"] == n
        np.testing.assert_allclose(row["coefficients"], coefficients, rtol=1e-10)


def day(number: int) -> datetime.date:
    return datetime.date(1969, 12, 30) + datetime.timedelta(number)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        (pa.string(), [["a", ""], ["é", "b"]]),
        (pa.large_string(), [["a", "aa"], ["b"]]),
        (pa.binary(), [[b"\x00", b"\x7f"], [b"\x80", b"\xff"]]),
        (pa.dictionary(pa.int8(), pa.string()), [["b", "a"], ["d", "c"]]),
        (pa.int8(), [[-128, -1], [0, 127]]),
        (pa.uint8(), [[0, 127], [128, 255]]),
        (pa.uint32(), [[0, 2**31 - 1], [2**31, 2**32 - 1]]),
        (pa.uint64(), [[0, 2**63 - 1], [2**63, 2**64 - 1]]),
        (pa.date32(), [[day(0), day(1)], [day(2), day(3)]]),
        (pa.date64(), [[day(0), day(1)], [day(2), day(3)]]),
        (pa.time32("s"), [[datetime.time(1)], [datetime.time(2)]]),
        (pa.timestamp("s", "Europe/Berlin"), [[-2, -1], [0, 1]]),
        (pa.timestamp("ns"), [[-2, -1], [0, 1]]),
        (pa.duration("us"), [[-2, -1], [0, 1]]),
    ],
    ids=str,
)
def test_values_within_their_range_need_one_stage(bench, kind, keys):
    expected = written(bench, keys, kind)
    (stage,) = planner.plan(bench.job(JOB)).stages
    assert isinstance(stage, GroupPlan)
    assert stage.disjoint_key == "g"
    summary = bench.run(JOB)
    assert (summary.exit_code, summary.failures) == (0, ())
    assert sorted(bench.output(summary)["n"].to_pylist()) == sorted(n for n, _ in expected.values())


def test_unsigned_statistics_in_signed_order_prove_nothing(bench):
    """pola-rs/polars issue 15323: the least was 2⁶³ and the largest 3."""
    expected = written(bench, [[3, 2**63], [1, 3, 5]], pa.uint64())
    three, large, between = struct.pack("<Q", 3), struct.pack("<Q", 2**63), struct.pack("<Q", 2**64 - 2)
    change_footer(bench, "0.parquet", (three, between), (large, three), (between, large))
    check(bench.rows(JOB), expected)


@pytest.mark.parametrize(
    ("kind", "keys", "lie"),
    [
        (pa.string(), [["aa", "mm", "zz"], ["mm", "nn"]], (b"zz", b"bb")),
        (pa.int64(), [[1, 77, 99], [77, 88]], (struct.pack("<q", 99), struct.pack("<q", 2))),
    ],
    ids=["arrow-15042", "numbers"],
)
def test_a_value_that_the_footer_denies_is_refused(bench, kind, keys, lie):
    """apache/arrow issue 15042: the statistics were those of the first of several dictionaries."""
    written(bench, keys, kind)
    change_footer(bench, "0.parquet", lie)
    assert planner.plan(bench.job(JOB)).first.name == "groups"
    summary = bench.run(JOB)
    assert summary.exit_code == 1
    (failure,) = summary.failures
    assert "0.parquet, row group 0: column 'g' holds " in str(failure)
    assert "the file's statistics say" in str(failure)


def test_a_null_that_the_footer_does_not_count_is_refused(bench):
    written(bench, [["a", None], ["b"]], pa.string())
    metadata = pq.read_metadata(bench.folder / "tasks" / "0.parquet")
    assert metadata.row_group(0).column(0).statistics.null_count == 15
    # Field 3 of the statistics, an i64: the count 15 as a zigzag varint, made 0.
    change_footer(bench, "0.parquet", (b"\x36\x1e", b"\x36\x00"))
    assert planner.plan(bench.job(JOB)).first.name == "groups"
    summary = bench.run(JOB)
    assert (summary.exit_code, len(summary.failures)) == (1, 1)
    assert "holds nulls" in str(summary.failures[0])
