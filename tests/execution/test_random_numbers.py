"""A row's random numbers, and whether it is sampled, follow from the seed and its identity alone."""

import json
import os
import shutil
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import Job, api, report, verify
from jaxbatch.errors import InputError, OutputError
from jaxbatch.input.row_identity.draws import sampled
from jaxbatch.input.row_identity.identity import RowIdentity
from jaxbatch.input.row_identity.row_numbers import NUMBER
from tests.input.row_identity import by_jax

OWN = """
import jax
import jax.numpy as jnp

def digital(x, key):
    # Of exact arithmetic, so that no bit depends on the width of a batch.
    below = jax.random.uniform(key, (256,)) < 0.3 + x * 2.0**-30
    return {"price": jnp.sum(jnp.where(below, 1.0, 0.0)) / 256, "bits": jax.random.bits(key, dtype="uint32")}

def draw(x, key):
    return {"bits": jax.random.bits(key, dtype="uint32"), "normal": jnp.mean(jax.random.normal(key, (3,))) + 0 * x}

def plain(x):
    return 2 * x
"""

JOB = """
kernel = "apply"
[params]
function = "own.py:draw"
[compute]
seed = 7
[input]
path = "tasks/*.parquet"
columns = { x = "x" }
"""

ROWS = 1000


def plain(text: str) -> str:
    """A job whose function draws nothing."""
    return text.replace("own.py:draw", "own.py:plain").replace("[compute]\nseed = 7\n", "")


@pytest.fixture
def drawn(bench):
    """Two files of a thousand rows, of which the function draws bits."""
    bench.file("own.py", OWN)
    for number, name in enumerate("ab"):
        numbers = np.arange(ROWS) + number * ROWS
        bench.tasks({"id": numbers, "x": numbers / 7}, f"tasks/{name}.parquet", row_group_size=90)
    return bench


def bits(bench: Any, text: str = JOB, *overrides: str, **options: Any) -> dict[int, int]:
    rows = bench.rows(text, *overrides, **options)
    found = {row["id"]: row["bits"] for row in rows}
    assert len(found) == len(rows)
    return found


