"""Which datasets a regression takes: nulls, shapes and types, statuses, names of columns, and what it refuses."""

import math

import numpy as np
import pyarrow as pa
import pytest

from jaxbatch.errors import InputError, JobError
from tests.kernels.regression_cases import RESULTS, UNDEFINED, check, datasets, job, noisy


def test_rank_is_judged_by_the_type_the_data_are_stored_in(bench):
    rng = np.random.default_rng(0)
    x = rng.normal(size=100).astype("float32")
    X = np.column_stack([x, np.float32(3) * x])
    y = (1 + 9 * x.astype("float64")).astype("float32")
    results = []
    for number in (pa.float32(), pa.float64()):
        bench.tasks(datasets((X, y), number=number))
        results += bench.rows(job())
    coarse, fine = results
    assert (coarse["status"], coarse["rank"]) == ("rank_deficient", 2)
    np.testing.assert_allclose(coarse["coefficients"], [1.0, 0.9, 2.7], rtol=1e-5)
    assert (fine["status"], fine["rank"]) == ("ok", 3), "rounded to float32, 3x is not three times x"


@pytest.mark.parametrize("stored", ["X", "y"])
def test_the_coarsest_column_counts(bench, stored):
    x = np.linspace(-1, 1, 20)
    nearly = np.column_stack([x, x + 1e-8 * np.cos(np.arange(20))])
    y = x + 1
    columns = datasets((nearly, y))
    if stored == "y":
        columns["y"] = columns["y"].cast(pa.list_(pa.float32()))
    bench.tasks(columns)
    (row,) = bench.rows(job())
    assert row["status"] == {"X": "ok", "y": "rank_deficient"}[stored]


def test_statuses(bench):
    X, y = noisy(8, 2, 1)
    holed, ragged, spoilt = X.tolist(), X.tolist(), X.copy()
    holed[3] = [None, 1.0]
    ragged[2] = [1.0]
    spoilt[0, 0] = math.nan
    cases = {
        "good": (X, y, "ok"),
        "empty": ([], [], "invalid_input"),
        "one y too few": (X, y[:-1], "invalid_input"),
        "ragged": (ragged, y, "invalid_input"),
        "null in X": (holed, y, "null_input"),
        "null row": ([None, *X.tolist()[1:]], y, "null_input"),
        "null in y": (X, [None, *y[1:]], "null_input"),
        "no X": (None, y, "null_input"),
        "no y": (X, None, "null_input"),
        "NaN in X": (spoilt, y, "nonfinite"),
        "infinite y": (X, [math.inf, *y[1:]], "nonfinite"),
        "good again": (X, y, "ok"),
        "no features": ([[]] * 8, y, "ok"),
    }
    bench.tasks({"case": list(cases), **datasets(*(case[:2] for case in cases.values()))})
    rows = {row["case"]: row for row in bench.rows(job())}
    assert {name: row["status"] for name, row in rows.items()} == {name: case[2] for name, case in cases.items()}
    for row in rows.values():
        if row["status"] in ("invalid_input", "null_input"):
            assert [row[name] for name in RESULTS] == [None] * len(RESULTS)
    for name in ("good", "good again"):
        check(rows[name], X, y)
    assert rows["no features"]["coefficients"] == pytest.approx([y.mean()], rel=1e-15)
    assert not all(map(math.isfinite, rows["NaN in X"]["coefficients"])), "written as computed"
    assert rows["NaN in X"]["n"] == 8


@pytest.mark.parametrize("layout", ["X", "features"])
def test_nulls_dropped_leave_their_observations_out(bench, layout):
    X, y = noisy(12, 2, 4)
    holed = [[None if (i, j) in ((0, 1), (5, 0)) else X[i, j] for j in range(2)] for i in range(12)]
    y_holed = [None if i in (5, 7) else y[i] for i in range(12)]
    left = [i for i in range(12) if i not in (0, 5, 7)]
    cases = [(X, y), (holed, y_holed), (holed, y_holed[:-1]), (holed, [None] * 12), (None, y), (X, y)]
    columns = datasets(*cases)
    if layout == "features":
        for j, name in enumerate("ab"):
            columns[name] = pa.array(
                [x and [r[j] for r in x] for x in columns["X"].to_pylist()], pa.list_(pa.float64())
            )
    bench.tasks(columns)
    rows = bench.rows(job(nulls="drop", **({"features": ["a", "b"]} if layout == "features" else {})))
    assert [row["status"] for row in rows] == ["ok", "ok", "invalid_input", "invalid_input", "null_input", "ok"]
    check(rows[0], X, y)
    check(rows[1], X[left], y[left])
    check(rows[5], X, y)


def test_a_null_row_of_the_matrix_is_dropped_like_any_null(bench):
    X, y = noisy(12, 2, 4)
    cases = [([*X.tolist()[:4], None, *X.tolist()[5:]], y), ([None, *X.tolist()[1:]], y)]
    bench.tasks(datasets(*cases))
    for row, missing in zip(bench.rows(job(nulls="drop")), (4, 0), strict=True):
        left = [i for i in range(12) if i != missing]
        check(row, X[left], y[left])


