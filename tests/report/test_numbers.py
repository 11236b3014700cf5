"""What a report says are the numbers of the output, computed here from its Parquet."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch.report import sample as sampling
from jaxbatch.report.run_records import RunRecords
from jaxbatch.storage import StorageOptions
from tests.report.conftest import JOBS, Page


def output(folder) -> pa.Table:
    return pa.concat_tables([pq.read_table(part) for part in sorted((folder / "results/data").iterdir())])


def numbers(rows: list[list[str]], column: int) -> np.ndarray:
    return np.array([float(row[column]) for row in rows])


@pytest.mark.parametrize("kernel", JOBS)
def test_statuses_are_counted(kernel, finished, pages):
    statuses = output(finished(kernel))["status"].to_pylist()
    shown = {row[0]: int(row[1]) for row in pages(kernel).rows("statuses-counted")}
    assert shown == {name: statuses.count(name) for name in set(statuses)}
    assert len(statuses) == sum(shown.values())


def test_rows_that_did_not_end_well_are_shown(finished, pages):
    table = output(finished("derivatives"))
    rows = pages("derivatives").rows("examples")
    assert [status for status, _ in rows] == ["nonfinite"] * 3
    first = int(np.argmax(np.array(table["status"].to_pylist()) == "nonfinite"))
    assert f"row {first % 100} of data/part-{first // 100:07d}-" in rows[0][1]
    assert f"x = {table['x'][first].as_py():.6g}" in rows[0][1]
    assert "examples" not in pages("apply").tables


def test_a_sample_is_of_all_of_a_part_and_the_same_each_time(finished, monkeypatch):
    monkeypatch.setattr(sampling, "MAX_ROWS", 120)
    samples = [RunRecords.read(str(finished("derivatives") / "results"), StorageOptions()).sample for _ in range(2)]
    table = output(finished("derivatives"))
    for sample in samples:
        assert sample.parts == 4
        for part in range(4):
            rows = sample.row[sample.part == part]
            assert len(set(rows)) == 30
            assert (rows.min() < 20, rows.max() >= 80) == (True, True)
            found = sample.select(sample.part == part).table["x"].to_pylist()
            assert found == table["x"].take(100 * part + rows).to_pylist()
    np.testing.assert_array_equal(samples[0].row, samples[1].row)
    assert samples[0].first is None
    monkeypatch.setattr(sampling, "MAX_SCANNED_ROWS", 160)
    limited = RunRecords.read(str(finished("derivatives") / "results"), StorageOptions()).sample
    assert (limited.first, limited.row.max() < 40) == (40, True)


def test_errors_by_order(finished, pages):
    errors = output(finished("taylor"))["errors"].to_pylist()
    rows = pages("taylor").rows("error-against-order")
    assert len(rows) == max(map(len, errors))
    for k, row in enumerate(rows):
        own = np.abs([each[k] for each in errors if len(each) > k])
        assert (int(row[0]), int(row[1])) == (k, len(own))
        np.testing.assert_allclose([float(cell) for cell in row[2:]], np.quantile(own, [0.5, 0.9, 1.0]), rtol=1e-13)


def test_the_worst_and_best_rows(finished, pages):
    table = output(finished("taylor"))
    last = np.array([abs(each[-1]) for each in table["errors"].to_pylist()])
    rows = pages("taylor").rows("worst-and-best-rows")
    worst = [row for row in rows if row[0] == "worst"]
    np.testing.assert_array_equal(numbers(worst, -1), np.sort(last)[::-1][:5])
    part, row = int(worst[0][1]), int(worst[0][2])
    assert 100 * part + row == np.argmax(last)
    assert float(worst[0][3]) == table["center"][int(np.argmax(last))].as_py()


def test_expansions_are_those_of_the_output(pages):
    for center, point, _, approximation, true in pages("taylor").rows("expansions-over-the-function"):
        assert float(true) == np.sqrt(float(point))
        assert abs(float(approximation) - float(true)) < 2 * abs(float(point) - float(center))


@pytest.mark.parametrize(("kernel", "column"), [("derivatives", "d_x"), ("derivatives", "value"), ("apply", "decay")])
def test_distributions(kernel, column, finished, pages):
    values = np.array(output(finished(kernel))[column].to_pylist(), float)
    finite = values[np.isfinite(values)]
    rows = pages(kernel).rows(f"distribution-of-{column}")
    np.testing.assert_allclose(numbers(rows[:5], 1), np.quantile(finite, [0, 0.25, 0.5, 0.75, 1]), rtol=1e-13)
    assert int(rows[5][1]) == len(values) - len(finite)


def test_statuses_over_the_domain(finished, pages):
    table = output(finished("derivatives"))
    x, status = np.array(table["x"].to_pylist()), np.array(table["status"].to_pylist())
    shown = {row[0]: (int(row[1]), row[2]) for row in pages("derivatives").rows("statuses-over-the-domain")}
    assert set(shown) == {"ok", "nonfinite"}
    for name, (count, span) in shown.items():
        own = x[status == name]
        assert (count, span) == (len(own), f"{own.min():.6g} … {own.max():.6g}")


def test_coefficients(finished, pages):
    table = output(finished("regression"))
    coefficients = np.array(table["coefficients"].to_pylist())
    errors = np.array(table["standard_errors"].to_pylist())
    rows = pages("regression").rows("coefficients")
    assert [row[0] for row in rows] == ["intercept", "slope", "<b>bend</b>"]
    for term, row in enumerate(rows):
        wanted = [*np.quantile(coefficients[:, term], [0.05, 0.5, 0.95]), np.median(errors[:, term])]
        np.testing.assert_allclose([float(cell) for cell in row[2:]], wanted, rtol=1e-13)


def test_residuals_of_the_worst_fits(finished, pages):
    folder = finished("regression")
    given, fits = pq.read_table(folder / "tasks.parquet").drop("when").to_pylist(), output(folder)
    order = np.argsort(fits["r_squared"].to_numpy())
    rows = pages("regression").rows("residuals-of-the-worst-fits")
    assert [int(row[1]) for row in rows] == list(order[:3])
    for row, number in zip(rows, order, strict=False):
        data = given[number]
        a, b, c = fits["coefficients"][int(number)].as_py()
        residuals = np.array(data["y"]) - a - b * np.array(data["slope"]) - c * np.array(data["<b>bend</b>"])
        assert int(row[2]) == len(residuals)
        np.testing.assert_allclose([float(row[3]), float(row[4])], [np.mean(residuals**2), np.abs(residuals).max()])
        np.testing.assert_allclose(float(row[3]), fits["loss"][int(number)].as_py(), rtol=1e-9)


def test_residuals_are_left_out_where_the_input_is_gone(finished, tmp_path):
    from jaxbatch import report

    tasks = finished("regression") / "tasks.parquet"
    tasks.rename(tasks.with_suffix(".away"))
    try:
        report.write(finished("regression") / "results", tmp_path / "page.html")
    finally:
        tasks.with_suffix(".away").rename(tasks)
    page = Page((tmp_path / "page.html").read_text())
    assert "residuals-of-the-worst-fits" not in page.tables
    assert "coefficients" in page.tables


def test_steps_of_a_descent(finished, pages):
    steps = output(finished("descent"))["steps"].to_numpy()
    rows = pages("descent").rows("steps-of-the-descent")
    np.testing.assert_array_equal(numbers(rows[:5], 1), np.quantile(steps, [0, 0.25, 0.5, 0.75, 1]))


@pytest.mark.parametrize("kernel", JOBS)
def test_the_run_itself(kernel, finished, pages):
    report = json.loads((finished(kernel) / "results/_jaxbatch/report.json").read_text())
    stages = {row[0]: float(row[1]) for row in pages(kernel).rows("time-by-stage")}
    assert {name: spent for name, spent in stages.items() if name != "wait"} == {
        name: spent for name, spent in report["stages"].items() if spent > 0
    }
    shards = {row[0]: int(row[1]) for row in pages(kernel).rows("shards-by-worker")}
    assert shards == {name: worker["shards"] for name, worker in report["by_worker"].items()}


def test_throughput_is_that_of_the_run(finished, pages):
    report = json.loads((finished("derivatives") / "results/_jaxbatch/report.json").read_text())
    rows = pages("derivatives").rows("throughput-over-time")
    until, rate = numbers(rows, 0), numbers(rows, 1)
    assert until[-1] == pytest.approx(report["timeline"][-1][0], abs=1e-3)
    assert np.sum(rate * np.diff(until, prepend=0)) == pytest.approx(400, rel=0.02)
