"""Rows out are rows in, whatever the shape of the input; a bad row is a status and touches no other."""

import itertools
import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import ndtr

from jaxbatch import plan, verify
from jaxbatch.execution.compute.compiled_rows import CompiledRows
from jaxbatch.execution.shard_run import run_shard
from jaxbatch.execution.worker import WorkerProcess
from jaxbatch.planning import planner

BATCH = 64
JOB = f"""
kernel = "derivatives"
[params]
function = "jax.numpy:sin"
[input]
path = "tasks"
[output]
path = "results"
rows_per_part = 100
[compute]
batch_rows = {BATCH}
"""


def layouts() -> dict[str, tuple[list[int], int]]:
    """Rows of each file, and rows per row group."""
    one_file = {f"{rows} rows": ([rows], 1000) for rows in (0, 1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH, 999)}
    return one_file | {
        "many files of different sizes": ([5, 0, 200, 1, 64, 63, 100, 101, 0, 7], 1000),
        "many row groups": ([500], 3),
        "row groups larger than a part": ([1000, 30, 250], 1000),
        "only empty files": ([0, 0], 1000),
    }


@pytest.mark.parametrize("layout", list(layouts()))
def test_rows_out_are_rows_in_and_in_order(layout, bench):
    sizes, group = layouts()[layout]
    position = 0
    for number, rows in enumerate(sizes):
        ids = np.arange(position, position + rows)
        bench.tasks({"id": ids, "x": ids / 7.0}, f"tasks/{number:03d}.parquet", row_group_size=group)
        position += rows
    summary = bench.run(JOB)
    table = bench.output(summary)
    assert summary.exit_code == 0
    assert summary.rows == table.num_rows == position
    assert table["id"].to_pylist() == list(range(position))
    np.testing.assert_allclose(table["value"].to_numpy(), np.sin(np.arange(position) / 7.0), rtol=1e-15, atol=1e-16)
    np.testing.assert_allclose(table["d1"].to_numpy(), np.cos(np.arange(position) / 7.0), rtol=1e-15, atol=1e-16)
    assert table.schema.names == ["id", "x", "value", "d1", "status"]


def test_parts_follow_row_groups_and_files(bench):
    for number, rows in enumerate([60, 30, 20, 250, 10]):
        bench.tasks({"x": np.zeros(rows)}, f"tasks/{number}.parquet")
    summary = bench.run(JOB)
    sizes = [pq.read_metadata(part).num_rows for part in sorted((bench.folder / "results/data").iterdir())]
    assert sizes == [90, 20, 100, 100, 50, 10]
    assert summary.parts == 6


def test_limit_takes_the_first_rows_under_an_identity_of_its_own(bench):
    for number in range(3):
        bench.tasks({"id": np.arange(50) + 50 * number, "x": np.ones(50)}, f"tasks/{number}.parquet")
    first = bench.run(JOB, limit=70)
    assert bench.output(first)["id"].to_pylist() == list(range(70))
    assert bench.run(JOB, restart=True).fingerprint != first.fingerprint


def test_kept_columns_are_carried_through_untouched(bench):
    table = pa.table(
        {
            "x": [1.0, 2.0, 3.0],
            "when": pa.array([0, 1, None], pa.timestamp("us", tz="UTC")),
            "Größe": pa.array(["a", None, "ü"], pa.dictionary(pa.int8(), pa.string())),
            "price": pa.array([1, 2, None], pa.int32()).cast(pa.decimal128(12, 2)),
            "flag": [True, None, False],
            "nested": [[1], [], None],
        }
    )
    bench.tasks(table, "tasks/a.parquet")
    out = bench.output(bench.run(JOB))
    for name in ("when", "price", "flag"):
        assert out[name].equals(table[name]), name
    assert out["Größe"].to_pylist() == ["a", None, "ü"]
    assert "nested" not in out.column_names
    named = bench.output(bench.run(JOB, "input.keep=['nested']", restart=True))
    assert named.schema.names == ["nested", "value", "d1", "status"]
    assert named["nested"].to_pylist() == [[1], [], None]


