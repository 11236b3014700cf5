"""The long layout: groups of rows spread over files, against numpy and NIST's certified values, under both engines."""

import datetime
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxbatch.errors import InputError, JobError
from tests.kernels import regression_cases as nested
from tests.kernels.long_cases import FEATURES, INPUT, digests, groups_of, job, observations, spread


@pytest.mark.parametrize("by", [["site"], ["site", "day"], ["day"], []], ids=str)
@pytest.mark.parametrize("rows_per_part", [1_000_000, 60])
def test_groups_spread_over_files(bench, by, rows_per_part):
    table = observations()
    spread(bench, table)
    summary = bench.run(job(group_by=by) + INPUT, f"output.rows_per_part={rows_per_part}")
    assert (summary.exit_code, summary.failures) == (0, ())
    expected = groups_of(table, by)
    rows = bench.output(summary).to_pylist()
    assert len(rows) == summary.rows == len(expected)
    assert list(rows[0]) == [*by, *nested.RESULTS, "status"]
    for row in rows:
        nested.check(row, *expected[tuple(row[name] for name in by)])
    for file in (Path(summary.output) / "data").iterdir():
        keys = [[(row[name] is None, row[name]) for name in by] for row in pq.read_table(file).to_pylist()]
        assert keys == sorted(
            keys,
            key=lambda key: [
                (missing, value or datetime.date.min) if missing else (missing, value) for missing, value in key
            ],
        )
    assert not list((Path(summary.output) / "_jaxbatch" / "partials").glob("*"))


SHAPES = {  # datasets of one design's shape are the groups of one job
    "powers": ["Wampler1", "Wampler2", "Wampler3", "Wampler4", "Wampler5"],
    "line": ["Norris"],
    "parabola": ["Pontius"],
    "origin": ["NoInt1", "NoInt2"],
    "six columns": ["Longley"],
    "ten powers": ["Filip"],
}


ON_RAY = pytest.param("powers", "ray", marks=pytest.mark.slow)


@pytest.mark.parametrize(("shape", "engine"), [*((shape, "local") for shape in SHAPES), ON_RAY])
def test_nist(bench, shape, engine, jaxbatch_json):
    tables = []
    for name in SHAPES[shape]:
        X, y, _ = nested.nist(name)
        columns = {f"x{i}": column for i, column in enumerate(X.T)}
        tables.append(pa.table({"name": [name] * len(y), **columns, "y": y}))
    table = pa.concat_tables(tables)
    table = table.take(np.random.default_rng(1).permutation(table.num_rows))
    spread(bench, table, files=2, row_group_size=7)
    features = [name for name in table.column_names if name.startswith("x")]
    params = {"features": features, "target": "y", "group_by": ["name"], "intercept": shape != "origin"}
    bench.job(nested.job(**params) + INPUT)
    summary = jaxbatch_json("run", "job.toml", "--set", "output.rows_per_part=15", "--engine", engine, "--workers", "1")
    files = sorted((Path(summary["output"]) / "data").iterdir())
    rows = {row["name"]: row for file in files for row in pq.read_table(file).to_pylist()}
    digits = {name: nested.CEILING[name] for name in SHAPES[shape]}
    nested.check_nist(rows, digits, {name: wanted - 1 for name, wanted in digits.items()})


@pytest.mark.slow
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_any_split_gives_the_same_coefficients(data, tmp_path_factory):
    from tests.conftest import Bench

    table = observations(groups=3, rows=60, seed=5)
    expected = groups_of(table, ["site"])
    bench = Bench(tmp_path_factory.mktemp("split"))
    order = data.draw(st.permutations(range(60)))
    cuts = sorted({0, 60, *data.draw(st.lists(st.integers(1, 59), max_size=4))})
    for number, (start, stop) in enumerate(itertools.pairwise(cuts)):
        size = data.draw(st.integers(1, 30))
        bench.tasks(table.take(order[start:stop]), f"tasks/{number}.parquet", row_group_size=size)
    per_part = data.draw(st.integers(5, 70))
    text = job(group_by=["site"]) + INPUT
    first = bench.run(text, f"output.rows_per_part={per_part}", "output.path='one'", workers=1)
    second = bench.run(text, f"output.rows_per_part={per_part}", "output.path='two'", workers=3)
    for row in bench.output(first).to_pylist():
        X, y = expected[(row["site"],)]
        A = nested.with_ones(X)
        exact = exact_fit(A, y)
        np.testing.assert_allclose(row["coefficients"], exact, rtol=1e-13 * np.linalg.cond(A))
    assert digests(first.output) == digests(second.output)


def exact_fit(A: np.ndarray, y: np.ndarray) -> np.ndarray:
    import mpmath

    with mpmath.workdps(50):
        M, v = mpmath.matrix(A.tolist()), mpmath.matrix(y.tolist())
        return np.array([float(x) for x in mpmath.lu_solve(M.T * M, M.T * v)])


