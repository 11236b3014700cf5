"""Regression jobs, datasets, and what their fits must give: by NIST's certified values, and by numpy and scipy."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats

NIST = Path(__file__).parent.parent / "data" / "nist_strd"

RESULTS = ["coefficients", "standard_errors", "t_values", "p_values", "n", "rank", "condition", "loss"]
RESULTS += ["r_squared", "residual_sd", "method", "steps", "converged"]
UNDEFINED = ["standard_errors", "t_values", "p_values", "residual_sd"]  # where n ≤ p


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
