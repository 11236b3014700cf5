"""Least squares against NIST's certified values, numpy and closed forms, whatever the scale and the rank."""

from pathlib import Path

import mpmath
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.compiling import BY_OLDER_EMITTERS, compile_programs
from tests.kernels.regression_cases import (
    CEILING,
    ORTHOGONAL,
    RESULTS,
    UNDEFINED,
    check,
    check_nist,
    datasets,
    job,
    nist,
    noisy,
    with_ones,
)


@pytest.fixture(autouse=True)
def _by_older_emitters(monkeypatch):
    """The programs of whole datasets, which LAPACK factors: how they are compiled makes no difference to digits."""
    compile_programs(monkeypatch, BY_OLDER_EMITTERS)


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_nist_to_the_ceiling_of_float64_data(bench, engine, jaxbatch_json):
    rows = {}
    for intercept in (True, False):
        names = [name for name in CEILING if intercept != name.startswith("NoInt")]
        bench.tasks({"name": names, **datasets(*(nist(name)[:2] for name in names))}, row_group_size=4)
        bench.job(job(intercept=intercept) + "[output]\npath = 'results'\nrows_per_part = 4\n")
        summary = jaxbatch_json(
            "run", "job.toml", "--restart", "--engine", engine, "--workers", "1" if engine == "ray" else "2"
        )
        files = sorted((Path(summary["output"]) / "data").iterdir())
        rows |= {row["name"]: row for file in files for row in pq.read_table(file).to_pylist()}
    check_nist(rows, CEILING, {name: digits - 1 for name, digits in CEILING.items()})


@pytest.mark.slow
@pytest.mark.parametrize("method", ["qr", "svd"])
def test_nist_by_orthogonal_methods(bench, method):
    rows = {}
    for intercept in (True, False):
        names = [name for name in ORTHOGONAL if intercept != name.startswith("NoInt")]
        bench.tasks({"name": names, **datasets(*(nist(name)[:2] for name in names))})
        rows |= {row["name"]: row for row in bench.rows(job(method=method, intercept=intercept))}
    # Wampler1's deviations are 0, with y to 4e6.
    check_nist(rows, ORTHOGONAL, {name: {"Filip": 7, "Wampler1": 8}.get(name, 12) for name in ORTHOGONAL})


@pytest.mark.parametrize("method", ["auto", "qr", "svd"])
@pytest.mark.parametrize("powers", [(-666, 498, 0), (400, -700, 0), (0, 0, -600), (560, 0, 0)], ids=str)
def test_scales_change_no_inference(bench, method, powers):
    """Units that are powers of two change no t or p value, and of all else the exponent only."""
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(40, 2)), rng.normal(size=40)
    first, second, of_y = (2.0**power for power in powers)
    bench.tasks(datasets((X, y), (X * [first, second], y * of_y)))
    plain, scaled = bench.rows(job(method=method))
    assert scaled["status"] == "ok"
    unit = np.array([of_y, of_y / first, of_y / second])
    for name, units in {"t_values": 1, "p_values": 1, "r_squared": 1, "residual_sd": of_y}.items():
        np.testing.assert_allclose(scaled[name], np.multiply(plain[name], units), rtol=1e-12, err_msg=name)
    for name in ("coefficients", "standard_errors"):
        np.testing.assert_allclose(scaled[name] / unit, plain[name], rtol=1e-12, err_msg=name)


def test_datasets_of_many_shapes_in_one_file(bench):
    shapes = [(5, 1), (40, 3), (12, 2), (9, 1), (64, 3), (11, 2)]
    fits = [noisy(n, p, seed) for seed, (n, p) in enumerate(shapes)]
    bench.tasks(datasets(*fits))
    rows = bench.rows(job())
    assert list(rows[0]) == [*RESULTS, "status"]
    for row, (X, y) in zip(rows, fits, strict=True):
        check(row, X, y)