def by_hand(number: int, seed: int = 7) -> int:
    key = by_jax.of_place(seed, by_jax.KEYS, "ab"[number // ROWS] + ".parquet", number % ROWS)
    return int(jax.random.bits(key, dtype="uint32"))


def test_bits_are_those_of_jax(drawn):
    found = bits(drawn)
    assert len(found) == 2 * ROWS
    for number in (0, 1, 89, 90, ROWS - 1, ROWS, 2 * ROWS - 1):
        assert found[number] == by_hand(number)
    assert len(set(found.values())) == 2 * ROWS
    assert bits(drawn, JOB.replace("seed = 7", f"seed = {2**63 - 1}"))[5] == by_hand(5, 2**63 - 1)


@pytest.mark.parametrize(
    "overrides",
    [
        ("compute.batch_rows=64",),
        ("output.rows_per_part=37",),
        ("output.rows_per_part=100",),
        ("input.path='tasks/b.parquet'",),
        ("input.path='tasks'",),
        ("input.where='id > 1100 and x < 200'",),
        ("input.sample=0.05",),
        ("input.where='id > 300'", "input.sample=0.3"),
        ("input.where='id in (1, 950, 1700)'",),
        ("compute.precision='float32'",),
        ("output.rows_per_part=37", "input.where='id > 500'", "input.sample=0.5"),
    ],
)
def test_the_same_whatever_is_computed_beside(drawn, overrides):
    everything, found = bits(drawn), bits(drawn, JOB, *overrides)
    assert 0 < len(found) <= 2 * ROWS
    assert found.items() <= everything.items()


def test_one_row_alone_among_a_million(bench):
    bench.file("own.py", OWN)
    numbers = np.arange(1_000_000)
    bench.tasks({"id": numbers, "x": numbers * 0.5}, "tasks/a.parquet", row_group_size=300_000)
    priced = JOB.replace("own.py:draw", "own.py:digital")
    many = bench.run(priced, "output.rows_per_part=400000")
    row = bench.output(many).slice(777_777, 1).to_pylist()[0]
    assert row["bits"] == int(jax.random.bits(by_jax.of_place(7, 0, "a.parquet", 777_777), dtype="uint32"))
    assert len(set(bench.output(many).slice(777_000, 1000)["price"].to_pylist())) > 20
    alone = bench.rows(priced, "input.where='id == 777777'", "compute.batch_rows=4")
    assert alone == [row]
    by_id = bench.rows(JOB, "input.where='id == 777777'", 'input.key_by=["id"]')[0]["bits"]
    shutil.rmtree(bench.folder / "tasks")
    bench.tasks({"id": [777_777], "x": [0.0]}, "tasks/other.parquet")
    assert bench.rows(JOB, 'input.key_by=["id"]')[0]["bits"] == by_id


def test_by_columns_wherever_the_row_lies(drawn):
    found = bits(drawn, JOB, 'input.key_by=["id"]')
    assert found[5] == int(jax.random.bits(by_jax.of_values(7, by_jax.KEYS, 5), dtype="uint32"))
    assert found.items() != bits(drawn).items()
    table = pa.concat_tables(pq.read_table(drawn.folder / f"tasks/{name}.parquet") for name in "ab")
    shuffled = table.take(np.random.default_rng(0).permutation(2 * ROWS))
    shutil.rmtree(drawn.folder / "tasks")
    drawn.tasks(shuffled.set_column(0, "id", shuffled["id"].cast(pa.uint16())), "tasks/c.parquet")
    assert bits(drawn, JOB, 'input.key_by=["id"]', "output.rows_per_part=99") == found
    not_kept = drawn.rows(JOB, 'input.key_by=["id"]', 'input.keep=["x"]')
    assert sorted(row["bits"] for row in not_kept) == sorted(found.values())


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
@pytest.mark.parametrize("when", [pa.timestamp("ms"), pa.timestamp("ns", "UTC")])
def test_storage_of_what_names_a_row(drawn, kind, when):
    names = pa.array(["a", "b", "a"]).cast(kind) if pa.types.is_dictionary(kind) else pa.array(["a", "b", "a"], kind)
    days = pa.array([datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2, 3)], when)
    drawn.tasks({"id": names, "day": days, "x": [0.0] * 3}, "named/a.parquet")
    rows = drawn.rows(JOB, "input.path='named'", 'input.key_by=["id", "day"]')
    for row in rows:
        key = by_jax.of_values(7, by_jax.KEYS, row["id"], row["day"])
        assert row["bits"] == int(jax.random.bits(key, dtype="uint32"))


def test_hive_keys_name_rows(drawn):
    for day in ("2026-01-01", "2026-01-02"):
        drawn.tasks({"id": [1, 2], "x": [0.0, 0.0]}, f"days/day={day}/a.parquet")
    rows = drawn.rows(JOB, "input.path='days'", 'input.key_by=["day", "id"]')
    for row in rows:
        key = by_jax.of_values(7, by_jax.KEYS, row["day"], row["id"])
        assert row["bits"] == int(jax.random.bits(key, dtype="uint32"))


def test_a_null_that_names_a_row(drawn):
    drawn.tasks({"id": [1, None, 3], "x": [0.0, 0.0, 0.0]}, "tasks/a.parquet")
    (drawn.folder / "tasks/b.parquet").unlink()
    summary = drawn.run(JOB, 'input.key_by=["id"]', "limits.max_failed_rows=1")
    assert [row["status"] for row in drawn.output(summary).to_pylist()] == ["ok", "null_input", "ok"]
    rows = drawn.rows(JOB, 'input.key_by=["id"]', "input.sample=1.0")
    assert [row["id"] for row in rows] == [1, 3]


def test_the_column_that_is_null_is_to_blame(drawn, jaxbatch):
    drawn.tasks({"id": [1, None, 3], "x": [0.0, 0.0, 0.0]}, "tasks/a.parquet")
    drawn.job(JOB + 'key_by = ["id"]\n')
    ended = jaxbatch("run", "job.toml", "--engine", "local")
    assert ended.returncode == 3
    assert "id is null" in ended.stderr


def test_the_sample_is_the_documented_one(drawn):
    found = drawn.rows(JOB, "input.sample=0.03")
    wanted = [
        place for place in range(200) if by_jax.is_sampled(by_jax.of_place(7, by_jax.SAMPLE, "a.parquet", place), 0.03)
    ]
    assert [row["id"] for row in found if row["id"] < 200] == wanted
    assert len(wanted) > 2


def test_limit_counts_rows_before_the_sample(drawn):
    everything = [row["id"] for row in drawn.rows(JOB, "input.sample=0.2")]
    summary = drawn.run(JOB, "input.sample=0.2", restart=True, limit=1300)
    assert drawn.output(summary)["id"].to_pylist() == [number for number in everything if number < 1300]
    assert summary.rows_read == 1300
    assert verify(summary.output) == []


def test_a_sample_of_nothing_is_an_output_of_no_rows(drawn):
    summary = drawn.run(JOB, "input.sample=1e-9")
    assert summary.exit_code == 0
    assert summary.rows == 0
    assert drawn.output(summary).column_names == ["id", "x", "bits", "normal", "status"]


def test_both_engines(drawn, jaxbatch_json):
    drawn.job(JOB, "job.toml")
    written = {}
    for engine in ("local", "ray"):
        options = ("--engine", engine, "--workers", "2", "--set", f"output.path='{engine}'")
        cut = ("--set", "output.rows_per_part=300", "--set", "input.sample=0.4")
        summary = jaxbatch_json("run", "job.toml", *options, *cut)
        assert summary["exit_code"] == 0, summary
        parts = sorted(Path(summary["output"], "data").iterdir())
        written[engine] = [part.read_bytes() for part in parts]
    assert written["local"] == written["ray"]
    assert len(written["ray"]) > 4


@pytest.mark.parametrize("sample", ["", "sample = 0.5\n"])
def test_killed_and_resumed(drawn, jaxbatch, sample):
    everything = bits(drawn)
    text = JOB + sample
    shutil.rmtree(drawn.folder / "results")
    drawn.job(text + '[output]\npath = "results"\nrows_per_part = 200\n')
    command = ("run", "job.toml", "--engine", "local", "--workers", "1")
    killed = jaxbatch(*command, env={**os.environ, "JAXBATCH_CRASH_AT": "part.published@3"})
    assert killed.returncode == -signal.SIGKILL
    before = len(list((drawn.folder / "results/data").glob("part-*")))
    assert jaxbatch(*command).returncode == 0
    found = pq.read_table(drawn.folder / "results/data").to_pylist()
    assert {row["id"]: row["bits"] for row in found}.items() <= everything.items()
    assert 3 <= before < len(list((drawn.folder / "results/data").iterdir()))
    assert jaxbatch("verify", "results").returncode == 0
    assert len(found) == 2 * ROWS or sample


GROWING = JOB + '[output]\npath = "results"\nmode = "append"\n'


def test_files_that_are_added_change_nothing(drawn):
    everything = bits(drawn)
    shutil.rmtree(drawn.folder / "results")
    shutil.move(drawn.folder / "tasks/b.parquet", drawn.folder / "b.parquet")
    drawn.tasks({"id": [-1], "x": [0.0]}, "tasks/0.parquet")
    drawn.run(GROWING)
    shutil.move(drawn.folder / "b.parquet", drawn.folder / "tasks/b.parquet")
    summary = drawn.run(GROWING)
    assert summary.rows == ROWS
    found = {row["id"]: row["bits"] for row in drawn.output(summary).to_pylist()}
    assert found.keys() - everything.keys() == {-1}
    assert everything.items() <= found.items()
    assert drawn.run(GROWING).rows == ROWS  # of the latest run, which has nothing to do
    assert verify(summary.output) == []
    report.write(summary.output, drawn.folder / "page.html")
    assert f"{ROWS:,}" in (drawn.folder / "page.html").read_text()


def test_days_whose_folders_are_a_variable(bench):
    bench.file("own.py", OWN)
    for day in ("1", "2"):
        bench.tasks({"id": [1], "x": [0.0]}, f"tasks/{day}/a.parquet")
        text = GROWING.replace("tasks/*.parquet", f"tasks/{day}/*.parquet")
        if day == "1":
            bench.run(text)
    with pytest.raises(InputError, match=r"tasks/1/a\.parquet, which an earlier run has computed, and .*2/a\.parquet"):
        bench.run(text)
    shutil.rmtree(bench.folder / "results")
    for day in ("1", "2"):
        bench.file("job.toml", GROWING.replace("tasks/*.parquet", "tasks/{day}/*.parquet"))
        summary = api.run(Job.load(bench.folder / "job.toml", {"day": day}), engine="local")
    drawn = bench.output(summary)["bits"].to_pylist()
    keys = [by_jax.of_place(7, by_jax.KEYS, f"{day}/a.parquet", 0) for day in ("1", "2")]
    assert sorted(drawn) == sorted(int(jax.random.bits(key, dtype="uint32")) for key in keys)


def test_yesterdays_run_is_finished_with_its_numbers(bench, jaxbatch):
    bench.file("own.py", OWN)
    bench.file("job.toml", GROWING.replace("tasks/*.parquet", "tasks/{day}/*.parquet") + "rows_per_part = 2\n")
    for day in ("1", "2"):
        bench.tasks({"id": np.arange(8), "x": np.zeros(8)}, f"tasks/{day}/a.parquet", row_group_size=2)
    command = ("run", "job.toml", "--engine", "local", "--workers", "1", "--var")
    killed = jaxbatch(*command, "day=1", env={**os.environ, "JAXBATCH_CRASH_AT": "part.published@2"})
    assert killed.returncode == -signal.SIGKILL
    assert jaxbatch(*command, "day=2").returncode == 0
    rows = pq.read_table(bench.folder / "results/data").to_pylist()
    keys = [by_jax.of_place(7, by_jax.KEYS, f"{day}/a.parquet", place) for day in ("1", "2") for place in range(8)]
    assert sorted(row["bits"] for row in rows) == sorted(int(jax.random.bits(key, dtype="uint32")) for key in keys)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("compute.seed=8", "seed"),
        ("input.sample=0.25", "sample"),
        ('input.key_by=["id"]', "key_by"),
        ("input.where='id > 5'", "where"),
    ],
)
@pytest.mark.parametrize("new", [True, False], ids=["new file", "nothing to do"])
def test_what_may_not_change_between_runs(drawn, change, word, new):
    drawn.run(GROWING, "input.sample=0.5")
    if new:
        drawn.tasks({"id": [5], "x": [1.0]}, "tasks/c.parquet")
    with pytest.raises(OutputError, match=word) as refused:
        drawn.run(GROWING, "input.sample=0.5", change)
    assert refused.value.exit_code == 5