def test_a_page_that_fails_fails_its_part_and_the_rest_is_finished(bench):
    path = bench.tasks({"x": np.arange(300.0)}, "tasks/a.parquet", row_group_size=100, compression="none",
                       use_dictionary=False, write_page_checksum=True)  # fmt: skip
    chunk = pq.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    data[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 0xFF
    path.write_bytes(data)
    summary = bench.run(JOB)
    assert (summary.exit_code, summary.parts_done, summary.parts_failed) == (1, 2, 1)
    assert bench.output(summary)["x"].to_pylist() == [*map(float, range(100)), *map(float, range(200, 300))]
    assert "part 1" in summary.failures[0]


def test_a_failing_part_of_a_large_row_group_does_not_take_the_others_along(bench):
    bench.file(
        "own.py",
        "from jaxbatch import Column, Kernel\n\n"
        "class Own(Kernel):\n"
        "    inputs = (Column('x'),)\n"
        "    outputs = (Column('y'),)\n\n"
        "    def bucket(self, columns):\n"
        "        if columns['x'][0] == 100:\n"
        "            raise SystemExit('part one does not like it')\n"
        "        return 0\n\n"
        "    def row(self, x):\n"
        "        return {'y': 2 * x}\n",
    )
    bench.tasks({"x": np.arange(500.0)}, "tasks/a.parquet")
    own = 'kernel = "own.py:Own"\n' + JOB[JOB.index("[input]") :]
    summary = bench.run(own)
    assert (summary.exit_code, summary.parts_done, summary.parts_failed) == (1, 4, 1)
    assert bench.output(summary)["y"].to_pylist() == [2.0 * x for x in range(500) if not 100 <= x < 200]


def test_an_input_that_changes_after_the_plan_is_not_computed_under_it(bench):
    bench.tasks({"x": np.arange(10.0)}, "tasks/a.parquet")
    planned = plan(bench.job(JOB))
    bench.tasks({"x": np.arange(10.0) + 1}, "tasks/a.parquet")
    result = run_shard(WorkerProcess(planned), planned.first.shards[0], [0])
    assert not result.receipts
    assert "has changed since the run was planned" in result.failures[0].reason


def test_a_broken_output_is_not_left_sealed_while_it_is_mended(bench):
    path = bench.tasks({"x": np.arange(250.0)}, "tasks/a.parquet")
    bench.run(JOB)
    good = path.read_bytes()
    first = min((bench.folder / "results/data").iterdir())
    data = first.read_bytes()
    first.unlink()
    (bench.folder / "results/_jaxbatch/manifest.json").unlink()
    chunk = pq.read_metadata(path).row_group(0).column(0)
    damaged = bytearray(good)
    damaged[chunk.data_page_offset + 30] ^= 0xFF
    path.write_bytes(damaged)
    assert bench.run(JOB).exit_code == 1
    assert not (bench.folder / "results/_SUCCESS").exists()
    path.write_bytes(good)
    assert bench.run(JOB).exit_code == 0
    assert first.read_bytes() == data
    assert verify(bench.folder / "results") == []


def test_an_overflow_on_the_way_to_the_written_type_is_nonfinite(bench):
    bench.tasks({"y": [[1e25, -3e25, 2e25, 5e25]], "X": [[[1.0], [2.0], [3.0], [4.5]]]}, "tasks/a.parquet")
    text = 'kernel = "regression"\n' + JOB[JOB.index("[input]") :] + 'precision = "float32"\n'
    (row,) = bench.rows(text)
    assert (row["loss"], row["status"]) == (math.inf, "nonfinite")


def test_failed_rows_are_counted_against_the_limit(bench):
    bench.tasks({"x": [1.0, None, math.nan, 2.0]}, "tasks/a.parquet")
    strict = bench.run(JOB)
    assert (strict.exit_code, strict.failed_rows) == (3, 2)
    assert strict.statuses == {"nonfinite": 1, "null_input": 1, "ok": 2}
    assert (bench.folder / "results/_SUCCESS").exists()
    assert bench.run(JOB, "limits.max_failed_rows=2").exit_code == 0
    assert bench.run(JOB, "limits.max_failed_rows='50%'").exit_code == 0
    assert bench.run(JOB, "limits.max_failed_rows='49%'").exit_code == 3


def test_greeks_agree_with_their_closed_forms(bench):
    rng = np.random.default_rng(7)
    rows = 100_000
    spot = rng.uniform(50, 150, rows)
    strike, vol = spot * rng.uniform(0.7, 1.4, rows), rng.uniform(0.1, 0.6, rows)
    maturity, rate = rng.uniform(0.1, 3.0, rows), rng.uniform(0.0, 0.06, rows)
    bench.tasks({"spot": spot, "strike": strike, "vol": vol, "maturity": maturity, "rate": rate})
    source = (Path(__file__).parents[2] / "jobs/functions.py").read_text()
    bench.file("functions.py", source)
    summary = bench.run(
        """
        kernel = "derivatives"
        [params]
        function = "functions.py:black_scholes"
        wrt = ["spot", "vol"]
        partials = ["spot", "spot,spot", "vol", "spot,vol"]
        [input]
        path = "tasks.parquet"
        columns = { rate = "rate" }
        """
    )
    found = {name: column.to_numpy() for name, column in zip(*_columns(bench.output(summary)), strict=True)}
    root = vol * np.sqrt(maturity)
    d1 = (np.log(spot / strike) + (rate + vol**2 / 2) * maturity) / root
    d2 = d1 - root
    density = np.exp(-(d1**2) / 2) / np.sqrt(2 * np.pi)
    expected = {
        "value": spot * ndtr(d1) - strike * np.exp(-rate * maturity) * ndtr(d2),
        "d_spot": ndtr(d1),
        "d_spot_spot": density / (spot * root),
        "d_vol": spot * density * np.sqrt(maturity),
        "d_spot_vol": -density * d2 / vol,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-10, err_msg=name)


def _columns(table: pa.Table) -> tuple[list[str], list[pa.ChunkedArray]]:
    return table.column_names, table.columns


def test_every_kind_of_bad_row_gets_its_status_and_changes_no_bit_of_the_others(bench):
    bench.file(
        "functions.py",
        "import jax.numpy as jnp\n\ndef f(x):\n    return jnp.sum(jnp.sin(x) * x)\n\n"
        "def g(x):\n    return jnp.prod(jnp.exp(-x))\n",
    )
    text = """
        kernel = "derivatives"
        [params]
        functions = { f = "functions.py:f", g = "functions.py:g" }
        order = 2
        [input]
        path = "tasks.parquet"
        columns = { order = "order" }
        [limits]
        max_failed_rows = "100%"
        """
    rng = np.random.default_rng(3)
    good = [{"x": rng.normal(size=3).tolist(), "order": 2 - i % 3, "function": "fg"[i % 2]} for i in range(12)]
    bad = {
        "negative order": ({"order": -1}, "invalid_input"),
        "order beyond the maximum": ({"order": 3}, "invalid_input"),
        "ragged vector": ({"x": [1.0, 2.0]}, "invalid_input"),
        "unknown function": ({"function": "h"}, "invalid_input"),
        "null": ({"x": None}, "null_input"),
        "null inside": ({"x": [1.0, None, 2.0]}, "null_input"),
        "null order": ({"order": None}, "null_input"),
        "NaN": ({"x": [math.nan, 1.0, 2.0]}, "nonfinite"),
    }
    mixed = []
    for row, change in zip(good, [*bad.values(), *[({}, "ok")] * 4], strict=True):
        mixed += [row, {**row, **change[0]}]
    schema = pa.schema({"x": pa.list_(pa.float64()), "order": pa.int64(), "function": pa.string()})
    found = {}
    for name, rows in {"good": good, "mixed": mixed}.items():
        bench.tasks(pa.Table.from_pylist(rows, schema=schema))
        found[name] = bench.rows(text, "compute.batch_rows=16", "input.keep=[]")
    assert [repr(row) for row in found["mixed"][::2]] == [repr(row) for row in found["good"]]
    assert [row["status"] for row in found["mixed"][1::2]] == [*(status for _, status in bad.values()), *["ok"] * 4]
    assert all(row["value"] is None for row in found["mixed"][1::2] if row["status"].endswith("_input"))


def test_a_plan_says_what_it_is(bench):
    bench.tasks({"x": [1.0, 2.0]})
    job = bench.job('kernel = "derivatives"\n[params]\nfunction = "jax.numpy:sin"\n')
    planned = plan(job)
    said = f"Plan(derivatives: 2 rows of 1 files to 1 parts of {bench.folder}/results, {planned.fingerprint[:8]})"
    assert repr(planned) == said


def test_the_chunks_of_a_single_part_are_computed_by_all_workers(bench, monkeypatch):
    together, rows = threading.Barrier(2), CompiledRows.rows

    def meet(*arguments: Any) -> Any:
        together.wait(60)
        return rows(*arguments)

    monkeypatch.setattr(CompiledRows, "rows", meet)
    x = np.arange(4 * 131_072.0)
    bench.tasks({"x": x}, row_group_size=len(x))
    summary = bench.run('kernel = "derivatives"\n[params]\nfunction = "jax.numpy:sin"\norder = 0\n')
    assert (summary.exit_code, summary.parts) == (0, 1)
    np.testing.assert_allclose(pq.read_table(bench.folder / "results/data")["value"], np.sin(x), rtol=1e-12, atol=1e-12)


MANY_CHUNKS = {
    "rungs": 'kernel = "taylor"\n[params]\nfunction = "jax.numpy:exp"\n',
    "one group": 'kernel = "regression"\n[params]\ntarget = "point"\nfeatures = ["center"]\nmethod = "cholesky"\n',
}


@pytest.mark.parametrize("job", MANY_CHUNKS)
def test_how_many_compute_the_chunks_of_a_part_changes_no_byte(job, bench, monkeypatch):
    monkeypatch.setattr(planner, "CHUNK_ROWS", BATCH)
    rng = np.random.default_rng(1)
    center = rng.uniform(-1, 1, 30 * BATCH + 5)
    order = rng.choice([0, 1, 5], len(center))
    bench.tasks({"center": center, "point": center + rng.normal(size=len(center)), "order": order})
    found = []
    for workers in (1, 4, 4):
        text = f"{MANY_CHUNKS[job]}[compute]\nbatch_rows = {BATCH}\n"
        assert bench.run(text, restart=True, workers=workers).parts == 1
        (part,) = (bench.folder / "results/data").iterdir()
        found.append(part.read_bytes())
    assert found[0] == found[1] == found[2]


def test_a_chunk_that_cannot_be_computed_fails_its_part_whoever_has_it(bench, monkeypatch):
    calls, rows = itertools.count(), CompiledRows.rows

    def fail(*arguments: Any) -> Any:
        if next(calls) == 3:
            raise SystemExit("the fourth chunk")
        return rows(*arguments)

    x = np.arange(8 * 131_072.0)
    bench.tasks({"x": x}, row_group_size=len(x))
    job = 'kernel = "derivatives"\n[params]\nfunction = "jax.numpy:sin"\n[cluster]\nattempts = 1\n'
    monkeypatch.setattr(CompiledRows, "rows", fail)
    summary = bench.run(job, "output.rows_per_part=2000000")
    assert (summary.exit_code, summary.parts_failed) == (1, 1)
    assert "the fourth chunk" in summary.failures[0]
    monkeypatch.undo()
    assert bench.run(job, "output.rows_per_part=2000000").rows == len(x)