@pytest.mark.parametrize("method", ["cholesky", "qr", "svd"])
@pytest.mark.parametrize("intercept", [True, False])
def test_the_method_asked_for_is_used(bench, method, intercept):
    fits = [noisy(n, 2, seed) for seed, n in enumerate((12, 9, 16))]
    bench.tasks(datasets(*fits))
    for row, (X, y) in zip(bench.rows(job(method=method, intercept=intercept)), fits, strict=True):
        check(row, X, y, intercept=intercept, rel=1e-7 if method == "cholesky" else 1e-9)
        assert (row["method"], row["steps"]) == (method, 0)


def test_features_are_the_columns_of_the_matrix(bench):
    fits = [noisy(n, 3, seed) for seed, n in enumerate((12, 9, 16))]
    columns = {name: [X[:, i].tolist() for X, _ in fits] for i, name in enumerate(("age", "size", "rent"))}
    bench.tasks({**datasets(*fits), **columns})
    table = bench.output(bench.run(job(features=["age", "size", "rent"])))
    for row, (X, y) in zip(table.to_pylist(), fits, strict=True):
        check(row, X, y)
    terms = {name: (table.schema.field(name).metadata or {}).get(b"terms") for name in table.column_names}
    per_term = RESULTS[:4]
    assert terms == {name: b"intercept,age,size,rent" if name in per_term else None for name in table.column_names}
    by_matrix = bench.rows(job())
    assert [row["coefficients"] for row in by_matrix] == [row["coefficients"] for row in table.to_pylist()]


def test_features_without_an_intercept_swapped(bench):
    X, y = noisy(12, 2, 0)
    bench.tasks({"a": [X[:, 0].tolist()], "b": [X[:, 1].tolist()], "y": [y.tolist()]})
    table = bench.output(bench.run(job(features=["b", "a"], intercept=False)))
    assert table.schema.field("coefficients").metadata == {b"terms": b"b,a"}
    check(table.to_pylist()[0], X[:, ::-1], y, intercept=False)


@pytest.mark.parametrize(("method", "intercept"), [("auto", True), ("cholesky", False), ("svd", True)])
def test_ridge(bench, method, intercept):
    strength = 2.5
    plain, wide = noisy(8, 3, 5), noisy(2, 3, 7)
    dependent = (plain[0] @ [[1, 2, 0], [0, 0, 1], [0, 0, 0]], plain[1])
    cases = [plain, dependent, wide]
    bench.tasks(datasets(*cases))
    for row, (X, y) in zip(bench.rows(job(ridge=strength, intercept=intercept, method=method)), cases, strict=True):
        A = with_ones(X) if intercept else X
        penalty = np.diag([0.0, *[strength] * 3] if intercept else [strength] * 3)
        expected = np.linalg.solve(A.T @ A + penalty, A.T @ y)
        residual = y - A @ expected
        np.testing.assert_allclose(row["coefficients"], expected, rtol=1e-6)
        assert row["loss"] == pytest.approx(residual @ residual / len(y), rel=1e-6, abs=1e-15)
        assert row["status"] == "ok", "a penalised problem has one solution, whatever the rank"