def test_another_seed_or_sample_is_another_identity(drawn):
    drawn.run(JOB)
    for change in ("compute.seed=8", "input.sample=0.5", 'input.key_by=["id"]'):
        with pytest.raises(OutputError):
            drawn.run(JOB, change)


def test_files_of_one_name(drawn):
    for folder in ("in/one", "in/two"):
        shutil.copytree(drawn.folder / "tasks", drawn.folder / folder)
    both = "input.path=['in/one', 'in/two']"
    with pytest.raises(InputError, match=r"are both called 'a\.parquet'"):
        drawn.run(JOB, both)
    with pytest.raises(InputError, match=r"are both called 'a\.parquet'"):
        drawn.run(plain(JOB), both, "input.sample=0.5")
    assert len(drawn.rows(JOB, both, 'input.key_by=["id"]')) == 4 * ROWS
    found = drawn.rows(JOB, "input.path='in/*/*.parquet'")
    key = by_jax.of_place(7, by_jax.KEYS, "one/a.parquet", 0)
    assert found[0]["bits"] == int(jax.random.bits(key, dtype="uint32"))


def test_files_of_one_name_where_nothing_is_drawn(drawn):
    shutil.copytree(drawn.folder / "tasks", drawn.folder / "more")
    assert len(drawn.rows(plain(JOB), "input.path=['tasks', 'more']")) == 4 * ROWS


