"""Least squares against NIST's certified values, numpy, scipy and closed forms."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.stats

from jaxbatch.errors import InputError, JobError

NIST = Path(__file__).parent.parent / "data" / "nist_strd"

RESULTS = ["coefficients", "standard_errors", "t_values", "p_values", "n", "rank", "condition", "loss"]
UNDEFINED = ["standard_errors", "t_values", "p_values", "residual_sd"]  # where n ≤ p
RESULTS += ["r_squared", "residual_sd", "method", "steps", "converged"]


def job(**params: Any) -> str:
    lines = (f"{name} = {json.dumps(value)}" for name, value in params.items())
    return 'kernel = "regression"\n[params]\n' + "\n".join(lines) + "\n"


def datasets(*pairs: tuple[Any, Any], number: pa.DataType = pa.float64()) -> dict[str, pa.Array]:  # noqa: B008
    """Columns X and y of one row per pair."""
    as_lists = [(np.asarray(X).tolist() if isinstance(X, np.ndarray) else X, y) for X, y in pairs]
    return {
        "X": pa.array([X for X, _ in as_lists], pa.list_(pa.list_(number))),
        "y": pa.array(
            [np.asarray(y).tolist() if isinstance(y, np.ndarray) else y for _, y in as_lists], pa.list_(number)
        ),
    }


def with_ones(X: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(X)), X])


def noisy(n: int, p: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * 10.0 ** rng.integers(-3, 4, p) + rng.normal(size=p)
    return X, 1.5 + X @ rng.normal(size=p) + 0.3 * rng.normal(size=n)


# ------------------------------------------------------------------------------------------------ certified values


def log_relative_error(found: list[float], certified: list[str]) -> float:
    """The number of correct digits of the worst value, at most 15; of a certified 0, of the value itself."""

    def digits(value: float, exact: float) -> float:
        error = abs(value - exact) / abs(exact) if exact else abs(value)
        return 15.0 if error == 0 else min(15.0, -math.log10(error))

    return min(digits(value, float(exact)) for value, exact in zip(found, certified, strict=True))


def nist(name: str) -> tuple[np.ndarray, np.ndarray, dict]:
    stored = json.loads((NIST / f"{name}.json").read_text())
    x, model = np.array(stored["x"], float), stored["model"]
    X = x if model["type"] == "linear" else np.column_stack([x**k for k in range(1, model["degree"] + 1)])
    return X, np.array(stored["y"], float), stored["certified"]


CEILING = {  # of the coefficients: what data rounded to float64 allow
    "Norris": 13.5,
    "Pontius": 13,
    "Longley": 14,
    "Filip": 7.5,
    "Wampler1": 15,
    "Wampler2": 13,
    "Wampler3": 15,
    "Wampler4": 15,
    "Wampler5": 15,
    "NoInt1": 14.5,
    "NoInt2": 14.5,
}
ORTHOGONAL = {  # what is left to those that work in float64
    "Norris": 12,
    "Pontius": 11,
    "Longley": 10,
    "Filip": 7,
    "Wampler1": 9,
    "Wampler2": 12,
    "Wampler3": 9,
    "Wampler4": 7,
    "Wampler5": 5,
    "NoInt1": 14,
    "NoInt2": 14,
}


def check_nist(rows: dict[str, dict], digits: Mapping[str, float], spread_digits: Mapping[str, float]) -> None:
    """The digits of coefficients, and of standard errors with the residual's deviation, of every certified dataset."""
    for name, wanted in digits.items():
        row, certified = rows[name], nist(name)[2]
        assert row["status"] == "ok"
        assert log_relative_error(row["coefficients"], certified["coefficients"]) >= wanted, name
        spread = [*row["standard_errors"], row["residual_sd"]]
        exact = [*certified["standard_errors"], certified["residual_standard_deviation"]]
        assert log_relative_error(spread, exact) >= spread_digits[name], name
        assert row["r_squared"] == pytest.approx(float(certified["r_squared"]), rel=1e-9), name


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


# ------------------------------------------------------------------------------------------------ against numpy


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