def test_undefined_inference_is_null_and_leaves_the_status(bench):
    X = np.array([[1.0], [2.0], [4.0], [8.0]])
    exact = (X, 2 * X[:, 0])  # no residual at all
    constant = (X, np.full(4, 3.0))
    square = (X[:2], np.array([1.0, 5.0]))  # as many observations as terms
    zero = (X, np.zeros(4))
    rounded = (X, np.full(4, 0.1))  # constant, and not fitted to the last bit
    bench.tasks(datasets(exact, constant, square, zero, rounded))
    rows = bench.rows(job())
    assert [row["status"] for row in rows] == ["ok"] * 5
    expected = [[0, 2], [3, 0], [-3, 4], [0, 0], [0.1, 0]]
    np.testing.assert_allclose([row["coefficients"] for row in rows], expected, atol=1e-14)
    assert [row["r_squared"] for row in rows] == [pytest.approx(1.0), None, pytest.approx(1.0), None, None]
    assert [rows[2][name] for name in UNDEFINED] == [None] * 4
    for row in (rows[1], rows[3], rows[4]):
        assert (row["t_values"], row["p_values"]) == (None, None)
    assert rows[3]["residual_sd"] == 0.0


def test_what_is_not_finite_is_written_as_computed(bench):
    X, y = noisy(12, 2, 0)
    spoilt = X.copy()
    spoilt[3, 0] = np.nan
    bench.tasks(datasets((spoilt, y), (X, y)))
    bad, good = bench.rows(job())
    assert (bad["status"], good["status"]) == ("nonfinite", "ok")
    for name in ("coefficients", "standard_errors"):
        assert np.isnan(bad[name]).all()
        assert len(bad[name]) == 3
    assert all(math.isnan(bad[name]) for name in ("loss", "r_squared", "residual_sd", "condition"))
    assert (bad["t_values"], bad["p_values"]) == (None, None)


def test_float32_writes_float32(bench):
    X, y = noisy(12, 2, 1)
    bench.tasks(datasets((X, y), number=pa.float32()))
    table = bench.output(bench.run(job() + '[compute]\nprecision = "float32"\n'))
    assert table.schema.field("coefficients").type == pa.list_(pa.float32())
    assert table.schema.field("loss").type == pa.float32()
    check(table.to_pylist()[0], X.astype("float32").astype(float), y.astype("float32").astype(float), rel=2e-6)


@pytest.mark.parametrize(
    ("params", "columns", "error", "words"),
    [
        ({"ridge": -1.0}, {}, JobError, "ridge"),
        ({"method": "lu"}, {}, JobError, "method"),
        ({"learning_rate": 0.0}, {}, JobError, "learning_rate"),
        ({"max_steps": 0}, {}, JobError, "max_steps"),
        ({"patience": 0}, {}, JobError, "patience"),
        ({"features": []}, {}, JobError, "features"),
        ({"features": ["a", "a"]}, {}, JobError, "twice"),
        ({"features": ["a"]}, {}, InputError, "'a'"),
        ({"lambda": 1.0}, {}, JobError, "lambda"),
        ({}, {"y": [1.0]}, InputError, "'y' is double"),
        ({}, {"X": [[1.0]]}, InputError, "'X' is list"),
        ({}, {"y": [["1"]]}, InputError, "'y' is list"),
    ],
)
def test_refused_before_any_work(bench, params, columns, error, words):
    bench.tasks({"X": [[[1.0], [2.0]]], "y": [[1.0, 2.0]], **columns})
    with pytest.raises(error, match=words):
        bench.run(job(**params))
    assert not (bench.folder / "results").exists()


def test_plan_shows_rungs_and_the_report_the_padding(bench, jaxbatch_json):
    bench.tasks(datasets(noisy(9, 2, 0), noisy(20, 2, 1)))
    bench.job(job(method="qr"))
    rungs = jaxbatch_json("plan", "job.toml")["rungs"]
    assert rungs["n"]["first"] == [8, 16, 32, 64, 128, 256]
    assert 0.9 < rungs["n"]["padding_at_most"] < 1.0
    summary = bench.run(job(method="qr"), "compute.batch_rows=8")
    assert summary.padding == pytest.approx(8 * 2 * (16 + 32) / (2 * (9 + 20)) - 1, abs=1e-3)


def test_on_cpus_nothing_is_padded_and_nothing_compiled(bench, jaxbatch_json):
    bench.tasks(datasets(noisy(9, 2, 0), noisy(20, 3, 1), noisy(300, 1, 2)))
    bench.job(job())
    planned = jaxbatch_json("plan", "job.toml")
    assert (planned["programs"], planned["rungs"], planned["compilations"]) == ([], {}, "none: NumPy computes")
    summary = bench.run(job())
    assert (summary.compilations, summary.padding) == (0, None)


@pytest.mark.parametrize("params", [{"features": ["n", "x"]}, {"weights": "y"}, {"features": ["y"]}])
def test_names_that_the_nested_layout_needs_are_refused(bench, params):
    fits = [noisy(9, 1, 0)]
    lists = {name: pa.array([[1.0] * 9]) for name in ("n", "x")}
    bench.tasks({**datasets(*fits), **lists})
    with pytest.raises(JobError, match="cannot be the name"):
        bench.run(job(**params))


def test_two_runs_of_one_process_may_name_their_columns_otherwise(bench):
    X, y = noisy(12, 2, 1)
    for name in ("w", "weight", "status"):
        bench.tasks({**datasets((X, y)), name: pa.array([[1.0] * 12])})
        (row,) = bench.rows(job(weights=name), "input.keep=[]")
        assert row["status"] == "ok"