@pytest.mark.parametrize("method", ["auto", "qr", "svd"])
def test_rank_deficient_gives_the_least_norm_of_the_unscaled_problem(bench, method):
    rng = np.random.default_rng(3)
    x, z, y = rng.normal(size=(3, 20))
    cases = {
        "twice a column": (np.column_stack([x, 2 * x, z]), y),
        "a large column": (np.column_stack([x * 1024, z * 2.0**20, x]), y),
        "a small column": (np.column_stack([x * 1024, z * 2.0**-10, x]), y),
        "a constant column": (np.column_stack([np.full(20, 4.0), x, z]), y),
        "all columns zero": (np.zeros((20, 3)), y),
        "3 rows": (rng.normal(size=(3, 3)), rng.normal(size=3)),
        "1 row": (np.array([[2.0, 1.0, 0.5]]), np.array([3.0])),
    }
    bench.tasks({"case": list(cases), **datasets(*cases.values())})
    rows = {row["case"]: row for row in bench.rows(job(method=method))}

    assert {row["status"] for row in rows.values()} == {"rank_deficient"}
    assert [row["rank"] for row in rows.values()] == [3, 3, 3, 3, 1, 3, 1]
    assert {row["method"] for row in rows.values()} == {"cholesky" if method == "auto" else "svd"}
    for name, (X, target) in cases.items():
        expected = np.linalg.pinv(with_ones(X), rcond=1e-14) @ target
        difference = np.linalg.norm(rows[name]["coefficients"] - expected)
        assert difference <= 1e-10 * np.linalg.norm(expected), name
        loss = np.mean((target - with_ones(X) @ expected) ** 2)
        assert rows[name]["loss"] == pytest.approx(loss, rel=1e-9, abs=1e-25)
    # Of β x = b₁·1024 x + b₃·x the least norm is (b₁, b₃) = β (1024, 1)/(1024² + 1), whatever the unit of z.
    level, slope, other = np.linalg.lstsq(with_ones(np.column_stack([x, z])), y)[0]
    split = slope / (1024**2 + 1)
    least = [level, 1024 * split, other / 2**20, split]
    np.testing.assert_allclose(rows["a large column"]["coefficients"], least, rtol=1e-9)
    for name in ("3 rows", "1 row"):  # no more observations than terms
        assert [rows[name][key] for key in UNDEFINED] == [None] * 4


@pytest.mark.slow
def test_weights_in_the_nested_layout(bench):
    rng = np.random.default_rng(4)
    fits = [noisy(n, 2, seed) for seed, n in enumerate((12, 30))]
    weights = [rng.uniform(0.5, 2.0, len(y)) for _, y in fits]
    weights[1][3] = 0.0
    columns = {**datasets(*fits), "w": pa.array([w.tolist() for w in weights])}
    bench.tasks(columns)
    found = {method: bench.rows(job(method=method, weights="w")) for method in ("auto", "cholesky", "qr", "svd")}
    for rows in found.values():
        for row, (X, y), w in zip(rows, fits, weights, strict=True):
            A = with_ones(X)
            scale = np.linalg.norm(A, axis=0)
            S = np.sqrt(w)[:, None] * A / scale
            covariance = np.linalg.inv(S.T @ S) / np.outer(scale, scale)
            b = np.linalg.lstsq(S, np.sqrt(w) * y)[0] / scale
            n, squares = np.count_nonzero(w), w @ (y - A @ b) ** 2
            errors = np.sqrt(squares / (n - 3) * np.diag(covariance))
            assert (row["status"], row["n"]) == ("ok", n)
            np.testing.assert_allclose(row["coefficients"], b, rtol=1e-8)
            np.testing.assert_allclose(row["standard_errors"], errors, rtol=1e-7)
            assert row["loss"] == pytest.approx(squares / w.sum(), rel=1e-7)
    columns["w"] = pa.array([(-w).tolist() for w in weights])
    bench.tasks(columns)
    assert {row["status"] for row in bench.rows(job(weights="w"))} == {"invalid_input"}


@pytest.mark.slow
def test_three_hundred_features(bench):
    rng = np.random.default_rng(7)
    X, y = rng.normal(size=(400, 300)), rng.normal(size=400)
    bench.tasks(datasets((X, y)))
    (row,) = bench.rows(job())
    check(row, X, y)


@pytest.mark.slow
def test_more_features_than_observations(bench):
    rng = np.random.default_rng(7)
    X, y = rng.normal(size=(200, 80)), rng.normal(size=200)
    bench.tasks(datasets((X, y), (X[:50], y[:50])))
    full, wide = bench.rows(job())
    check(full, X, y)
    A = with_ones(X[:50])
    assert (wide["status"], wide["rank"]) == ("rank_deficient", 50)
    np.testing.assert_allclose(wide["coefficients"], np.linalg.pinv(A) @ y[:50], rtol=1e-8, atol=1e-11)


