"""Runs that compute some of the rows: the same in every engine, grouped, limited, resumed, in outputs that grow."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from jaxbatch import Job, api, report, verify
from jaxbatch.errors import InputError, JobError, OutputError
from jaxbatch.input.arrow_arrays import taken
from jaxbatch.input.row_steps import RowSteps
from jaxbatch.input.where import parse
from jaxbatch.report.run_records import RunRecords
from jaxbatch.storage import StorageOptions
from tests.daily import DAILY, refusal

SQUARES = """
kernel = "derivatives"
[params]
function = "jax.numpy:square"
[input]
path = "tasks.parquet"
columns = { x = "x" }
where = "x >= 30 and id != 41"
[output]
path = "results"
rows_per_part = 20
"""
PASSING = [each for each in range(30, 100) if each != 41]


@pytest.fixture
def hundred(bench):
    """Rows 0 to 99 in row groups of ten."""
    bench.tasks({"id": np.arange(100), "x": np.arange(100.0), "site": np.arange(100) % 3}, row_group_size=10)
    return bench


def ids(folder: Path) -> list[int]:
    return ds.dataset(sorted(map(str, folder.glob("part-*")))).to_table().column("id").to_pylist()


def test_rows_that_pass_are_computed_in_their_order(hundred):
    summary = hundred.run(SQUARES)
    found = hundred.output(summary)
    assert found.column("id").to_pylist() == PASSING
    assert found.column("value").to_pylist() == [float(each**2) for each in PASSING]
    assert (summary.rows, summary.rows_read, summary.parts) == (69, 70, 4)
    assert verify(Path(summary.output)) == []


def test_row_groups_that_cannot_hold_a_row_are_left_out_and_counted(hundred):
    described = api.preview(hundred.job(SQUARES))
    assert (described["row_groups"], described["row_groups_read"], described["rows"]) == (10, 7, 70)
    assert described["rows_are_chosen"]
    assert described["identity"]["input"]["where"] == "((x >= 30) and (id != 41))"


def test_parts_may_be_empty_and_so_may_be_the_output(hundred):
    summary = hundred.run(SQUARES.replace("x >= 30 and id != 41", "site == 1 and x * 2 > 1e3"))
    assert (summary.rows, summary.parts, summary.exit_code) == (0, 5, 0)
    none = hundred.run(SQUARES, "input.where='x < 0'", restart=True)
    assert (none.rows, none.parts, none.rows_read) == (0, 1, 0)
    assert hundred.output(none).schema.names == ["id", "x", "site", "value", "d1", "status"]


def test_layout_of_the_condition_is_no_change_and_another_condition_is(hundred):
    hundred.run(SQUARES)
    again = hundred.run(SQUARES.replace("x >= 30 and", "(x>=30)  and"))
    assert again.parts_done == 0
    with pytest.raises(OutputError, match=r"input.where was .*30.*, is .*31"):
        hundred.run(SQUARES.replace("30", "31"))


def test_limit_counts_rows_before_where(hundred):
    summary = hundred.run(SQUARES, limit=45)
    assert ids(hundred.folder / "results/data") == [each for each in PASSING if each < 45]
    assert summary.rows_read == 15


def test_more_failed_rows_than_allowed_are_counted_among_those_written(hundred):
    hundred.tasks({"id": np.arange(4), "x": pa.array([1.0, None, None, 4.0])})
    assert hundred.run(SQUARES.replace("x >= 30 and id != 41", "id != 1")).exit_code == 3
    kept = hundred.run(SQUARES.replace("x >= 30 and id != 41", "x is not None"), restart=True)
    assert (kept.exit_code, kept.failed_rows) == (0, 0)


def test_a_column_that_only_where_names_need_not_be_kept_or_read_by_the_kernel(hundred):
    rows = hundred.rows(SQUARES.replace('path = "tasks.parquet"', 'path = "tasks.parquet"\nkeep = ["x"]'))
    assert [row["x"] for row in rows] == PASSING
    assert set(rows[0]) == {"x", "value", "d1", "status"}


LONG = """
kernel = "regression"
[params]
group_by = ["site"]
features = ["x"]
target = "y"
[input]
path = "tasks.parquet"
where = "WHERE"
[output]
path = "results"
rows_per_part = 1000000
"""


@pytest.mark.parametrize("rows_per_part", [1_000_000, 20])
def test_observations_are_chosen_before_they_are_grouped(bench, rows_per_part):
    rng = np.random.default_rng(5)
    x, site = rng.uniform(-1, 1, 300), rng.integers(0, 4, 300)
    y = 2 * x + site + rng.normal(size=300)
    bench.tasks({"site": site, "x": x, "y": y}, row_group_size=20)
    text = LONG.replace("WHERE", "site != 2 and -0.8 < x").replace("1000000", str(rows_per_part))
    summary = bench.run(text)
    found = {row["site"]: row for row in bench.output(summary).to_pylist()}
    assert sorted(found) == [0, 1, 3]  # a group without rows does not appear
    assert summary.rows == 3
    for group, row in found.items():
        mine = (site == group) & (x > -0.8)
        assert row["n"] == mine.sum()
        slope, start = np.polyfit(x[mine], y[mine], 1)
        assert row["coefficients"] == pytest.approx([start, slope], rel=1e-9)


def test_files_that_their_keys_rule_out_are_no_input_at_all(bench):
    for day in ("2026-11-27", "2026-11-28"):
        bench.tasks({"id": [int(day[-2:])], "x": [1.0]}, f"tasks/day={day}/a.parquet")
    (bench.folder / "tasks/day=2026-11-27/a.parquet").write_bytes(b"no Parquet")
    text = SQUARES.replace("tasks.parquet", "tasks").replace("x >= 30 and id != 41", "day > '2026-11-27' and x > 0")
    first = bench.run(text)
    assert bench.output(first).column("id").to_pylist() == [28]
    bench.tasks({"id": [26], "x": [1.0]}, "tasks/day=2026-11-26/a.parquet")
    assert bench.run(text).parts_done == 0  # it is no change of the input
    with pytest.raises(InputError, match="rule out all 3 files"):
        bench.run(text, "input.where=\"day == '2026-11-29'\"")


@pytest.mark.parametrize("crash", ["part.published@2", "part.encoded@3"])
def test_a_run_that_was_killed_is_resumed_to_the_same_bytes(hundred, crash, jaxbatch):
    hundred.job(SQUARES)
    whole = hundred.run(SQUARES)
    wanted = {path.name: path.read_bytes() for path in Path(whole.output, "data").iterdir()}
    there = ("--set", "output.path='again'")
    environment = {**os.environ, "JAXBATCH_CRASH_AT": crash}
    killed = jaxbatch("run", "job.toml", "--workers", "1", *there, env=environment)
    assert killed.returncode == -signal.SIGKILL
    finished = jaxbatch("run", "job.toml", *there, "--json")
    assert json.loads(finished.stdout)["parts_skipped"] in (1, 2)
    assert {path.name: path.read_bytes() for path in (hundred.folder / "again/data").iterdir()} == wanted


def test_ray_writes_the_same_bytes(hundred, jaxbatch_json):
    hundred.job(SQUARES)
    whole = hundred.run(SQUARES)
    wanted = {path.name: path.read_bytes() for path in Path(whole.output, "data").iterdir()}
    jaxbatch_json("run", "job.toml", "--engine", "ray", "--workers", "2", "--set", "output.path='ray'")
    assert {path.name: path.read_bytes() for path in (hundred.folder / "ray/data").iterdir()} == wanted


def test_an_output_that_grows_keeps_its_condition(daily):
    chosen = DAILY.replace('path = "tasks"', 'path = "tasks"\nwhere = "x > 5"')
    daily.text(chosen)
    daily.arrives("1")
    assert daily.run().rows == 29
    daily.arrives("2")
    assert daily.run().rows == 50
    daily.text(chosen.replace("x > 5", "x > 6"))
    assert "where" in refusal(OutputError, daily.run)
    daily.arrives("3")
    assert "where" in refusal(OutputError, daily.run)
    daily.text(chosen)
    assert daily.run().rows == 50


def test_a_report_of_chosen_rows_is_no_report_of_groups(hundred):
    summary = hundred.run(SQUARES)
    report.write(summary.output, hundred.folder / "page.html")
    assert not RunRecords.read(summary.output, StorageOptions()).grouped


def test_a_variable_fills_a_text_and_cannot_end_it(hundred):
    text = SQUARES.replace('where = "x >= 30 and id != 41"', 'where = "site == {site} and x < 10"')
    job = hundred.folder / "job.toml"
    job.write_text(text)
    found = api.run(Job.load(job, {"site": "1"}), engine="local")
    assert ids(Path(found.output) / "data") == [1, 4, 7]
    for value in ("1 or '' == ''", '1 or "" == ""', "1\\", "1\n"):
        with pytest.raises(JobError, match="has a quote, a backslash"):
            Job.load(job, {"site": value})
    job.write_text(text.replace("site == {site}", "label == 'a {site}'"))
    assert Job.load(job, {"site": "b/../*c"}).input.where == "label == 'a b/../*c' and x < 10"


@pytest.mark.parametrize(
    "kind",
    [
        pa.string_view(),
        pa.binary_view(),
        pa.list_(pa.string_view()),
        pa.struct({"a": pa.string_view()}),
        pa.large_string(),
    ],
    ids=str,
)
def test_kept_columns_of_any_type_may_lose_rows(kind):
    value = {"a": "b"} if pa.types.is_struct(kind) else ["b"] if pa.types.is_list(kind) else "b"
    table = pa.table({"x": [1, 2, 3, 4], "kept": pa.array([value, None, value, value], kind)})
    chosen = RowSteps(where=parse("x != 3")).open().chosen(table)
    assert chosen.to_pylist() == [row for row in table.to_pylist() if row["x"] != 3]
    assert chosen.schema == table.schema
    joined = taken(table.column("kept").chunk(0), pa.array([3, None, 0], pa.int32()))
    assert joined.to_pylist() == [table.column("kept")[3].as_py(), None, table.column("kept")[0].as_py()]


@pytest.mark.parametrize(
    ("condition", "days"),
    [
        ("year == '2020'", [0]),
        ("year != 'unknown'", [0, 1]),
        ("year > '2020' or year is None", [1, 3, 2]),
    ],
)
def test_a_key_is_of_the_type_of_all_files_whichever_are_left(bench, condition, days):
    for number, year in enumerate(("2020", "2021", "unknown", "__HIVE_DEFAULT_PARTITION__")):
        bench.tasks({"id": [number], "x": [1.0]}, f"tasks/year={year}/a.parquet")
    text = SQUARES.replace("tasks.parquet", "tasks").replace("x >= 30 and id != 41", condition)
    assert bench.output(bench.run(text)).column("id").to_pylist() == days


def test_a_null_key_beside_integers_is_an_integer(bench):
    for number, key in enumerate(("1", "2", "__HIVE_DEFAULT_PARTITION__")):
        bench.tasks({"id": [number], "x": [1.0]}, f"tasks/k={key}/a.parquet")
    text = SQUARES.replace("tasks.parquet", "tasks").replace("x >= 30 and id != 41", "k is None or k > 5")
    found = bench.output(bench.run(text))
    assert found.column("id").to_pylist() == [2]
    assert found.schema.field("k").type == pa.int64()


def test_a_report_of_no_group_at_all(bench):
    bench.tasks({"site": [1, 2], "x": [1.0, 2.0], "y": [1.0, 2.0]})
    summary = bench.run(LONG.replace("WHERE", "x / 0 < 0"))
    assert summary.rows == 0
    report.write(summary.output, bench.folder / "page.html")


def test_a_report_says_which_rows_were_chosen(hundred):
    summary = hundred.run(SQUARES)
    report.write(summary.output, hundred.folder / "page.html")
    page = (hundred.folder / "page.html").read_text()
    assert "x &gt;= 30 and id != 41" in page
    assert "Every row of those that the job chooses has one row here" in page


def test_a_lookups_column_is_not_seen_by_where(hundred):
    hundred.tasks({"site": [0, 1, 2], "spot": [1.0, 2.0, 3.0]}, "market.parquet")
    lookup = '[input.lookup.market]\npath = "market.parquet"\non = ["site"]\n[output]'
    text = SQUARES.replace("[output]", lookup).replace("x >= 30 and id != 41", "spot > 1")
    with pytest.raises(JobError, match="'spot' is a lookup's column, which where does not see"):
        hundred.run(text)
