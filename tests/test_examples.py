"""Every example is run as its README says, and its numbers hold against what is known without it."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import norm

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def example(tmp_path, request) -> Path:
    """The folder of an example, its commands run."""
    folder = tmp_path / request.param
    shutil.copytree(EXAMPLES / request.param, folder)
    commands = re.findall(r"^    (.+)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert commands[0] == "python make_tasks.py"
    for command in commands:
        program, *arguments = shlex.split(command)
        called = [sys.executable, *(["-m", "jaxbatch"] if program == "jaxbatch" else []), *arguments]
        ended = subprocess.run(called, cwd=folder, capture_output=True, text=True, timeout=240)
        assert ended.returncode == 0, ended.stderr
    return folder


def output(folder: Path, name: str) -> pa.Table:
    return pq.read_table(folder / "results" / name / "data")


def column(table: pa.Table, name: str) -> np.ndarray:
    return np.array(table[name].to_pylist(), float)


def test_all_are_listed():
    folders = {folder.name for folder in EXAMPLES.iterdir() if folder.is_dir()}
    assert set(re.findall(r"\]\(([\w-]+)\)", (EXAMPLES / "README.md").read_text())) == folders


@pytest.mark.parametrize("example", ["pnl-explain"], indirect=True)
def test_greeks_and_the_profit_they_explain(example):
    book = output(example, "greeks")
    spot, strike, vol, years = (column(book, name) for name in ("spot", "strike", "vol", "years"))
    d1 = (np.log(spot / strike) + (0.03 + vol**2 / 2) * years) / (vol * np.sqrt(years))
    np.testing.assert_allclose(column(book, "delta"), norm.cdf(d1), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(column(book, "gamma"), norm.pdf(d1) / (spot * vol * np.sqrt(years)), rtol=1e-9)
    np.testing.assert_allclose(column(book, "vega"), spot * norm.pdf(d1) * np.sqrt(years), rtol=1e-9)
    days = output(example, "pnl")
    coefficients, errors = column(days, "coefficients"), column(days, "errors")
    moves = pq.read_table(example / "tasks/moves.parquet")
    move = np.array(moves["point"].to_pylist()) - np.array(moves["center"].to_pylist())
    first = sum(column(book, name) * move[:, at] for name, at in (("delta", 0), ("vega", 1), ("minus_theta", 2)))
    np.testing.assert_allclose(coefficients[:, 1], first, rtol=1e-8, atol=1e-10)
    pnl = column(days, "true_value") - coefficients[:, 0]
    np.testing.assert_allclose(coefficients[:, 1:].sum(axis=1) + errors[:, 4], pnl, atol=1e-11)
    after = np.median(np.abs(errors), axis=0)
    assert 1e-2 < after[1] < 1e-1
    assert after[4] < 1e-5


@pytest.mark.parametrize("example", ["factor-betas"], indirect=True)
def test_betas(example):
    rows = {row["instrument"]: row for row in output(example, "betas").to_pylist()}
    true = np.load(example / "tasks/true_betas.npy")
    assert len(rows) == len(true)
    found = np.array([rows[f"I{number}"]["coefficients"] for number in range(len(true))])
    errors = np.array([rows[f"I{number}"]["standard_errors"] for number in range(len(true))])
    assert (np.abs(found[:, 1:] - true) < 5 * errors[:, 1:]).all()
    assert 0.5 < np.mean(np.abs(found[:, 1:] - true) / errors[:, 1:]) < 1.1


@pytest.mark.parametrize("example", ["ode-sensitivity"], indirect=True)
def test_sensitivities(example):
    def prey(birth: float, death: float, hunt: float, gain: float) -> float:
        def slope(_: float, state: np.ndarray) -> list[float]:
            x, y = state
            return [birth * x - hunt * x * y, gain * x * y - death * y]

        return float(solve_ivp(slope, (0, 5), [10.0, 5.0], rtol=1e-12, atol=1e-12).y[0, -1])

    names = ("birth", "death", "hunt", "gain")
    for row in output(example, "sensitivity").slice(0, 3).to_pylist():
        at = {name: row[name] for name in names}
        assert row["value"] == pytest.approx(prey(**at), rel=1e-7)
        for name in names:
            h = 1e-4 * at[name]
            slope = (prey(**{**at, name: at[name] + h}) - prey(**{**at, name: at[name] - h})) / (2 * h)
            assert row[f"d_{name}"] == pytest.approx(slope, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("example", ["implied-vol"], indirect=True)
def test_implied_volatilities(example):
    rows = output(example, "implied-vol").to_pylist()
    assert [row["status"] for row in rows] == ["ok"] * 999 + ["invalid_input"]
    for row in rows[:-1]:
        assert row["vol"] == pytest.approx(row["true_vol"], rel=1e-6)


@pytest.mark.parametrize("example", ["market-lookup"], indirect=True)
def test_positions_priced_with_joined_market_data(example):
    tasks = {
        name: pq.read_table(example / f"tasks/{name}.parquet").to_pandas() for name in ("positions", "market", "rates")
    }
    book = tasks["positions"].query("years > 0 and desk in ('equity', 'index')")
    book = book.merge(tasks["market"], "left", left_on="ticker", right_on="symbol").merge(tasks["rates"], "left")
    found = output(example, "book").to_pandas()
    assert found["id"].tolist() == book["id"].tolist()
    unknown = (book["ticker"] == "SHARE39").to_numpy()
    assert found["status"].tolist() == ["null_input" if each else "ok" for each in unknown]
    assert 10 < unknown.sum() < 200
    rows, known = found[~unknown], book[~unknown].reset_index()
    spread = known.implied * np.sqrt(known.years)
    d1 = (np.log(known.spot / known.strike) + (known.rate + known.implied**2 / 2) * known.years) / spread
    discounted = known.strike * np.exp(-known.rate * known.years)
    value = known.quantity * (known.spot * norm.cdf(d1) - discounted * norm.cdf(d1 - spread))
    np.testing.assert_allclose(rows["value"], value, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(rows["delta"], known.quantity * norm.cdf(d1), rtol=1e-9, atol=1e-12)
    vega = known.quantity * known.spot * norm.pdf(d1) * np.sqrt(known.years)
    np.testing.assert_allclose(rows["vega"], vega, rtol=1e-8, atol=1e-9)


RATE = 0.03


def down_and_out_call(spot, strike, barrier, vol, years):
    """In closed form, for a barrier below the strike that is watched all the time (Merton, Theory of rational option
    pricing, Bell Journal, 1973, section 9)."""

    def call(spot, strike):
        d1 = (np.log(spot / strike) + (RATE + vol**2 / 2) * years) / (vol * np.sqrt(years))
        return spot * norm.cdf(d1) - strike * np.exp(-RATE * years) * norm.cdf(d1 - vol * np.sqrt(years))

    return call(spot, strike) - (spot / barrier) ** (1 - 2 * RATE / vol**2) * call(barrier**2 / spot, strike)


@pytest.mark.parametrize("example", ["barrier-option"], indirect=True)
def test_barrier_options(example):
    book, tenth = output(example, "barrier"), output(example, "tenth")
    assert set(book["status"].to_pylist()) == {"ok"}
    at = {name: column(book, name) for name in ("spot", "strike", "barrier", "vol", "years")}

    def slope(name: str) -> np.ndarray:
        h = 1e-4 * at[name]
        up, down = (down_and_out_call(**{**at, name: at[name] + step}) for step in (h, -h))
        return (up - down) / (2 * h)

    exact = {"price": down_and_out_call(**at), "delta": slope("spot"), "vega": slope("vol")}
    for name, wanted in exact.items():
        errors = (column(book, name) - wanted) / column(book, f"{name}_error")
        assert np.abs(errors).max() < 4.2, name
        assert 0.9 < np.sqrt(np.mean(errors**2)) < 1.1, name
        assert abs(errors.mean()) < 3 / np.sqrt(len(errors)), name
    assert 15 < tenth.num_rows < 45
    ids = tenth["id"].to_pylist()
    assert tenth.equals(book.take(ids))


@pytest.mark.parametrize("example", ["score-network"], indirect=True)
def test_scores(example):
    """As NumPy computes them from the file of the network, near the risk by which the loans were made."""
    with (example / "tasks/network.eqx").open("rb") as file:
        arrays = [np.load(file).astype(float) for _ in range(6)]

    def score(x: np.ndarray) -> np.ndarray:
        for weight, bias in zip(arrays[0:4:2], arrays[1:4:2], strict=True):
            x = x @ weight.T + bias
            x = x / (1 + np.exp(-x))
        return 1 / (1 + np.exp(-(x @ arrays[4].T + arrays[5])))[:, 0]

    loans = output(example, "scores")
    features = np.stack([column(loans, name) for name in ("income", "debt", "age", "years_employed")], axis=1)
    found = column(loans, "probability")
    np.testing.assert_allclose(found, score(features), atol=1e-5)
    steps = 1e-4 * np.eye(4)
    slopes = np.stack([(score(features + h) - score(features - h)) / 2e-4 for h in steps], axis=1)
    np.testing.assert_allclose(column(loans, "slopes"), slopes, atol=1e-4)
    assert np.abs(found - column(loans, "true_probability")).mean() < 0.06
    (program,) = json.loads((example / "results/scores/_jaxbatch/plan.json").read_text())["programs"]
    assert program["weight_bytes"] == arrays[2].size * 4