@pytest.mark.parametrize("per_part", [3, pytest.param(1000, marks=pytest.mark.slow)])
def test_nulls_bad_weights_and_small_groups(bench, per_part):
    rows = {
        "g": [1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 4, 4, 5, 5, 5, 5, 6],
        "a": [0.0, 1, 2, 3, 4, 0, 1, 2, None, 1, 1, 2, 1, 2, 3, 4, np.nan],
        "y": [1.0, 3, 5, 7, 9.5, 1, 3, 5, 1, 1, 1, 2, 1, 2, 2, 4, 1],
        "w": [1.0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0, 0, 1, 1, -1, 1, 1],
    }
    spread(bench, pa.table(rows), files=3, row_group_size=2)
    text = nested.job(features=["a"], target="y", group_by=["g"], weights="w") + INPUT
    found = {row["g"]: row for row in bench.rows(text, f"output.rows_per_part={per_part}")}
    statuses = {key: row["status"] for key, row in found.items()}
    assert statuses == {
        1: "ok", 2: "null_input", 3: "rank_deficient", 4: "invalid_input", 5: "invalid_input", 6: "nonfinite"
    }  # fmt: skip
    np.testing.assert_allclose(found[1]["coefficients"], [1.0, 2.0], atol=1e-15)
    assert found[1]["n"] == 4  # the observation of weight 0 is none
    dropped = nested.job(features=["a"], target="y", group_by=["g"], weights="w", nulls="drop") + INPUT
    kept = {row["g"]: row for row in bench.rows(dropped, f"output.rows_per_part={per_part}")}
    assert (kept[2]["status"], kept[2]["n"]) == ("ok", 3)


def test_weights(bench):
    table = observations(groups=3)
    weights = np.random.default_rng(9).uniform(0.1, 3.0, table.num_rows)
    spread(bench, table.append_column("w", pa.array(weights)))
    found = bench.rows(job(group_by=["site"], weights="w") + INPUT, "output.rows_per_part=60")
    expected = groups_of(table, ["site"])
    site = np.array(table["site"].to_pylist())
    for row in found:
        X, y = expected[(row["site"],)]
        w = weights[site == row["site"]]
        A = nested.with_ones(X)
        cov = np.linalg.inv(A.T @ (w[:, None] * A))
        b = cov @ (A.T @ (w * y))
        residual = y - A @ b
        sd = np.sqrt(w @ residual**2 / (len(y) - 3))
        np.testing.assert_allclose(row["coefficients"], b, rtol=1e-11)
        np.testing.assert_allclose(row["standard_errors"], sd * np.sqrt(np.diag(cov)), rtol=1e-10)
        mean = w @ y / w.sum()
        assert row["r_squared"] == pytest.approx(1 - w @ residual**2 / (w @ (y - mean) ** 2), rel=1e-10)
        assert row["loss"] == pytest.approx(w @ residual**2 / w.sum(), rel=1e-10)


def test_no_rows(bench):
    bench.tasks(observations().slice(0, 0), "tasks/0.parquet")
    summary = bench.run(job(group_by=["site"]) + INPUT)
    assert (summary.exit_code, summary.rows, summary.parts) == (0, 0, 1)
    assert bench.output(summary).column_names == ["site", *nested.RESULTS, "status"]


@pytest.mark.parametrize("method", ["cholesky", "gradient_descent"])
def test_other_methods(bench, method):
    table = observations(groups=2)
    spread(bench, table)
    settings = {"method": method, "tolerance": 1e-13} if method == "gradient_descent" else {"method": method}
    for row in bench.rows(job(group_by=["site"], **settings) + INPUT, "output.rows_per_part=60"):
        X, y = groups_of(table, ["site"])[(row["site"],)]
        np.testing.assert_allclose(row["coefficients"], np.linalg.lstsq(nested.with_ones(X), y)[0], rtol=1e-8)
        assert row["method"] == method


@pytest.mark.parametrize(
    ("params", "more", "message"),
    [
        ({"target": None, "group_by": ["site"]}, "", "target"),
        ({"group_by": ["site", "site"]}, "", "twice"),
        ({"group_by": ["a"]}, "", "cannot be a group key"),
        ({"group_by": ["nowhere"]}, "", "nowhere"),
        ({"group_by": ["site"], "features": ["a", "y"]}, "", "twice"),
        ({"group_by": ["site"], "method": "qr"}, "", "whole datasets"),
        ({"group_by": ["site"]}, 'keep = ["a"]\n', "keep"),
    ],
)
def test_refusals(bench, params, more, message):
    spread(bench, observations())
    given_params = {name: value for name, value in {"features": FEATURES, "target": "y", **params}.items() if value}
    with pytest.raises((JobError, InputError), match=message):
        bench.run(nested.job(**given_params) + INPUT + more)


