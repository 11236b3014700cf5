"""Tables joined by key: as pandas joins them, whatever engine and part."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch import api, plan, report
from jaxbatch.errors import JobError
from jaxbatch.input.lookup import key_index
from tests.daily import refusal
from tests.market import JOB, OWN, digests, expected, spots


@pytest.mark.parametrize("few", [0, 1 << 17])
@pytest.mark.parametrize("seed", range(4))
def test_as_pandas_joins(bench, seed, few, monkeypatch):
    monkeypatch.setattr(key_index, "_FEW", few)
    rng = np.random.default_rng(seed)
    days = pd.date_range("2026-01-01", periods=9)
    texts = np.array([f"name {number}" for number in range(12)], object)
    rows = pd.DataFrame({"id": range(700), "x": rng.normal(size=700)})
    rows["day"], rows["ticker"] = days[rng.integers(0, 9, 700)], texts[rng.integers(0, 12, 700)]
    rows.loc[rng.random(700) < 0.1, "ticker"] = None
    pairs = [(day, text) for day in days for text in texts if rng.random() < 0.7]
    table = pd.DataFrame(pairs, columns=["date", "symbol"])
    table["spot"], table["desk"] = rng.normal(size=len(table)), [f"desk {number % 5}" for number in range(len(table))]
    table["curve"] = [list(rng.normal(size=rng.integers(0, 4))) for _ in range(len(table))]
    stored = pa.Table.from_pandas(table).set_column(1, "symbol", pa.array(table["symbol"]).dictionary_encode())
    bench.tasks(pa.Table.from_pandas(rows), row_group_size=130)
    bench.tasks(stored.take(pa.array(rng.permutation(len(table)))), "market.parquet", row_group_size=20)
    bench.file("own.py", OWN.replace("spot", "m_spot"))
    summary = bench.run(
        'kernel = "apply"\nparams.function = "own.py:f"\n[input]\npath = "tasks.parquet"\n'
        'keep = ["id", "m_desk", "m_spot", "m_curve"]\n[input.lookup.market]\npath = "market.parquet"\nprefix = "m_"\n'
        'on = { day = "date", ticker = "symbol" }\n[limits]\nmax_failed_rows = "100%"\n',
        "output.rows_per_part=200",
    )
    wanted = rows.merge(table, how="left", left_on=["day", "ticker"], right_on=["date", "symbol"])
    found = bench.output(summary)
    assert found["id"].to_pylist() == wanted["id"].tolist()
    for column in ("desk", "spot", "curve"):
        assert found[f"m_{column}"].equals(pa.chunked_array([pa.array(wanted[column], found[f"m_{column}"].type)]))
    values = np.array([np.nan if value is None else value for value in found["value"].to_pylist()])
    np.testing.assert_array_equal(values, (wanted["x"] * wanted["spot"]).to_numpy(float))
    assert found["status"].to_pylist() == ["null_input" if each else "ok" for each in wanted["spot"].isna()]


def test_same_bytes_on_every_engine_and_with_any_parts(market, jaxbatch_json):
    market.file("job.toml", JOB)
    written = {}
    for name, options in {
        "local": ("local",),
        "one": ("ray", "--workers", "1"),
        "two": ("ray", "--workers", "2"),
    }.items():
        out = f"output.path='results/{name}'"
        summary = jaxbatch_json("run", "job.toml", "--engine", *options, "--set", out)
        assert summary["exit_code"] == 0, summary
        written[name] = digests(Path(summary["output"]))
        assert spots(Path(summary["output"])) == expected(market.folder)
    assert written["local"] == written["one"] == written["two"]
    whole = market.run(JOB, "output.path='results/whole'", "output.rows_per_part=1000", "compute.batch_rows=7")
    assert spots(Path(whole.output)) == expected(market.folder)


def test_the_first_rows(market):
    summary = market.run(JOB, limit=70)
    assert spots(Path(summary.output)) == dict(list(expected(market.folder).items())[:70])


def test_rows_are_chosen_first_and_joined_then(market):
    summary = market.run(JOB, "input.where=\"id >= 30 and ticker in ('T1', 'T2', 'T16')\"", limit=150)
    table = pa.concat_tables([pq.read_table(file) for file in sorted((market.folder / "tasks").iterdir())])
    chosen = {row["id"] for row in table.to_pylist() if row["ticker"] in ("T1", "T2", "T16") and 30 <= row["id"] < 150}
    assert spots(Path(summary.output)) == {row: spot for row, spot in expected(market.folder).items() if row in chosen}
    assert len(chosen) > 10


def test_a_plan_does_not_carry_the_table(market):
    numbers = np.random.default_rng(0).normal(size=100_000)
    table = pa.table({"ticker": [f"T{number}" for number in range(100_000)], "spot": numbers})
    pq.write_table(table, market.folder / "market.parquet")
    assert len(pickle.dumps(plan(market.job(JOB)).for_workers())) < 30_000


def test_reports_of_joined_columns_kept_and_not(market, jaxbatch):
    for keep in ('["id"]', '["id", "spot"]'):
        summary = market.run(JOB, f"input.keep={keep}", restart=True)
        page = market.folder / "page.html"
        report.write(Path(summary.output), page)
        assert "null_input" in page.read_text(encoding="utf-8")
        told = jaxbatch("run", "job.toml", "--set", f"input.keep={keep}").stderr
        assert ("an input that is not kept is null" in told, "spot is null" in told) == (
            "spot" not in keep,
            "spot" in keep,
        )


def test_a_plan_says_where_arguments_come_from(market):
    described = api.preview(market.job(JOB))
    assert described["arguments"] == {"x": "column x", "spot": "lookup market, column spot"}


def test_constants_and_mapping(market):
    bench = market
    job = JOB.replace('keep = ["id", "ticker", "spot"]', 'keep = ["id"]\ncolumns = { x = "spot", spot = "x" }')
    table = bench.output(bench.run(job))
    assert table["value"].to_pylist() == [
        None if spot is None else spot * row / 8 for row, spot in expected(bench.folder).items()
    ]
    constant = bench.output(
        bench.run(JOB.replace("keep =", "constants = { spot = 3.0 }\nkeep ="), "output.path='other'")
    )
    assert constant["value"].to_pylist() == [3 * row / 8 for row in range(200)]
    assert constant["spot"].to_pylist() == list(expected(bench.folder).values())


def test_a_default_and_a_joined_column_must_be_decided(market):
    market.file("own.py", "def f(x, spot=2.0):\n    return x * spot\n")
    assert 'defaults = ["spot"] keeps the default' in refusal(JobError, market.run, JOB)
    kept = market.output(market.run(JOB, 'input.defaults=["spot"]'))
    assert kept["value"].to_pylist() == [row / 4 for row in range(200)]


class TestOfGroups:
    JOB = """