def test_loss_and_r_squared_hold_where_the_intercept_dominates(bench):
    rng = np.random.default_rng(8)
    x = rng.normal(size=(50, 1))
    y = 1e9 + x[:, 0] * 1e-3 + 1e-3 * rng.normal(size=50)
    bench.tasks(datasets((x, y)))
    (row,) = bench.rows(job())
    with mpmath.workdps(50):
        A, v = mpmath.matrix(with_ones(x).tolist()), mpmath.matrix(y.tolist())
        b = mpmath.lu_solve(A.T * A, A.T * v)
        residual = v - A * b
        squares = (residual.T * residual)[0]
        mean = mpmath.fsum(v) / 50
        total = mpmath.fsum((each - mean) ** 2 for each in v)
        # The squares of y are 10²⁴ times those of the residual: of 106 bits 26 are left, and of float64's none.
        assert row["loss"] == pytest.approx(float(squares / 50), rel=1e-7, abs=0)
        assert row["r_squared"] == pytest.approx(float(1 - squares / total), rel=1e-7, abs=0)
        np.testing.assert_allclose(row["coefficients"], [float(each) for each in b], rtol=1e-14)


def test_t_and_r_squared_do_not_depend_on_units(bench):
    rng = np.random.default_rng(11)
    X = rng.normal(size=(40, 2))
    y = 1.0 + X @ [2.0, -3.0] + 0.5 * rng.normal(size=40)
    units = [(1.0, 1.0), (2.0**530, 1.0), (2.0**-530, 1.0), (1.0, 2.0**-530), (1.0, 2.0**500), (2.0**-660, 2.0**-660)]
    bench.tasks(datasets(*((X * x, y * z) for x, z in units)))
    first, *others = bench.rows(job())
    check(first, X, y)
    for row in others:
        assert row["status"] == "ok"
        for name in ("t_values", "p_values", "r_squared", "rank"):
            np.testing.assert_allclose(row[name], first[name], rtol=1e-9)


@pytest.mark.parametrize("size", [2.0**-1000, 2.0**-500, 2.0**1000])
def test_the_size_of_weights_does_not_matter(bench, size):
    X, y = noisy(25, 2, 3)
    w = np.random.default_rng(5).uniform(0.5, 2.0, 25)
    columns = datasets((X, y), (X, y))
    bench.tasks({**columns, "w": pa.array([w.tolist(), (w * size).tolist()])})
    one, other = bench.rows(job(weights="w"))
    for name in ("coefficients", "loss", "r_squared", "t_values"):
        np.testing.assert_allclose(other[name], one[name], rtol=1e-12)


@pytest.mark.parametrize("method", ["auto", "cholesky", "qr", "svd"])
def test_a_large_mean_of_y_costs_no_digit_of_the_spread(bench, method):
    rng = np.random.default_rng(12)
    X = rng.normal(size=(250, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.normal(size=250)
    bench.tasks(datasets((X, y), (X, y + 1e7)))
    near, far = bench.rows(job(method=method))
    assert far["loss"] == pytest.approx(near["loss"], rel=1e-7)
    assert far["r_squared"] == pytest.approx(near["r_squared"], rel=1e-7)
    np.testing.assert_allclose(far["t_values"][1:], near["t_values"][1:], rtol=1e-6)


def test_float32_data_by_cholesky_keep_their_rank(bench):
    rng = np.random.default_rng(13)
    X = (1000 + rng.normal(size=(50, 2))).astype(np.float32)
    y = X @ np.array([1.0, -1.0]) + rng.normal(size=50)
    bench.tasks(datasets((X.astype(float), y.astype(np.float32).astype(float)), number=pa.float32()))
    (row,) = bench.rows(job(method="cholesky"))
    assert (row["status"], row["rank"]) == ("ok", 3)