KEYS = {
    "timestamp[ns]": pa.array([1001, 2**61, None, -5], pa.timestamp("ns")),
    "time64[ns]": pa.array([1, 1001, None, 86399999999999], pa.time64("ns")),
    "date32": pa.array([0, 2**31 - 1, None, -(2**31)], pa.date32()),
    "uint64": pa.array([0, 2**64 - 1, None, 1], pa.uint64()),
    "bool": pa.array([True, False, None, True]),
    "decimal": pa.array(["1.50", "-3.25", None, "0.00"]).cast(pa.decimal128(9, 2)),
    "binary": pa.array([b"\xff\x00", b"", None, b"\xff"], pa.large_binary()),
    "fixed": pa.array([b"\xff\x00", b"ab", None, b"\xfe\xfe"], pa.binary(2)),
    "text": pa.array(["", "a\0b", None, "ü😀"], pa.large_string()),
    "dictionary": pa.array(["x", "y", None, "x"]).dictionary_encode(),
}


@pytest.mark.parametrize("kind", list(KEYS))
def test_keys_of_every_type(bench, kind):
    keys = pa.concat_arrays([KEYS[kind]] * 3) if kind != "dictionary" else pa.array(KEYS[kind].to_pylist() * 3)
    keys = keys.dictionary_encode() if kind == "dictionary" else keys
    x = np.arange(12.0)
    spread(bench, pa.table({"g": keys, "x": x, "y": 1 + 2 * x}), files=2, row_group_size=2)
    text = nested.job(features=["x"], target="y", group_by=["g"]) + INPUT
    found = bench.output(bench.run(text, "output.rows_per_part=2"))
    counts = {}
    number = {"timestamp[ns]": pa.int64(), "time64[ns]": pa.int64(), "date32": pa.int32()}.get(kind)
    for key in keys.cast(number) if number else keys:
        counts[str(key)] = counts.get(str(key), 0) + 1
    column = found["g"].cast(number) if number else found["g"]
    assert dict(zip(map(str, column), found["n"].to_pylist(), strict=True)) == counts
    for coefficients in found["coefficients"].to_pylist():
        np.testing.assert_allclose(coefficients, [1.0, 2.0], atol=1e-14)


@pytest.mark.parametrize("name", ["n", *(pytest.param(each, marks=pytest.mark.slow) for each in ("X", "status"))])
def test_columns_may_be_called_as_the_kernel_calls_its_own(bench, name):
    table = observations(groups=2)
    weights = np.random.default_rng(2).uniform(0.5, 2.0, table.num_rows)
    plain = table.append_column("w", pa.array(weights))
    spread(bench, plain)
    expected = bench.rows(job(group_by=["site"], weights="w") + INPUT, "input.columns={}")
    for role, stored in (("weights", "w"), ("target", "y"), ("features", "a")):
        spread(bench, plain.rename_columns([name if each == stored else each for each in plain.column_names]))
        params: dict[str, Any] = {"weights": "w", "target": "y", "features": FEATURES}
        params[role] = [name, "b"] if role == "features" else name
        if len({*params["features"], params["target"], params["weights"]}) < 4:
            continue  # the name of another column of this table
        found = bench.rows(job(group_by=["site"], **params) + INPUT)
        assert [row["coefficients"] for row in found] == [row["coefficients"] for row in expected], role


def test_cholesky_merges_statistics_of_shifted_y(bench):
    table = observations(groups=3)
    far = table.set_column(4, "y", pa.array(np.array(table["y"]) + 1e8))
    spread(bench, table)
    near_rows = bench.rows(job(group_by=["site"], method="cholesky") + INPUT, "output.rows_per_part=60")
    spread(bench, far)
    for near, row in zip(
        near_rows,
        bench.rows(job(group_by=["site"], method="cholesky") + INPUT, "output.rows_per_part=60"),
        strict=True,
    ):
        assert row["loss"] == pytest.approx(near["loss"], rel=1e-5)
        assert row["r_squared"] == pytest.approx(near["r_squared"], rel=1e-7)
        np.testing.assert_allclose(row["t_values"][1:], near["t_values"][1:], rtol=1e-5)
        np.testing.assert_allclose(row["coefficients"], np.add(near["coefficients"], [1e8, 0.0, 0.0]), rtol=1e-6)


def test_who_forgets_the_target_is_told(bench):
    spread(bench, observations())
    for params in ({"features": FEATURES}, {}):
        with pytest.raises(InputError) as refused:
            bench.run(nested.job(**params) + INPUT)
        assert "target" in refused.value.remedy