def check(row: dict, X: np.ndarray, y: np.ndarray, *, intercept: bool = True, rel: float = 1e-9) -> None:
    """Every output of an ordinary fit, with numpy's lstsq and the textbook's formulas."""
    A = with_ones(X) if intercept else X
    n, p = A.shape
    scale = np.linalg.norm(A, axis=0)
    b = np.linalg.lstsq(A / scale, y)[0] / scale
    residual = y - A @ b
    sd = math.sqrt(residual @ residual / (n - p))
    errors = sd * np.sqrt(np.diag(np.linalg.inv((A / scale).T @ (A / scale)))) / scale
    about = y - y.mean() if intercept else y
    assert row["status"] == "ok"
    assert (row["n"], row["rank"], row["converged"]) == (n, p, True)
    np.testing.assert_allclose(row["coefficients"], b, rtol=rel)
    np.testing.assert_allclose(row["standard_errors"], errors, rtol=rel)
    np.testing.assert_allclose(row["t_values"], b / errors, rtol=rel)
    np.testing.assert_allclose(row["p_values"], 2 * scipy.stats.t.sf(abs(b / errors), n - p), rtol=1e-6, atol=1e-300)
    assert row["condition"] == pytest.approx(np.linalg.cond(A / scale), rel=rel)
    assert row["loss"] == pytest.approx(residual @ residual / n, rel=rel)
    assert row["r_squared"] == pytest.approx(1 - residual @ residual / (about @ about), rel=rel)
    assert row["residual_sd"] == pytest.approx(sd, rel=rel)


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


# ------------------------------------------------------------------------------------------------ rank


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


# ------------------------------------------------------------------------------------------------ statuses


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


# ------------------------------------------------------------------------------------------------ descent


@pytest.mark.parametrize("rate", ["auto", pytest.param(0.05, marks=pytest.mark.slow)])
def test_descent_reaches_least_squares(bench, rate):
    rng = np.random.default_rng(2)
    fits = []
    for n in (30, 20):
        X = rng.normal(size=(n, 2))
        fits.append((X, 1 + X @ [2.0, -3.0] + 0.1 * rng.normal(size=n)))
    bench.tasks(datasets(*fits))
    rows = bench.rows(job(method="gradient_descent", learning_rate=rate, initial=[1.0, 1.0, 1.0]))
    for row, (X, y) in zip(rows, fits, strict=True):
        check(row, X, y)
        assert row["method"] == "gradient_descent"
        assert 20 < row["steps"] < 2000


@pytest.mark.slow
def test_descent_follows_the_notebooks_loop(bench):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(16, 1))
    y = 1 + 2 * X[:, 0] + 0.1 * rng.normal(size=16)
    bench.tasks(datasets((X, y), (X[:, [0, 0]], y), (X, y)))
    rate, tolerance, reset, patience = 0.1, 1e-6, 1e-4, 7
    A, b, still, steps = with_ones(X), np.array([0.5, -0.5]), 0, 0
    while still < patience:
        moved = rate * 2 / 16 * A.T @ (A @ b - y)
        b, steps = b - moved, steps + 1
        still = still + 1 if np.linalg.norm(moved) < tolerance else 0 if np.linalg.norm(moved) > reset else still
    options = {"tolerance": tolerance, "reset": reset, "patience": patience, "learning_rate": rate}
    rows = bench.rows(job(method="gradient_descent", initial=[0.5, -0.5], **options))
    assert [row["status"] for row in rows] == ["ok", "invalid_input", "ok"], "one number per term, or invalid"
    assert rows[0]["steps"] == steps
    np.testing.assert_allclose(rows[0]["coefficients"], b, rtol=1e-12)

    bench.tasks(datasets((X, y)))
    (short,) = bench.rows(job(method="gradient_descent", max_steps=3, learning_rate=rate))
    assert (short["status"], short["steps"], short["converged"]) == ("not_converged", 3, False)
    b = np.zeros(2)
    for _ in range(3):
        b = b - rate * 2 / 16 * A.T @ (A @ b - y)
    np.testing.assert_allclose(short["coefficients"], b, rtol=1e-12)


@pytest.mark.slow
def test_descent_diverging_is_nonfinite_and_deficient_is_flagged(bench):
    X, y = np.array([[1.0], [2.0], [3.0]]), np.array([1.0, 2.0, 4.0])
    bench.tasks(datasets((X, y)))
    (row,) = bench.rows(job(method="gradient_descent", learning_rate=10.0))
    assert row["status"] == "nonfinite"
    bench.tasks(datasets((X[:, [0, 0]], y)))
    (row,) = bench.rows(job(method="gradient_descent"))
    assert (row["status"], row["rank"]) == ("rank_deficient", 2)
    np.testing.assert_allclose(row["coefficients"], np.linalg.pinv(with_ones(X[:, [0, 0]])) @ y, rtol=1e-8)


# ------------------------------------------------------------------------------------------------ types and refusals


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


def test_plan_shows_rungs_and_the_report_the_padding(bench, jaxbatch_json):
    bench.tasks(datasets(noisy(9, 2, 0), noisy(20, 2, 1)))
    bench.job(job())
    rungs = jaxbatch_json("plan", "job.toml")["rungs"]
    assert rungs["n"]["first"] == [8, 16, 32, 64, 128, 256]
    assert 0.9 < rungs["n"]["padding_at_most"] < 1.0
    summary = bench.run(job(), "compute.batch_rows=8")
    assert summary.padding == pytest.approx(8 * 2 * (16 + 32) / (2 * (9 + 20)) - 1, abs=1e-3)


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