REGRESSION = """
kernel = "regression"
[params]
group_by = ["g"]
features = ["u"]
target = "v"
[input]
path = "obs/*.parquet"
"""


@pytest.mark.parametrize("rows_per_part", [10_000, 300])
def test_a_sample_of_observations(bench, rows_per_part):
    rng = np.random.default_rng(0)
    columns = {"n": np.arange(3000), "g": np.arange(3000) % 5, "u": rng.normal(size=3000), "v": rng.normal(size=3000)}
    bench.tasks(columns, "obs/a.parquet", row_group_size=250)
    kept = sampled(pa.table({NUMBER: np.arange(3000)}), RowIdentity(names=("a.parquet",)), 0, 0.1)
    found = bench.rows(REGRESSION, "input.sample=0.1", f"output.rows_per_part={rows_per_part}")
    assert len(found) == 5
    for row in found:
        rows = kept & (columns["g"] == row["g"])
        assert row["n"] == np.count_nonzero(rows)
        slope, offset = np.polyfit(columns["u"][rows], columns["v"][rows], 1)
        np.testing.assert_allclose(row["coefficients"], [offset, slope], rtol=1e-9)
    assert bench.rows(REGRESSION, "input.sample=1e-9", f"output.rows_per_part={rows_per_part}") == []


def test_plan_says_what_names_a_row(drawn, jaxbatch, jaxbatch_json):
    drawn.job(JOB + "sample = 0.5\n")
    told = jaxbatch("plan", "job.toml").stdout
    assert "random, of seed 7 and the row's file and place" in told
    assert "each row with probability 0.5, by seed 7 and file and place" in told
    by_id = jaxbatch_json("plan", "job.toml", "--set", 'input.key_by=["id"]')
    assert by_id["arguments"]["key"] == "random, of seed 7 and id"
    assert json.dumps(by_id["identity"]["input"]["key_by"]) == '["id"]'