kernel = "regression"
[params]
group_by = ["desk"]
features = ["beta", "x"]
target = "y"
weights = "weight"
[input]
path = "tasks.parquet"
[input.lookup.market]
path = "market.parquet"
on = ["ticker"]
"""

    def write(self, bench: Any) -> tuple[pa.Table, pa.Table]:
        rng = np.random.default_rng(3)
        rows = {"ticker": rng.integers(0, 50, 4000), "x": rng.normal(size=4000), "y": rng.normal(size=4000)}
        table = {"ticker": range(50), "beta": rng.normal(size=50), "weight": rng.uniform(0.5, 2.0, 50)}
        desks = pa.array([f"desk {number % 3}" for number in range(50)])
        bench.tasks(rows, row_group_size=500)
        bench.tasks({**table, "desk": desks}, "market.parquet")
        return pa.table(rows), pa.table({**table, "desk": desks})

    @pytest.mark.parametrize("rows_per_part", [10_000, 1_000])
    def test_features_weights_and_groups_are_joined(self, bench, rows_per_part):
        rows, table = self.write(bench)
        joined = rows.to_pandas().merge(table.to_pandas(), on="ticker")
        found = bench.output(bench.run(self.JOB, f"output.rows_per_part={rows_per_part}")).to_pylist()
        assert sorted(row["desk"] for row in found) == ["desk 0", "desk 1", "desk 2"]
        for row in found:
            group = joined[joined["desk"] == row["desk"]]
            root = np.sqrt(group["weight"].to_numpy())
            X = np.column_stack([np.ones(len(group)), group["beta"], group["x"]])
            wanted = np.linalg.lstsq(X * root[:, None], group["y"].to_numpy() * root, rcond=None)[0]
            np.testing.assert_allclose(row["coefficients"], wanted, rtol=1e-10)
            assert row["n"] == len(group)

    def test_parts_do_not_change_the_groups(self, bench):
        self.write(bench)
        key = {row["desk"]: row["coefficients"] for row in bench.output(bench.run(self.JOB)).to_pylist()}
        again = bench.output(bench.run(self.JOB, "output.rows_per_part=700", "output.path='again'")).to_pylist()
        for row in again:
            np.testing.assert_allclose(row["coefficients"], key[row["desk"]], rtol=1e-12)


def test_questions_about_the_data_are_asked_of_all_rows_of_the_table(bench):
    bench.tasks({"k": [1, 1, 2], "center": [1.0, 2.0, 3.0], "point": [1.5, 2.5, 3.5]})
    bench.tasks({"k": [1, 2, 3], "order": [2, 3, 9]}, "orders.parquet")
    table = bench.output(
        bench.run(
            'kernel = "taylor"\nparams.function = "jax.numpy:sqrt"\n[input]\npath = "tasks.parquet"\n'
            '[input.lookup.orders]\npath = "orders.parquet"\non = ["k"]\n'
        )
    )
    assert [len(each) for each in table["coefficients"].to_pylist()] == [3, 3, 4]
    assert json.loads((bench.folder / "results/_jaxbatch/plan.json").read_text())["arguments"]["order"] == (
        "lookup orders, column order"
    )


def test_coefficients_of_a_fit_are_joined(bench):
    """A finished output of a regression by group is the table: read from its data folder."""
    rng = np.random.default_rng(0)
    rows = {"g": rng.integers(0, 4, 300), "a": rng.normal(size=300)}
    bench.tasks({**rows, "y": 2.0 + rows["g"] * rows["a"]}, "fit.parquet")
    fit = 'kernel = "regression"\nparams = { group_by = ["g"], features = ["a"], target = "y" }\n'
    bench.run(fit + '[input]\npath = "fit.parquet"\n[output]\npath = "fits"\n')
    bench.tasks({"g": [0, 3, 9, None], "a": [1.0, 2.0, 3.0, 4.0]})
    bench.file("own.py", "def f(a, coefficients):\n    return coefficients[0] + coefficients[1] * a\n")
    predict = (
        'kernel = "apply"\nparams.function = "own.py:f"\n[input]\npath = "tasks.parquet"\n'
        '[input.lookup.fit]\npath = "PATH"\non = ["g"]\ncolumns = ["coefficients"]\n'
        "[limits]\nmax_failed_rows = 2\n"
    )
    for path in ("fits", "fits/data"):
        values = bench.rows(predict.replace("PATH", path))
        np.testing.assert_allclose([row["value"] for row in values[:2]], [2.0, 8.0], rtol=1e-12)
        assert [row["status"] for row in values[2:]] == ["null_input"] * 2
    assert bench.rows(predict.replace("PATH", "fits/data/*.parquet"))[0]["value"] == pytest.approx(2.0, rel=1e-12)
    (bench.folder / "fits/_SUCCESS").unlink()
    for path in ("fits", "fits/data", "fits/data/*.parquet"):
        assert "is an output whose run is not finished" in refusal(JobError, bench.run, predict.replace("PATH", path))


def test_folders_with_keys_and_timestamps_of_96_bits(bench):
    when = pa.array([0, 86_400_000_000, 2], pa.timestamp("us"))
    for region in ("EU", "US"):
        table = pa.table({"when": when, "spot": [1.0, 2.0, 3.0 if region == "EU" else 4.0]})
        bench.tasks(table, f"market/region={region}/a.parquet", use_deprecated_int96_timestamps=True)
    instants = pa.array([2_000, 0, 86_400_000_000_000, 2_001], pa.timestamp("ns"))
    for region in ("US", "AS"):
        bench.tasks({"at": instants, "x": [1.0] * 4}, f"tasks/region={region}/b.parquet")
    bench.file("own.py", OWN)
    rows = bench.rows(
        'kernel = "apply"\nparams.function = "own.py:f"\n[input]\npath = "tasks"\n[input.lookup.market]\n'
        'path = "market"\non = { region = "region", at = "when" }\n[limits]\nmax_failed_rows = 9\n'
    )
    assert [(row["region"], row["value"]) for row in rows] == [
        *(("AS", None) for _ in range(4)),
        ("US", 4.0),
        ("US", 1.0),
        ("US", 2.0),
        ("US", None),
    ]


def test_long_values_are_joined_a_few_rows_at_a_time(bench):
    bench.tasks({"k": [0, 1] * 3000})
    bench.tasks({"k": [0, 1], "curve": [[1.0] * 50_000, [2.0]], "weight": [3.0, 4.0]}, "curves.parquet")
    bench.file("own.py", "def f(weight):\n    return weight\n")
    job = (
        'kernel = "apply"\nparams.function = "own.py:f"\n[input]\npath = "tasks.parquet"\nkeep = ["k", "curve"]\n'
        '[input.lookup.curves]\npath = "curves.parquet"\non = ["k"]\n[compute]\nbatch_rows = 16\n'
    )
    assert 16 <= plan(bench.job(job)).chunk_rows <= 32 * 2**20 // 400_000


def test_random_numbers_do_not_see_the_table(market):
    market.file(
        "own.py", "import jax\n\ndef f(x, spot, key):\n    return {'y': x * spot, 'u': jax.random.uniform(key)}\n"
    )
    seeded = ("compute.seed=5", "input.sample=0.5")
    joined = market.output(market.run(JOB, *seeded)).to_pylist()
    constant = JOB.replace("keep =", "constants = { spot = 1.0 }\nkeep =").replace(', "spot"]', "]")
    alone = {
        row["id"]: row["u"] for row in market.output(market.run(constant, *seeded, "output.path='alone'")).to_pylist()
    }
    assert 60 < len(joined) < 140
    assert [row["id"] for row in joined] == list(alone)
    assert all(row["u"] == alone[row["id"]] for row in joined if row["spot"] is not None)
    assert {row["id"]: row["spot"] for row in joined}.items() <= expected(market.folder).items()
    assert "no column 'spot'" in refusal(JobError, market.run, JOB, *seeded, 'input.key_by=["spot"]')


@pytest.mark.parametrize("of_rows", [True, False])
def test_a_key_of_nothing_but_nulls_matches_nothing(bench, of_rows):
    keys, nulls = pa.array([1, 2]), pa.nulls(2)
    bench.tasks({"k": nulls if of_rows else keys, "x": [1.0, 2.0]})
    bench.tasks({"k": keys if of_rows else nulls, "v": [3.0, 4.0]}, "table.parquet")
    bench.file("own.py", "def f(x, v):\n    return x * v\n")
    rows = bench.rows(
        'kernel = "apply"\nparams.function = "own.py:f"\n[input]\npath = "tasks.parquet"\n'
        '[input.lookup.t]\npath = "table.parquet"\non = ["k"]\n[limits]\nmax_failed_rows = 2\n'
    )
    assert [row["status"] for row in rows] == ["null_input"] * 2
